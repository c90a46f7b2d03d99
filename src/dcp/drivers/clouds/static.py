"""Source `static`: machines that are there and answer over SSH, named one by one; they come bare.

They are lent like hosts with engines. What is asked before one is offered is its sshd, as it has no engine yet.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dcp.drivers.clouds.engines import Aside, EngineHost, EnginesSource, Probe
from dcp.hosts.model import SourceKind
from dcp.kernel.clock import Clock

ANSWER_S = 3.0


def make(
    name: str,
    path: Path | None,
    hosts: Iterable[EngineHost],
    *,
    port: int,
    clock: Clock,
    aside: Aside | None = None,
) -> EnginesSource:
    """Return the source; `port` is where the machines' sshd answers, `aside` what could not be initialised."""
    known = tuple(hosts)
    return EnginesSource(name, SourceKind.PRIVATE, path, known, probe=ssh_probe(known, port), clock=clock, aside=aside)


def ssh_probe(hosts: Iterable[EngineHost], port: int) -> Probe:
    """Return what asks whether the sshd of the machine with that engine answers."""
    addresses = {host.engine: host.address for host in hosts}

    async def probe(engine: str) -> bool:
        return await sshd_answers(addresses[engine], port)

    return probe


async def sshd_answers(address: str, port: int) -> bool:
    """Return whether an sshd answers there, within ANSWER_S; never raises."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return (await reader.readline()).startswith(b"SSH-")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return False
