"""kill -9 of the controller, again and again, under load on real processes behind the real proxy.

No request is lost, nothing is started twice, nothing is orphaned, and what was under way is finished by the next one.
"""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.haproxy_program import require_haproxy
from dcp.api.client import Client
from dcp.drivers.runtimes.process import orphans
from dcp.kernel.errors import DcpError

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "hot-event"
KILLS = 6
WITHIN_S = 60.0
CONFIG = """
time_scale: 60
sources: [{name: private, kind: private, hosts: 12, cpus: 1, memory: 512M}]
engine: {lease_ttl_s: 3}
balancer: {kind: BALANCER, internal_ports: 17700-17799}
"""


class Controller:
    """`dcp serve` over one state directory, killed and started again."""

    def __init__(self, folder: Path, balancer: str) -> None:
        self.state = folder / "state"
        self._folder = folder
        self._config = folder / "dcp.yaml"
        self._config.write_text(CONFIG.replace("BALANCER", balancer))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["serve", "--state", str(self.state), "--config", str(self._config), "--port", "0"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "dcp", *words], stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=30) == 0

    def ask(self, question: Callable[[Client], Any]) -> Any:
        with Client.found(self.state) as client:
            return question(client)

    def _log(self) -> str:
        return (self._folder / "log").read_text()[-3000:]

    def until(self, condition: Callable[[Client], bool]) -> None:
        give_up_at = time.monotonic() + WITHIN_S
        while True:
            try:
                if self.ask(condition):
                    return
            except DcpError:
                assert self._process is not None
                assert self._process.poll() is None, self._log()
            assert time.monotonic() < give_up_at, self._log()
            time.sleep(0.1)


@pytest.fixture(params=["envoy", "haproxy"])
def controller(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Controller]:
    if request.param == "haproxy":
        require_haproxy()
    made = Controller(tmp_path, request.param)
    made.start()
    yield made
    made.kill()
    made.start()
    made.until(_removed)
    made.end()
    assert orphans(made.state / "runtime") == ()


def _removed(client: Client) -> bool:
    applications = client.status()["applications"]
    for application in applications:
        client.remove(application["name"])
    return not applications


def _compose(folder: Path, feeds: int) -> Path:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    found = list(folder.glob("compose-*.yaml"))
    if found:
        port = int(yaml.safe_load(found[0].read_text())["services"]["feed"]["ports"][0].split(":")[0])
    document = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    for service in document["services"].values():
        service["working_dir"] = str(EXAMPLE)
        service["x-dcp"].pop("elastic")
    document["services"]["feed"]["ports"] = [f"{port}:80"]
    document["services"]["feed"]["deploy"]["replicas"] = feeds
    path = folder / f"compose-{feeds}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def _apply(controller: Controller, path: Path) -> None:
    words = ["apply", str(path), "--state", str(controller.state), "--yes", "--no-wait"]
    done = subprocess.run([sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _serving(feeds: int) -> Callable[[Client], bool]:
    def looks(client: Client) -> bool:
        found = {s["name"]: (s["serving"], s["coming"], s["leaving"]) for s in client.services()["services"]}
        return found == {"feed": (feeds, 0, 0), "user": (1, 0, 0), "card": (1, 0, 0)}

    return looks


def test_killing_the_controller_loses_nothing(controller: Controller, tmp_path: Path) -> None:
    controller.until(lambda client: bool(client.status()))
    _apply(controller, _compose(tmp_path, 2))
    controller.until(_serving(2))
    url = controller.ask(lambda client: {s["name"]: s for s in client.services()["services"]})["feed"]["listen_url"]
    load, events = _start_load(url, tmp_path)
    feeds, rng = 2, random.Random(7)
    for feeds in [rng.choice([2, 3, 4, 5]) for _ in range(KILLS)]:
        _apply(controller, _compose(tmp_path, feeds))
        time.sleep(rng.uniform(0.0, 1.2))  # somewhere between writing and serving
        controller.kill()
        time.sleep(rng.uniform(0.0, 0.6))
        controller.start()
        controller.until(lambda client: bool(client.status()))
    controller.until(_serving(feeds))
    load.send_signal(signal.SIGTERM)
    assert load.wait(timeout=70) == 0
    totals = json.loads(events.read_text().splitlines()[-1])
    assert totals["offered"] > 300
    assert totals["failed"] == 0, totals
    assert totals["answered"] == totals["offered"]
    log = controller.ask(lambda client: client.events(0, limit=1000))["events"]
    starts = Counter(event["subject"] for event in log if event["reason"] == "start")
    assert max(starts.values()) == 1
    live = {one["id"] for one in controller.ask(lambda client: client.instances())["instances"]}
    assert len(live) == feeds + 2
    assert len(orphans(controller.state / "runtime")) == len(live)


def _start_load(url: str, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    events = folder / "load.jsonl"
    profile = {"base_rps": 40.0, "surge_factor": 1.0, "before_s": 120.0}
    words = ["--url", url + "/", "--profile", json.dumps(profile), "--events", str(events)]
    return subprocess.Popen([sys.executable, "-m", "dcp.demo.load", *words]), events
