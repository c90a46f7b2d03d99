"""A runtime rig over real engines: instances are containers on the first host of a lab."""

import asyncio
import http.client
import json
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psutil
from runtimes import EXIT_CODE, LINES, PATIENCE_S, OrderParts, What

from dcp.drivers.runtimes.docker import DockerRuntimes
from dcp.drivers.runtimes.docker.runtime import DockerRuntime
from dcp.kernel.clock import SystemClock
from dcp.lab.lab import Lab
from dcp.lab.topology import LabHost
from dcp.orchestration.services.model import ServiceKey, StartOrder
from dcp.orchestration.services.ports import HostEngine
from dcp.settings.model import RuntimeSettings

SERVER = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1]) if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
"""
# The first process of a container is not ended by a signal that it does not handle.
ENDS = "trap 'exit 0' TERM; "
WAITS = "echo ready; mkfifo /tmp/never; exec 3<>/tmp/never; while :; do read -r line <&3; done"
COMMANDS: dict[What, tuple[str, ...]] = {
    What.SLEEPS: ("sh", "-c", ENDS + WAITS),
    What.WRITES: ("sh", "-c", f"{ENDS} for n in $(seq {LINES}); do echo line $n; done; {WAITS[len('echo ready; ') :]}"),
    What.SERVES: ("python3", "-c", SERVER, "200"),
    What.SERVES_BADLY: ("python3", "-c", SERVER, "500"),
    What.STUBBORN: ("sh", "-c", f"trap '' TERM; {WAITS}"),
    What.FAMILY: ("sh", "-c", f"{ENDS} setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & echo ready; wait"),
    What.LEAVES_CHILDREN: ("sh", "-c", "sleep 1000 & setsid sleep 1000 & exit 0"),
    What.EXITS: ("sh", "-c", f"exit {EXIT_CODE}"),
    What.MISSING: ("no-such-command-anywhere",),
    What.GREEDY: ("python3", "-c", "import time; greedy = bytearray(300 << 20); time.sleep(1000)"),
    What.SPINS: ("sh", "-c", "while :; do :; done"),
}
SERVING = frozenset({What.SERVES, What.SERVES_BADLY})
IN_PYTHON = SERVING | {What.GREEDY}


class DockerRig:
    """`again` is a new session with the same engine over the same directory."""

    def __init__(self, lab: Lab, directory: Path, owner: str) -> None:
        self.clock = SystemClock()
        self.host: LabHost = lab.hosts[0]
        self._directory = directory
        self._settings = RuntimeSettings(kind="docker", owner=owner)
        self._whats: dict[str, What] = {}
        self._made: list[DockerRuntimes] = []
        self.runtime = self.again()

    def again(self) -> DockerRuntime:
        runtimes = DockerRuntimes(self._settings, self._directory, self.clock)
        self._made.append(runtimes)
        runtimes.keep((HostEngine("host-1", self.host.engine_unix, self.host.address),))
        runtime = runtimes.of("host-1")
        assert isinstance(runtime, DockerRuntime)
        return runtime

    def order(self, instance_id: str, what: What) -> StartOrder:
        parts = OrderParts()
        self._whats[instance_id] = what
        return StartOrder(
            instance_id=instance_id,
            host_id="host-1",
            service=ServiceKey("conformance", what),
            command=COMMANDS[what],
            resources=parts.resources,
            image="lab/python:latest" if what in IN_PYTHON else "lab/busybox:latest",
            environment=parts.environment,
            health=replace(parts.health, timeout_s=2.0) if what in SERVING else None,
        )

    def processes(self, instance_id: str) -> int:
        return len(self.pids(instance_id))

    def pids(self, instance_id: str) -> list[int]:
        return [pid for container in self.containers(instance_id) for pid in members(self.host.cgroup, container)]

    def containers(self, instance_id: str = "") -> list[str]:
        """Return the ids of what the engine has of ours, ended or not."""
        labels = [f"dcp.owner={self._settings.owner}"] + [f"dcp.instance={instance_id}"] * bool(instance_id)
        filters = quote(json.dumps({"label": labels}))
        return [item["Id"] for item in ask_engine(self.host.socket, f"/containers/json?all=1&filters={filters}")]

    async def ready(self, instance_id: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_ready(instance_id):
                await self.clock.sleep(0.02)

    async def _is_ready(self, instance_id: str) -> bool:
        what = self._whats[instance_id]
        if what is What.SERVES:
            return await self.runtime.check(instance_id) == ""
        lines = await self.runtime.logs(instance_id, LINES)
        return "ready" in lines or f"line {LINES}" in lines

    async def environment(self, instance_id: str) -> dict[str, str]:
        (pid,) = self.pids(instance_id)
        return psutil.Process(pid).environ()

    def processor_s(self, instance_id: str) -> float:
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self.pids(instance_id))

    async def clean_up(self) -> None:
        listed = await self.runtime.list_all()
        await asyncio.gather(*(self.runtime.stop(one.instance_id, 0.0) for one in listed))
        await asyncio.gather(*(self.runtime.forget(one.instance_id) for one in listed))
        for runtimes in self._made:
            await runtimes.aclose()
        assert self.containers() == []


def members(cgroup: str, container: str) -> list[int]:
    """Return the pids in a container's control group, in whichever hierarchy it has one."""
    for mount in (Path("/sys/fs/cgroup"), *sorted(Path("/sys/fs/cgroup").iterdir())):
        procs = mount / cgroup.lstrip("/") / container / "cgroup.procs"
        if procs.exists():
            return [int(word) for word in procs.read_text().split()]
    return []


def ask_engine(path: Path, request: str) -> list[dict[str, str]]:
    """Ask an engine without the driver under test."""
    connection = http.client.HTTPConnection("engine", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    try:
        connection.request("GET", request)
        found: list[dict[str, str]] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found
