"""Every runtime driver keeps every promise of `runtimes`."""

import asyncio
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from docker_rig import DockerRig
from runtimes import CASES, EXIT_CODE, LIMIT_CASES, LINES, PATIENCE_S, Case, OrderParts, What

from dcp.drivers.runtimes.fake import Behaviour, FakeRuntime
from dcp.drivers.runtimes.process import ProcessRuntime, orphans
from dcp.drivers.runtimes.process.processes import Kin, find_kin
from dcp.kernel.clock import LoopClock, SystemClock
from dcp.lab.lab import Lab
from dcp.orchestration.services.model import ServiceKey, StartOrder
from dcp.simulation.virtual_time import run_virtual

SERVER = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1]) if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
SAY_READY = "echo ready; "
COMMANDS: dict[What, tuple[str, ...]] = {
    What.SLEEPS: ("sleep", "1000"),
    What.WRITES: ("sh", "-c", f"for n in $(seq {LINES}); do echo line $n; done; exec sleep 1000"),
    What.SERVES: (sys.executable, "-c", SERVER, "200"),
    What.SERVES_BADLY: (sys.executable, "-c", SERVER, "500"),
    What.STUBBORN: ("sh", "-c", f"trap '' TERM; {SAY_READY} while :; do sleep 0.1; done"),
    What.FAMILY: ("sh", "-c", f"setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & {SAY_READY} wait"),
    What.LEAVES_CHILDREN: ("sh", "-c", "sleep 1000 & setsid sleep 1000 & exit 0"),
    What.EXITS: ("sh", "-c", f"exit {EXIT_CODE}"),
    What.MISSING: ("no-such-command-anywhere",),
    What.GREEDY: (sys.executable, "-c", "import time; greedy = bytearray(300 << 20); time.sleep(1000)"),
    What.SPINS: ("sh", "-c", "while :; do :; done"),
}
BEHAVIOURS: dict[What, Behaviour] = {
    What.SLEEPS: Behaviour(),
    What.WRITES: Behaviour(lines=tuple(f"line {n + 1}" for n in range(LINES))),
    What.SERVES: Behaviour(healthy_after_s=(0.1, 0.2)),
    What.SERVES_BADLY: Behaviour(never_healthy=True),
    What.STUBBORN: Behaviour(ignores_stop_signal=True),
    What.FAMILY: Behaviour(),
    What.LEAVES_CHILDREN: Behaviour(crash_after_s=0.1, crash_exit_code=0),
    What.EXITS: Behaviour(crash_after_s=0.1, crash_exit_code=EXIT_CODE),
    What.MISSING: Behaviour(rejected=True),
}
CHECKED = frozenset({What.SERVES, What.SERVES_BADLY})


def make_order(instance_id: str, what: What) -> StartOrder:
    parts = OrderParts()
    return StartOrder(
        instance_id=instance_id,
        host_id="host-1",
        service=ServiceKey("conformance", what),
        command=COMMANDS[what],
        resources=parts.resources,
        environment=parts.environment,
        health=parts.health if what in CHECKED else None,
    )


