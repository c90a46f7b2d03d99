"""Machines that are there: offered while their sshd answers, lent once, and the one given back is lent last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dcp.drivers.clouds import static
from dcp.drivers.clouds.engines import EngineHost, EnginesSource
from dcp.hosts.model import HostOrder, HostType, Resources
from dcp.kernel.clock import SystemClock

BARE = HostType("m", Resources(1000, 1 << 30), initialise=True)


@asynccontextmanager
async def answering(banner: bytes) -> AsyncIterator[int]:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def source(port: int) -> EnginesSource:
    hosts = [EngineHost(name, f"ssh://root@{name}", "127.0.0.1", BARE) for name in ("one", "two")]
    return static.make("spare", None, hosts, port=port, clock=SystemClock())


async def free(made: EnginesSource) -> int | None:
    return (await made.offers())[0].available


async def test_bare_machines_are_offered_while_their_sshd_answers():
    async with answering(b"SSH-2.0-x\r\n") as port:
        (offer,) = await source(port).offers()
        assert offer.available == 2 and offer.host_type.initialise
    assert await free(source(port)) == 0, "nobody listens there any more"


async def test_what_answers_and_is_no_sshd_is_not_offered():
    async with answering(b"HTTP/1.1 400\r\n") as port:
        assert await free(source(port)) == 0


async def test_a_machine_that_was_given_back_is_lent_last():
    async with answering(b"SSH-2.0-x\r\n") as port:
        made = source(port)
        assert await made.create((HostOrder("a", "m"),)) == {}
        assert [one.engine for one in await made.list_all()] == ["ssh://root@one"]
        await made.delete(("a",))
        await made.create((HostOrder("b", "m"),))
        assert [one.engine for one in await made.list_all()] == ["ssh://root@two"]
