"""Several proxies and several controllers: who is waited for, who is not, and what nobody may do.

Everything is real: Envoys, mutual TLS, instances. Controllers are objects in this process, each an xDS server.
"""

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from envoy_fleet import LOOPBACK, Remotes, fleet_options, free_ports

from dcp.drivers.balancers.envoy import EnvoyBalancer, EnvoyOptions, ListenerTls, bootstrap_of
from dcp.drivers.balancers.envoy.certificates import Authority
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.store import events
from dcp.store.database import open_database
from dcp.store.edge import StoredEdge

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("envoy")]

FEED = ServiceKey("shop", "feed")
NUMBERS = count(1)


class World:
    """Controllers, proxies and instances around one store."""

    def __init__(self, directory: Path, options: EnvoyOptions) -> None:
        self.directory = directory
        self.options = options
        self.remotes = Remotes(directory, options)
        self.clock = SystemClock()
        self.database = open_database(f"sqlite:///{directory}/store.sqlite")
        self.ledger = StoredEdge(self.database, self.clock)
        self._controllers: list[EnvoyBalancer] = []
        self._servers: list[asyncio.Server] = []

    def controller(self, options: EnvoyOptions | None = None) -> EnvoyBalancer:
        made = EnvoyBalancer(self.directory, self.clock, self.ledger, options or self.options)
        self._controllers.append(made)
        return made

    async def instance(self) -> Endpoint:
        """Start an instance that answers with its own name."""
        name = f"feed-{next(NUMBERS)}"

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline() not in (b"\r\n", b""):
                pass
            writer.write(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode())
            writer.close()

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        self._servers.append(server)
        return Endpoint(name, LOOPBACK, server.sockets[0].getsockname()[1])

    async def ask(self, place: int, route: Route, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
        """Return what the proxy edge-`place` answers: its status and who answered; 0 if it does not listen."""
        address = self.options.proxies[place - 1].listen_address
        url = f"{'https' if tls else 'http'}://{address}:{route.listen_port}/"
        secured = {"ssl": tls, "server_hostname": "controller.dcp"} if tls else {}
        try:
            async with aiohttp.ClientSession() as session, session.get(url, **secured) as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def until_counted(self, *nodes: str) -> None:
        async with asyncio.timeout(45):
            while (await self.ledger.load()).counted() != set(nodes):
                await asyncio.sleep(0.02)

    async def reasons(self, subject: str) -> list[str]:
        logged = await self.database.read(lambda connection: events.of_subject(connection, subject, 100))
        return [one.event.reason for one in logged]

    async def close(self) -> None:
        await self.controller().stop()
        for controller in self._controllers:
            await controller.aclose()
        await self.remotes.close()
        for server in self._servers:
            server.close()
        self.database.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two proxies elsewhere, none beside the controller."""
    made = World(tmp_path, fleet_options(embedded=False, remotes=2, away_after_s=1.5))
    await made.remotes.start_all()
    yield made
    await made.close()


@pytest.fixture
def route(world: World) -> Route:
    return Route(FEED, free_ports(LOOPBACK, 1))


async def test_a_silent_proxy_is_not_waited_for_after_a_time_and_comes_back_with_the_present_state(
    world: World, route: Route
) -> None:
    controller = world.controller()
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    first, second = await world.instance(), await world.instance()
    await controller.set_routes((route,))
    await controller.set_endpoints(FEED, (first,), fence=1)
    world.remotes.signal("edge-2", signal.SIGSTOP)
    started = world.clock.now()
    await controller.set_endpoints(FEED, (second,), fence=1)
    took_s = world.clock.now() - started
    assert 1.4 < took_s < 6, "waited for, but not for ever"
    started = world.clock.now()
    await controller.set_endpoints(FEED, (replace(second, weight=17),), fence=1)
    assert world.clock.now() - started < 1.4, "only once"
    assert (await world.ask(1, route))[1] == second.instance_id
    assert (await world.ledger.load()).counted() == {"edge-1"}
    world.remotes.signal("edge-2", signal.SIGCONT)
    await world.until_counted("edge-1", "edge-2")
    assert (await world.ask(2, route))[1] == second.instance_id, "what is counted on has the present state"
    assert await world.reasons("proxy/edge-2") == ["proxy-back", "proxy-away", "proxy-back"]


async def test_a_killed_proxy_is_right_again_once_it_is_started(world: World, route: Route) -> None:
    controller = world.controller()
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    first, second = await world.instance(), await world.instance()
    await controller.set_routes((route,))
    await controller.set_endpoints(FEED, (first,), fence=1)
    await world.remotes.kill("edge-2")
    async with asyncio.TaskGroup() as group:
        change = group.create_task(controller.set_endpoints(FEED, (second,), fence=1))
        await asyncio.sleep(0.3)
        assert not change.done()
        await world.remotes.start("edge-2")
    started = world.clock.now()
    while (await world.ask(2, route))[0] == 0:
        assert world.clock.now() - started < 5
        await asyncio.sleep(0.02)
    assert (await world.ask(2, route)) == (200, second.instance_id)
    assert await world.reasons("proxy/edge-2") == ["proxy-back"], "back before it was given up"


async def test_silence_is_noticed_without_a_change_and_with_no_proxy_left_nothing_is_acknowledged(
    world: World, route: Route
) -> None:
    controller = world.controller()
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    await controller.set_routes((route,))
    await world.remotes.kill("edge-1")
    async with asyncio.timeout(15):
        while (await world.ledger.load()).counted() != {"edge-2"}:
            await controller.ensure_running()
            await asyncio.sleep(0.1)
    await world.remotes.kill("edge-2")
    with pytest.raises(DriverError, match="has not taken over the endpoints of shop/feed"):
        await controller.set_endpoints(FEED, (await world.instance(),), fence=1)
    with pytest.raises(DriverError):
        await controller.traffic()


async def test_two_controllers_tell_all_proxies_the_same_whichever_a_proxy_is_connected_to(
    world: World, route: Route
) -> None:
    one = world.controller()
    await one.open()
    await world.until_counted("edge-1", "edge-2")
    other_listen = (LOOPBACK, free_ports(LOOPBACK, 1))
    other = world.controller(replace(world.options, listen=other_listen))
    await other.open()
    first, second = await world.instance(), await world.instance()
    await one.set_routes((route,))
    await other.set_endpoints(FEED, (first,), fence=1)
    assert {(await world.ask(place, route))[1] for place in (1, 2)} == {first.instance_id}
    await one.set_endpoints(FEED, (second,), fence=2)
    assert {(await world.ask(place, route))[1] for place in (1, 2)} == {second.instance_id}
    with pytest.raises(LeaseLost):
        await other.set_endpoints(FEED, (first,), fence=1)
    await asyncio.gather(*(other.set_endpoints(FEED, (each,), fence=2) for each in (first, second, first)))
    assert {place.port for place in await one.endpoints(FEED)} == {place.port for place in await other.endpoints(FEED)}
    assert (await other.traffic())[FEED].arrived == (await one.traffic())[FEED].arrived == 4


async def test_proxies_serve_on_between_controllers_and_are_told_nothing_but_what_changed(
    world: World, route: Route
) -> None:
    first = world.controller()
    await first.open()
    await world.until_counted("edge-1", "edge-2")
    instance = await world.instance()
    await first.set_routes((route,))
    await first.set_endpoints(FEED, (instance,), fence=1)
    over = asyncio.Event()
    statuses: list[int] = []

    async def client(place: int) -> None:
        while not over.is_set():
            statuses.append((await world.ask(place, route))[0])

    async with asyncio.TaskGroup() as group:
        for place in (1, 2):
            group.create_task(client(place))
        await first.aclose()
        await asyncio.sleep(0.5)
        again = world.controller()
        await again.open()
        joined = await world.instance()
        await again.set_endpoints(FEED, (instance, joined), fence=2)
        over.set()
    assert set(statuses) == {200}
    assert len(statuses) > 50
    assert len(await again.endpoints(FEED)) == 2


async def test_a_refusal_is_an_error_in_the_words_of_the_proxy_and_passes(world: World, route: Route) -> None:
    controller = world.controller()
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    await controller.set_routes((route,))
    impossible = Endpoint("feed-0", LOOPBACK, 70_000)
    with pytest.raises(DriverError, match=r"(?s)proxy edge-\d refused the endpoints of shop/feed: .*PortValue"):
        await controller.set_endpoints(FEED, (impossible,), fence=1)
    instance = await world.instance()
    await controller.set_endpoints(FEED, (instance,), fence=1)
    assert {(await world.ask(place, route))[1] for place in (1, 2)} == {instance.instance_id}


async def test_a_proxy_that_can_not_be_asked_is_not_counted_on(world: World, route: Route) -> None:
    wrong = replace(world.options.proxies[1], workers=2)
    controller = world.controller(replace(world.options, proxies=(world.options.proxies[0], wrong)))
    await controller.open()
    await world.until_counted("edge-1")
    await controller.set_routes((route,))
    instance = await world.instance()
    started = world.clock.now()
    await controller.set_endpoints(FEED, (instance,), fence=1)
    assert world.clock.now() - started < 1.4, "nobody waits for it"
    async with asyncio.timeout(5):
        while (await world.ask(2, route))[1] != instance.instance_id:  # it serves all the same
            await asyncio.sleep(0.02)
    assert (await world.ledger.load()).counted() == {"edge-1"}


async def test_only_a_proxy_with_its_own_certificate_is_answered(world: World, tmp_path: Path, route: Route) -> None:
    controller = world.controller()
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    await controller.set_routes((route,))
    foreign = Authority.made_in(tmp_path / "foreign", world.clock)
    mine = bootstrap_of("edge-2", tmp_path, world.options, world.clock)
    stolen = bootstrap_of("edge-1", tmp_path, world.options, world.clock)
    theirs = foreign.for_proxy("edge-2")
    texts = {
        "another proxy's certificate": json.dumps(dict(stolen) | {"node": mine["node"]}),
        "a certificate of somebody else": _with_identity(mine, theirs.chain, theirs.key),
    }
    for what, text in texts.items():
        await world.remotes.kill("edge-2")
        (tmp_path / "edge-2.json").write_text(text)
        await world.remotes.start("edge-2")
        await asyncio.sleep(1.0)
        assert await world.ask(2, route) == (0, ""), what


def _with_identity(bootstrap: object, chain: str, key: str) -> str:
    def changed(value: object) -> object:
        if isinstance(value, dict):
            if "private_key" in value:
                return value | {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
            return {name: changed(one) for name, one in value.items()}
        return [changed(one) for one in value] if isinstance(value, list) else value

    return json.dumps(changed(bootstrap))


async def test_strangers_cannot_ask_a_proxy(world: World) -> None:
    await world.controller().open()
    await world.until_counted("edge-1", "edge-2")
    proxy = world.options.proxies[0]
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    for port in (proxy.status_port, proxy.status_port + 1):
        with pytest.raises(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"https://{proxy.status_address}:{port}/stats", ssl=stranger) as response,
            ):
                await response.text()


async def test_a_port_with_a_certificate_speaks_tls_at_every_proxy(world: World, route: Route, tmp_path: Path) -> None:
    identity = Authority.made_in(tmp_path / "public", world.clock).for_controller()
    (tmp_path / "shop.pem").write_text(identity.chain)
    (tmp_path / "shop.key").write_text(identity.key)
    tls = ListenerTls(route.listen_port, tmp_path / "shop.pem", tmp_path / "shop.key")
    controller = world.controller(replace(world.options, tls=(tls,)))
    await controller.open()
    await world.until_counted("edge-1", "edge-2")
    instance = await world.instance()
    plain = Route(ServiceKey("shop", "plain"), free_ports(LOOPBACK, 1))
    await controller.set_routes((route, plain))
    await controller.set_endpoints(FEED, (instance,), fence=1)
    await controller.set_endpoints(plain.service, (instance,), fence=1)
    trusting = ssl.create_default_context(cadata=identity.authority)
    for place in (1, 2):
        assert await world.ask(place, route, trusting) == (200, instance.instance_id)
        assert (await world.ask(place, route))[0] == 0, "plain HTTP is not answered there"
        assert (await world.ask(place, plain))[0] == 200


async def test_another_controller_answers_the_embedded_proxy_when_the_first_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path, EnvoyOptions())
    route = Route(FEED, free_ports(LOOPBACK, 1))
    try:
        one, other = world.controller(), world.controller()
        await one.ensure_running()
        await other.open()
        await one.set_routes((route,))
        await other.set_endpoints(FEED, (await world.instance(),), fence=1)
        await one.aclose()
        last = await world.instance()
        await other.set_endpoints(FEED, (last,), fence=2)
        assert {status.port for status in await other.endpoints(FEED)} == {last.port}
    finally:
        await world.close()


async def test_several_hundred_services_need_nothing_of_the_machine(tmp_path: Path) -> None:
    world = World(tmp_path, EnvoyOptions())
    try:
        controller = world.controller()
        await controller.ensure_running()
        first = free_ports(LOOPBACK, 200)
        routes = tuple(Route(ServiceKey("many", f"service-{n}"), first + n) for n in range(200))
        await controller.set_routes(routes)
        instance = await world.instance()
        await asyncio.gather(*(controller.set_endpoints(one.service, (instance,), fence=1) for one in routes))
        for one in (routes[0], routes[-1]):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{LOOPBACK}:{one.listen_port}/") as response,
            ):
                assert response.status == 200
    finally:
        await world.close()
