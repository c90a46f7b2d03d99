"""Proxies elsewhere, for tests: real Envoys on other loopback addresses, started from their bootstrap alone."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dcp.drivers.balancers.envoy import EnvoyOptions, RemoteProxy, bootstrap_of
from dcp.drivers.balancers.envoy.proxy import envoy_binary
from dcp.kernel.clock import SystemClock
from dcp.orchestration.traffic.ports import EdgeLedger

LOOPBACK = "127.0.0.1"


def _ports_in_turn() -> Iterator[int]:
    """Ports below those that the kernel gives away, others for each worker of a run of tests, none twice."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + 5_000 * (worker % 4)
    while True:
        yield from range(first, first + 5_000)


_PORTS = _ports_in_turn()


def free_ports(address: str, count: int) -> int:
    """Return the first of `count` ports in a row that are free on an address."""
    while True:
        ports = [next(_PORTS) for _ in range(count)]
        if ports != list(range(ports[0], ports[0] + count)):
            continue
        with ExitStack() as stack:
            try:
                for port in ports:
                    stack.enter_context(socket.create_server((address, port)))
            except OSError:
                continue
            return ports[0]


def fleet_options(*, embedded: bool, remotes: int, away_after_s: float = 10.0, workers: int = 1) -> EnvoyOptions:
    """Return options with so many proxies elsewhere: edge-1 on 127.0.0.2, edge-2 on 127.0.0.3 and so on."""
    addresses = [f"127.0.0.{number + 2}" for number in range(remotes)]
    listen = (LOOPBACK, free_ports(LOOPBACK, 1))
    return EnvoyOptions(
        embedded=embedded,
        proxies=tuple(
            RemoteProxy(f"edge-{number}", address, address, free_ports(address, 2), workers)
            for number, address in enumerate(addresses, 1)
        ),
        listen=listen,
        controllers=(listen,),
        away_after_s=away_after_s,
    )


@dataclass
class Remotes:
    """The proxies of some options, as an operator's service manager runs them."""

    directory: Path
    options: EnvoyOptions
    _running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, node: str) -> None:
        path = self.directory / f"{node}.json"
        if not path.exists():
            path.write_text(json.dumps(bootstrap_of(node, self.directory, self.options, SystemClock())))
        proxy = self.options.remote(node)
        assert proxy is not None
        words = ("-c", str(path), "--concurrency", str(proxy.workers), "--disable-hot-restart", "-l", "warning")
        with (self.directory / f"{node}.log").open("ab") as log:
            self._running[node] = await asyncio.create_subprocess_exec(
                envoy_binary(), *words, "--drain-strategy", "immediate", stdout=log, stderr=log
            )

    async def start_all(self) -> None:
        for proxy in self.options.proxies:
            await self.start(proxy.node)

    async def until(self, ledger: EdgeLedger, *, within_s: float = 60.0) -> None:
        """Return once all of them are counted on; an error that says what they said."""
        try:
            async with asyncio.timeout(within_s):
                while (await ledger.load()).counted() != {proxy.node for proxy in self.options.proxies}:
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            logs = {path.name: path.read_text()[-500:] for path in self.directory.glob("edge-*.log")}
            ended = {node: process.returncode for node, process in self._running.items()}
            raise AssertionError(f"{await ledger.load()}, ended: {ended}, said: {logs}") from error

    async def kill(self, node: str) -> None:
        process = self._running.pop(node)
        if process.returncode is None:
            process.kill()
        await process.wait()

    def signal(self, node: str, number: signal.Signals) -> None:
        os.kill(self._running[node].pid, number)

    async def close(self) -> None:
        for node in list(self._running):
            await self.kill(node)
