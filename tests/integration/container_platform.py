"""A controller over the hosts of a lab, as a process; an application of small web servers; a steady load on it."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from dcp.api.client import Client
from dcp.kernel.errors import DcpError
from dcp.lab.lab import Lab

WITHIN_S = 60.0
SERVE = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p $$PORT -h /tmp/www"
ENGINE = {"unreachable_after_s": 2, "engine_lost_after_s": 8, "lease_ttl_s": 3, "poll_s": 0.5}


class Platform:
    """`dcp serve` over a lab's hosts. It outlives nothing: `end` removes the application and ends the controller."""

    def __init__(self, lab: Lab, folder: Path, changes: Mapping[str, Any] | None = None) -> None:
        self.lab = lab
        self.folder = folder
        self.state = folder / "state"
        self._config = folder / "dcp.yaml"
        settings = yaml.safe_load(lab.platform_file.read_text())
        for host in settings["sources"][0]["hosts"]:
            host |= {"cpus": "1", "memory": "1G"}
        settings["registry"] |= {"compare_s": 1}  # this lab's registries tell nobody of pushes
        ports = {"internal_ports": "17500-17599"}
        settings |= {"engine": ENGINE, "balancer": {**settings.get("balancer", {}), **ports}, **(changes or {})}
        self._config.write_text(yaml.safe_dump(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the controller and wait until it answers."""
        words = ["serve", "--state", str(self.state), "--config", str(self._config), *self.words()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "dcp", *words], stdout=log, stderr=log)
        self.until(lambda client: bool(client.status()))

    def words(self) -> list[str]:
        """Return where the controller listens, as `dcp serve` is told."""
        return ["--port", "0"]

    def kill(self) -> None:
        """End the controller as kill -9 does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Remove every application, then end the controller."""
        assert self._process is not None
        try:
            self.until(_removed)
        finally:
            self._process.terminate()
            code = self._process.wait(timeout=30)
        assert code == 0, self.log()

    def ask(self, question: Callable[[Client], Any]) -> Any:
        """Return the answer of the controller."""
        with Client.found(self.state) as client:
            return question(client)

    def until(self, condition: Callable[[Client], bool], within_s: float = WITHIN_S) -> None:
        """Return once the condition holds."""
        give_up_at = time.monotonic() + within_s
        while True:
            try:
                if self.ask(condition):
                    return
            except DcpError:
                assert self._process is not None
                assert self._process.poll() is None, self.log()
            assert time.monotonic() < give_up_at, self.log()
            time.sleep(0.1)

    def apply(self, services: Mapping[str, Any], name: str = "web") -> None:
        """Make these services the wanted state; does not wait."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "services": dict(services)}))
        words = ["apply", str(path), "--state", str(self.state), "--yes", "--no-wait"]
        done = subprocess.run([sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def instances(self, *, ended: bool = False) -> list[dict[str, Any]]:
        """Return the instances that live, or all."""
        found: list[dict[str, Any]] = self.ask(lambda client: client.instances(ended=ended)["instances"])
        return found

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Return the hosts in use, by their address."""
        return {one["address"]: one for one in self.ask(lambda client: client.hosts()["hosts"])}

    def reasons(self, subject: str) -> list[str]:
        """Return the reasons of the events of a subject, oldest first."""
        found = self.ask(lambda client: client.events(subject=subject, limit=1000)["events"])
        return [event["reason"] for event in found]

    def url(self, service: str) -> str:
        """Return where the balancer listens for a service."""
        return str(self.ask(lambda c: {s["name"]: s for s in c.services()["services"]})[service]["listen_url"])

    def containers(self, host: str) -> list[str]:
        """Return the names of the running containers of a host, from its own engine."""
        socket = httpx.HTTPTransport(uds=str(self.lab.host(host).socket))
        with httpx.Client(transport=socket, base_url="http://engine", timeout=10) as engine:
            return [one["Names"][0] for one in engine.get("/containers/json").raise_for_status().json()]

    def log(self) -> str:
        """Return the end of the controller's log."""
        return (self.folder / "log").read_text()[-3000:]


def web(replicas: int, **keys: Any) -> dict[str, Any]:
    """Return a service of small web servers that answer with the name of their host."""
    return {
        "image": "lab/busybox",
        "command": ["sh", "-c", SERVE],
        "deploy": {"replicas": replicas, "resources": {"limits": {"cpus": "0.2", "memory": "32M"}}},
        "x-dcp": {"health": {"http": "/", "interval": "500ms"}},
        "stop_grace_period": "3s",
        **keys,
    }


def serving(name: str, count: int) -> Callable[[Client], bool]:
    """Return whether exactly so many instances of a service serve, and none comes or leaves."""

    def looks(client: Client) -> bool:
        found = {s["name"]: (s["serving"], s["coming"], s["leaving"]) for s in client.services()["services"]}
        return found.get(name) == (count, 0, 0)

    return looks


@contextmanager
def steady_load(url: str, every_s: float = 0.02) -> Iterator[Counter[str]]:
    """Send requests one after the other meanwhile; count answers by status, and what got none."""
    counted: Counter[str] = Counter()
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=10) as client:
            while not stop.wait(every_s):
                try:
                    counted[str(client.get(url).status_code)] += 1
                except httpx.HTTPError as error:
                    counted[repr(error)] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield counted
    finally:
        stop.set()
        thread.join()


def _removed(client: Client) -> bool:
    applications = client.status()["applications"]
    for application in applications:
        client.remove(application["name"])
    return not applications


def show(value: Any) -> str:
    """Return a value for the words of an assertion."""
    return json.dumps(value, indent=1)
