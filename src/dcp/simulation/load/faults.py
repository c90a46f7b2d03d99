"""Faults of a surge, by name: what happens to hosts, instances, metrics, the proxy, clouds and the controller.

The names are those of the scenario file. Whom a fault hits is drawn from the seed; a fault that finds nobody to hit
does nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import ServiceKey
from dcp.simulation.load.ground import CLOUD_TYPE, Ground
from dcp.store import hosts


@dataclass(frozen=True, slots=True)
class Fault:
    """`name` happens `at_s` after the load began, for `for_s` where it ends by itself, to `count` of what it hits.

    `service`: whose instances or metrics; empty: anybody's.
    """

    name: str
    at_s: float
    for_s: float = 0.0
    count: int = 1
    service: str = ""


Doing = Callable[[Ground, Fault, random.Random], Awaitable[None]]


async def _hosts_lost(ground: Ground, fault: Fault, rng: random.Random) -> None:
    """Hosts vanish with all that runs there."""
    for host in _drawn(await _ready(ground), fault.count, rng):
        ground.runtime.lose_host(host.id)
        await ground.private.delete((host.id,))
        await ground.cloud.lose(host.id)


async def _notice(ground: Ground, fault: Fault, rng: random.Random) -> None:
    """Cloud hosts are taken away after `for_s`, which their cloud says beforehand."""
    rented = [host for host in await _ready(ground) if host.kind is SourceKind.CLOUD]
    chosen = _drawn(rented, fault.count, rng)
    for host in chosen:
        await ground.cloud.give_notice(host.id, fault.for_s)
    await ground.clock.sleep(fault.for_s)
    for host in chosen:
        ground.runtime.lose_host(host.id)
        await ground.cloud.lose(host.id)


async def _instances_crash(ground: Ground, fault: Fault, rng: random.Random) -> None:
    """Instances end by themselves, in the middle of their requests."""
    wanted = fault.service
    running = sorted(one for one in ground.runtime.running() if not wanted or one.rpartition("-")[0] == wanted)
    for one in rng.sample(running, min(fault.count, len(running))):
        ground.runtime.crash(one)


async def _metrics_missing(ground: Ground, fault: Fault, _: random.Random) -> None:
    """Counters are absent for a while."""
    for key in _keys(ground, fault):
        ground.balancer.vanish(key)
    await _shown_again(ground, fault)


async def _metrics_frozen(ground: Ground, fault: Fault, _: random.Random) -> None:
    """Counters stand still for a while, although requests go on."""
    for key in _keys(ground, fault):
        ground.balancer.freeze(key)
    await _shown_again(ground, fault)


async def _proxy_killed(ground: Ground, _: Fault, __: random.Random) -> None:
    """The proxy dies: requests under way are cut, counters start anew."""
    ground.balancer.kill()


async def _out_of_stock(ground: Ground, fault: Fault, _: random.Random) -> None:
    """The cloud has nothing left for a while."""
    ground.cloud.set_stock(CLOUD_TYPE, "", 0)
    await ground.clock.sleep(fault.for_s)
    ground.cloud.set_stock(CLOUD_TYPE, "", None)


async def _never_healthy(ground: Ground, fault: Fault, _: random.Random) -> None:
    """Instances that start meanwhile never become healthy."""
    names = [fault.service] if fault.service else [one.name for one in ground.spec.services]
    for name in names:
        ground.runtime.script(name, replace(ground.behaviour, never_healthy=True))
    await ground.clock.sleep(fault.for_s)
    for name in names:
        ground.runtime.script(name, ground.behaviour)


async def _controller_away(ground: Ground, fault: Fault, _: random.Random) -> None:
    """No controller runs for a while; the next one finds everything as it is."""
    await ground.stop_controller()
    await ground.clock.sleep(fault.for_s)
    ground.start_controller()


FAULTS: Mapping[str, Doing] = {
    "hosts-lost": _hosts_lost,
    "spot-notice": _notice,
    "instances-crash": _instances_crash,
    "metrics-missing": _metrics_missing,
    "metrics-frozen": _metrics_frozen,
    "proxy-killed": _proxy_killed,
    "out-of-stock": _out_of_stock,
    "never-healthy": _never_healthy,
    "controller-away": _controller_away,
}


async def happen(ground: Ground, faults: tuple[Fault, ...], seed: int) -> None:
    """Let every fault happen at its time; return when all are over."""
    began_at = ground.clock.now()

    async def one(number: int, fault: Fault) -> None:
        await ground.clock.sleep(began_at + fault.at_s - ground.clock.now())
        await FAULTS[fault.name](ground, fault, random.Random(f"{seed}/fault/{number}"))

    await asyncio.gather(*(one(number, fault) for number, fault in enumerate(faults)))


async def _ready(ground: Ground) -> list[Host]:
    return [host for host in await ground.context.database.read(hosts.current) if host.state is HostState.READY]


def _drawn(some: list[Host], count: int, rng: random.Random) -> list[Host]:
    return rng.sample(some, min(count, len(some)))


def _keys(ground: Ground, fault: Fault) -> tuple[ServiceKey, ...]:
    names = (fault.service,) if fault.service else tuple(one.name for one in ground.spec.services)
    return tuple(ServiceKey(ground.spec.name, name) for name in names)


async def _shown_again(ground: Ground, fault: Fault) -> None:
    await ground.clock.sleep(fault.for_s)
    for key in _keys(ground, fault):
        ground.balancer.show(key)