class FakeRig:
    """The fake keeps its state in the object itself, so that a restarted controller uses the same one."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        scripts = {what.value: behaviour for what, behaviour in BEHAVIOURS.items()}
        self.runtime = FakeRuntime(self.clock, services=scripts, latency_s=(0.0, 0.01))

    def again(self) -> FakeRuntime:
        return self.runtime

    def order(self, instance_id: str, what: What) -> StartOrder:
        return make_order(instance_id, what)

    def processes(self, instance_id: str) -> int:
        return int(instance_id in self.runtime.running())

    async def ready(self, instance_id: str) -> None:
        await self.clock.sleep(0.2)

    async def environment(self, instance_id: str) -> dict[str, str]:
        seen = await self.runtime.observe(instance_id)
        assert seen is not None
        return {**dict(self.runtime.order_of(instance_id).environment), "PORT": str(seen.port)}

    def processor_s(self, instance_id: str) -> float:
        raise NotImplementedError(f"{instance_id} uses nothing")


class ProcessRig:
    """Real processes; `again` makes new objects over the same directory."""

    def __init__(self, directory: Path, cgroup_parent: str) -> None:
        self.clock = SystemClock()
        self._directory = directory
        self._parent = cgroup_parent
        self._made: list[ProcessRuntime] = []
        self.runtime = self.again()

    def again(self) -> ProcessRuntime:
        self._made.append(ProcessRuntime(self._directory, self.clock, cgroup_parent=self._parent))
        return self._made[-1]

    def order(self, instance_id: str, what: What) -> StartOrder:
        return replace(make_order(instance_id, what), working_dir=str(self._directory))

    def pids(self, instance_id: str) -> list[int]:
        owner = (self._directory / "owner").read_text().strip()
        return [stat.pid for stat in find_kin(owner, [Kin(instance_id, None)])[instance_id]]

    def processes(self, instance_id: str) -> int:
        return len(self.pids(instance_id))

    async def ready(self, instance_id: str) -> None:
        give_up_at = self.clock.now() + PATIENCE_S
        while not await self._is_ready(instance_id):
            assert self.clock.now() < give_up_at, f"{instance_id} is never ready"
            await self.clock.sleep(0.01)

    async def _is_ready(self, instance_id: str) -> bool:
        lines = await self.runtime.logs(instance_id, LINES)
        names = {name_of(pid) for pid in self.pids(instance_id)} - {""}
        if any(name.startswith("python") for name in names):
            return await self.runtime.check(instance_id) == ""
        return names == {"sleep"} or "ready" in lines

    async def environment(self, instance_id: str) -> dict[str, str]:
        (pid,) = self.pids(instance_id)
        return psutil.Process(pid).environ()

    def processor_s(self, instance_id: str) -> float:
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self.pids(instance_id))

    async def clean_up(self) -> None:
        listed = await self.runtime.list_all()
        await asyncio.gather(*(self.runtime.stop(one.instance_id, 0.0) for one in listed))
        await asyncio.gather(*(self.runtime.forget(one.instance_id) for one in listed))
        for runtime in self._made:
            await runtime.aclose()
        assert orphans(self._directory) == ()
        assert [path.name for path in (self._directory / "ports").iterdir() if path.name != "lock"] == []


def name_of(pid: int) -> str:
    """Return a process's name, empty if it has ended since it was found."""
    try:
        return psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return ""


def run_fake(case: Case, _: Path) -> None:
    async def work() -> None:
        await case(FakeRig())

    run_virtual(work())


def run_process(case: Case, directory: Path, cgroup_parent: str = "dcp") -> None:
    async def work() -> None:
        rig = ProcessRig(directory, cgroup_parent)
        try:
            await case(rig)
        finally:
            await rig.clean_up()

    asyncio.run(work())


def run_process_without_limits(case: Case, directory: Path) -> None:
    run_process(case, directory, cgroup_parent="")


def run_docker(case: Case, directory: Path, lab: Lab) -> None:
    async def work() -> None:
        rig = DockerRig(lab, directory, owner=f"c{zlib.crc32(case.__name__.encode()):08x}")
        try:
            await case(rig)
        finally:
            await rig.clean_up()

    asyncio.run(work())


DRIVERS: dict[str, Callable[[Case, Path], None]] = {
    "fake": run_fake,
    "process": run_process,
    "process-without-limits": run_process_without_limits,
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_contract(driver: str, case: Case, tmp_path: Path) -> None:
    DRIVERS[driver](case, tmp_path)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_contract_with_real_engines(case: Case, tmp_path: Path, lab: Lab) -> None:
    run_docker(case, tmp_path, lab)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
@pytest.mark.parametrize("case", LIMIT_CASES, ids=lambda case: case.__name__)
def test_limits_with_real_engines(case: Case, tmp_path: Path, lab: Lab) -> None:
    run_docker(case, tmp_path, lab)


@pytest.mark.root
@pytest.mark.parametrize("case", LIMIT_CASES, ids=lambda case: case.__name__)
def test_limits(case: Case, tmp_path: Path) -> None:
    abilities = ProcessRuntime(tmp_path / "probe", SystemClock()).abilities()
    if not (abilities.cpu_limit and abilities.memory_limit):
        skip_outside_ci(abilities.why_not)
    run_process(case, tmp_path)


def skip_outside_ci(why: str) -> None:
    """On a developer's machine limits may be out of reach; where every change is checked they must be tested."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"limits cannot be tested here: {why}")
    pytest.skip(why)
