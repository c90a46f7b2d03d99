"""Who gives way: instances of lower priority, never of the same, whose leaving lets one of higher priority fit.

Least harm: the highest priority among those that leave is as low as can be, then they are as few, then as small.
On a host all that are low enough are taken away in thought, and put back, the highest and of those the smallest first,
as long as the new one still fits.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dcp.scheduling.filters import room_for
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import Ask
from dcp.scheduling.place import place_batch
from dcp.scheduling.tally import Numbers

MOST_HOSTS = 32
"""So many hosts of one priority are compared in full, those with the least to take away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One instance that is there; `ask` is what it was placed with, its priority included."""

    instance_id: str
    host_id: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Preemption:
    """`victims` leave `host_id`, so that one instance fits there; `compared` hosts could have been chosen."""

    host_id: str
    victims: tuple[Standing, ...]
    compared: int


def decide_preemptions(fleet: Fleet, ask: Ask, standing: Sequence[Standing]) -> tuple[Preemption, ...]:
    """Return who leaves for up to `ask.count` instances that fit nowhere; the fleet, where all stand, stays as it is.

    What leaves for one instance is not put anywhere else here.
    """
    fleet, one = fleet.copy(), replace(ask, count=1)
    left = {item.instance_id: item for item in standing if item.ask.priority < ask.priority and item.host_id in fleet}
    found: list[Preemption] = []
    for _ in range(ask.count):
        chosen = _one(fleet, one, tuple(left.values()))
        if chosen is None:
            break
        found.append(chosen)
        for victim in chosen.victims:
            fleet.ended(victim.ask, chosen.host_id)
            del left[victim.instance_id]
        if place_batch(fleet, one).left:
            break
    return tuple(found)


def _one(fleet: Fleet, ask: Ask, standing: Sequence[Standing]) -> Preemption | None:
    for priority in sorted({item.ask.priority for item in standing}):
        on_host: dict[int, list[Standing]] = defaultdict(list)
        for item in standing:
            if item.ask.priority <= priority:
                on_host[fleet.position(item.host_id)].append(item)
        hosts = _with_enough(fleet, ask, on_host)
        options = [(host, _victims(fleet, ask, host, on_host[host])) for host in hosts]
        harms = [(_harm(victims), host, victims) for host, victims in options if victims]
        if harms:
            _, host, victims = min(harms, key=lambda option: option[:2])
            return Preemption(fleet.hosts[host].host_id, victims, len(harms))
    return None


def _with_enough(fleet: Fleet, ask: Ask, on_host: dict[int, list[Standing]]) -> list[int]:
    """Return hosts that have enough once all of these have left, those with the fewest of them first."""
    enough = np.zeros(len(fleet), dtype=np.bool_)
    enough[list(on_host)] = True
    for row, need in fleet.needs(ask.resources):
        free: Numbers = fleet.free[row].copy()
        for host, items in on_host.items():
            free[host] += sum(dict(fleet.needs(item.ask.resources)).get(row, 0) for item in items)
        enough &= free >= need
    return sorted(np.flatnonzero(enough).tolist(), key=lambda host: (len(on_host[host]), host))[:MOST_HOSTS]


def _victims(fleet: Fleet, ask: Ask, host: int, items: Sequence[Standing]) -> tuple[Standing, ...]:
    """Return the fewest, the lowest and the smallest that have to leave; none: it would not help."""
    trial, host_id = fleet.copy(), fleet.hosts[host].host_id
    for item in items:
        trial.ended(item.ask, host_id)
    if not _fits(trial, ask, host):
        return ()
    victims: list[Standing] = []
    for item in sorted(items, key=lambda item: (-item.ask.priority, _size(item), item.instance_id)):
        trial.placed(item.ask, host_id)
        if not _fits(trial, ask, host):
            trial.ended(item.ask, host_id)
            victims.append(item)
    return tuple(victims)


def _fits(fleet: Fleet, ask: Ask, host: int) -> bool:
    if ask.spread:
        return bool(place_batch(fleet.copy(), replace(ask, not_on=_others(fleet, host))).counts.sum())
    return bool(room_for(fleet, ask).fits()[host] > 0)


def _others(fleet: Fleet, host: int) -> frozenset[str]:
    return frozenset(one.host_id for position, one in enumerate(fleet.hosts) if position != host)


def _size(item: Standing) -> tuple[int, int]:
    return item.ask.resources.cpu_millis, item.ask.resources.memory_bytes


def _harm(victims: Sequence[Standing]) -> tuple[int, int, int, int]:
    return (
        max(item.ask.priority for item in victims),
        len(victims),
        sum(item.ask.resources.cpu_millis for item in victims),
        sum(item.ask.resources.memory_bytes for item in victims),
    )
