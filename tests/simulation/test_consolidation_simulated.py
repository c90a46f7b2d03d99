"""Cloud hosts that emptied out are brought together by the engine, new before old, also if the controller dies."""

from dataclasses import replace

import pytest
from two_clusters import SHAPE, TwoClusters, play, play_with_a_death

from dcp.drivers.clouds.fake import FakeCloud
from dcp.engine import commands
from dcp.hosts.model import HostType, Resources
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey, ServiceSpec
from dcp.store import instances

PAIR = HostType("pair", Resources(2000, 2 << 30), price_usd_per_hour=0.1, boot_s=3.0)
SERVICES = ("news", "feed", "user", "card")


class Pairs(TwoClusters):
    """One application on cloud hosts that hold two instances each."""

    def __init__(self) -> None:
        super().__init__(private=0, clusters=())
        self.cloud = FakeCloud("cloud", self.clock, types=(PAIR,))
        self.settings = replace(self.settings, access=())

    async def have(self, **replicas: int) -> None:
        services = tuple(
            ServiceSpec(name, ("serve",), SHAPE, replicas=count, stop_grace_s=1.0) for name, count in replicas.items()
        )
        await commands.apply(self.context(), ApplicationSpec("shop", services))

    def taking(self, service: str) -> int:
        return sum(1 for one in self.balancer.current(ServiceKey("shop", service)) if not one.draining)

    async def held_by(self, service: str) -> set[str]:
        live = await self.database.read(instances.live)
        return {one.host_id for one in live if one.service == service}

    async def in_use(self) -> set[str]:
        return {host.id for host in await self.ledger() if host.state != HostState.RELEASED}


async def four_on_two_hosts(world: Pairs) -> None:
    await world.have(**dict.fromkeys(SERVICES, 1))

    async def all_serve() -> bool:
        return all(world.taking(name) == 1 for name in SERVICES)

    await world.until(all_serve)
    assert len(await world.in_use()) == 2


async def one_stays_on_each(world: Pairs) -> tuple[str, str]:
    """Take away one of each host; return the services that stay."""
    there: dict[str, list[str]] = {}
    for name in SERVICES:
        (host,) = await world.held_by(name)
        there.setdefault(host, []).append(name)
    first, second = (sorted(names) for names in there.values())
    await world.have(**{first[0]: 1, second[0]: 1})
    return first[0], second[0]


async def consolidated(world: Pairs) -> None:
    stay = await one_stays_on_each(world)

    fewest = dict.fromkeys(stay, 1)

    async def on_one_host() -> bool:
        for name in stay:
            fewest[name] = min(fewest[name], world.taking(name))
        return len(await world.in_use()) == 1

    await world.until(on_one_host, within_s=600.0)
    assert fewest == dict.fromkeys(stay, 1), "each takes traffic all the time: start before stop"
    assert all(world.taking(name) == 1 for name in stay)
    assert set(world.runtime.starts.values()) == {1}


def test_two_half_empty_hosts_become_one_and_it_is_said_why() -> None:
    async def scenario(world: Pairs) -> None:
        await four_on_two_hosts(world)
        await consolidated(world)
        await world.until_settled()
        assert len(await world.in_use()) == 1, "and it stays so"
        assert any("so that cloud-" in words and "saves $0.1 an hour" in words for words in await world.said("placed"))

    play(Pairs, scenario)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.85])
def test_a_controller_that_dies_anywhere_in_between_is_mended(share: float) -> None:
    passed = play_with_a_death(Pairs, four_on_two_hosts, consolidated, None)
    play_with_a_death(Pairs, four_on_two_hosts, consolidated, max(1, int(share * passed)))
