"""The demo's own controller: `dcp serve` as a process over a fresh state directory, and the end of all it started."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from dcp.api.client import Client
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DcpError, Unavailable
from dcp.settings.read import read_settings
from dcp.store.database import InlineDatabase
from dcp.wiring import make_balancer, make_runtimes

START_LIMIT_S = 30.0
END_LIMIT_S = 20.0
LOOK_S = 0.1
GRACE_S = 1.0


class DemoController:
    """Starts a controller, and ends it with everything that it started, whatever went wrong."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.state = folder / "state"
        self.log = folder / "controller.log"
        self._config = folder / "dcp.yaml"
        self._config.write_text(yaml.safe_dump(dict(settings)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Client:
        """Start it and return a client once it answers. Raises Unavailable with the end of its log."""
        words = ["serve", "--state", str(self.state), "--config", str(self._config), "--port", "0"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dcp", *words], stdout=log, stderr=log, start_new_session=True
            )
        give_up_at = time.monotonic() + START_LIMIT_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            try:
                client = Client.found(self.state)
                client.status()
            except DcpError:
                time.sleep(LOOK_S)
            else:
                return client
        raise Unavailable(f"the controller did not start: {self.log.read_text()[-2000:]}")

    def end(self) -> None:
        """End the controller, then whatever it left: nothing, if the application was removed before."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def leftovers(self) -> tuple[int, ...]:
        """Return every process that this run started and that still lives.

        Instances and the proxy carry the owner that their driver noted in its folder; the controller has the folder
        itself in its command line.
        """
        owners = {path.read_text().strip() for path in self.state.glob("*/owner")}
        return tuple(
            process.pid
            for process in psutil.process_iter(["cmdline", "environ"])
            if owners & set((process.info["environ"] or {}).values())
            or any(word.startswith(str(self.state)) for word in process.info["cmdline"] or ())
        )

    def sweep(self) -> None:
        """End instances and proxy by force, through the drivers that started them."""
        asyncio.run(self._sweep())

    async def _sweep(self) -> None:
        settings, clock = read_settings(self._config), SystemClock()
        runtimes = make_runtimes(settings, self.state, clock)
        # Nothing of the store is needed to end the proxy, and nothing there shall change.
        balancer = make_balancer(settings, self.state, clock, InlineDatabase())
        for _, runtime in runtimes.each():
            for seen in await runtime.list_all():
                await runtime.stop(seen.instance_id, GRACE_S)
        await balancer.stop()
