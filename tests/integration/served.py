"""`dcp serve` as a process for tests: started, asked, and everything that it leaves is ended by id."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcp.api.client import Client
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.runtimes.process import orphans
from dcp.kernel.clock import SystemClock
from dcp.store.database import InlineDatabase
from dcp.store.edge import StoredEdge

DCP = [sys.executable, "-m", "dcp"]


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Serve:
    """Starts controllers over one state directory and ends what they leave."""

    state: Path
    config: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [*DCP, "serve", "--state", str(self.state), "--config", str(self.config), "--json", *words]
        log = self.state.with_name(f"log-{len(self.processes)}").open("w")
        # A test run in the background of a shell ignores SIGINT, and so would its children.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=_take_interrupts)
        log.close()
        self.processes.append(process)
        return process

    def listening(self, *words: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
        process = self.start("--port", "0", *words)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    def refused(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        code = process.wait(20)
        return code, self.log()

    def log(self) -> str:
        return self.state.with_name(f"log-{len(self.processes) - 1}").read_text()

    def run(self, *words: str, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DCP_STATE": str(self.state)}
        return subprocess.run([*DCP, *words], env=environment, capture_output=True, text=True, timeout=limit_s)

    def ask(self, question: Callable[[Client], Any]) -> Any:
        with Client.found(self.state) as api:
            return question(api)

    async def clean_up(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            if process.stdout:
                process.stdout.close()
        if (self.state / "balancer").exists():
            clock = SystemClock()
            await EnvoyBalancer(self.state / "balancer", clock, StoredEdge(InlineDatabase(), clock)).stop()
        for pid in orphans(self.state / "runtime"):
            os.kill(pid, signal.SIGKILL)


def free_ports(count: int) -> int:
    """Return the first of some ports in a row that nobody has, below those that the system hands out."""
    for low in range(25000 + os.getpid() % 200 * 20, 32000, count):
        if all(is_free(port) for port in range(low, low + count)):
            return low
    raise OSError(errno.EADDRINUSE, "no ports in a row are free")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_load(port: int, events: Path, requests_per_s: float) -> subprocess.Popen[bytes]:
    """Send an even load for minutes, until it is terminated; `events` says what became of it."""
    profile = {"base_rps": requests_per_s, "surge_factor": 1, "before_s": 300}
    profile |= dict.fromkeys(("ramp_s", "hold_s", "fall_s", "tail_s"), 0)
    words = ("--url", f"http://127.0.0.1:{port}/", "--profile", json.dumps(profile), "--events", str(events))
    return subprocess.Popen([sys.executable, "-m", "dcp.demo.load", *words])


def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
