"""Instances spread over domains: sites, zones, racks, whatever a label names.

Evenness is not a score: the domain with the fewest instances of the service comes first, the outermost domain before
those in it, and scores decide inside. Without a maximal skew readiness and source go before evenness, so that nothing
is bought only to be even. With one, evenness goes before all, and a domain never has so many more than the one with the
fewest; one that is full still counts, so that its loss is never a surprise.

How many go to each domain is worked out at once: the fewest are filled up like water, which is where one after the
other would lead too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dcp.scheduling.choice import Chosen, Worth, choose
from dcp.scheduling.filters import ever_for
from dcp.scheduling.fleet import Figures, Fleet
from dcp.scheduling.labels import domain_of
from dcp.scheduling.model import Ask
from dcp.scheduling.tally import Numbers, Positions

_RADIX = 2**15 - 1
"""So many domains are sorted as short numbers, which is several times as fast."""


@dataclass(frozen=True, slots=True)
class _Level:
    """Domains of one label: of each host, how many of the service are in each, and the most above the fewest."""

    codes: Positions
    counts: Numbers
    firsts: Positions
    """By domain: its first host that may have the service, full or not; between equals the lowest comes first."""
    max_skew: int | None


@dataclass(frozen=True, slots=True)
class _Spread:
    levels: tuple[_Level, ...]
    room: Numbers
    """Of every host of the fleet."""
    choose: Callable[[Positions, int], Chosen]
    """Which of some hosts get so many; rows of the answer are positions in the fleet."""


def choose_over_domains(fleet: Fleet, ask: Ask, fits: Numbers, worth: Worth, tiers: Figures) -> Chosen:
    """Return where instances go; rows and `tiers` are those of the hosts with room, `fits` is of the whole fleet."""
    hosts = np.flatnonzero(fits > 0)
    rows = np.full(len(fleet), -1)
    rows[hosts] = np.arange(len(hosts))

    def choose_among(positions: Positions, count: int) -> Chosen:
        own = rows[positions]
        part = choose(fits[positions], count, lambda index, more: worth(own[index], more))
        return Chosen(positions[part.rows], part.counts)

    ever = np.flatnonzero(ever_for(fleet, ask))
    levels = _levels(fleet, ask, ever)
    strict = any(level.max_skew is not None for level in levels)
    given, left = np.zeros(len(fleet), dtype=np.int64), ask.count
    steps = [hosts] if strict else [hosts[tiers == tier] for tier in np.unique(tiers)[::-1].tolist()]
    for some in steps:
        if not left:
            break
        # Only with a skew do domains without room count.
        chosen = _share_out(_Spread(levels, fits, choose_among), 0, ever if strict else some, left)
        given[chosen.rows] += chosen.counts
        left -= int(chosen.counts.sum())
        for level in levels:
            np.add.at(level.counts, level.codes[chosen.rows], chosen.counts)
    return Chosen(rows[np.flatnonzero(given)], given[given > 0])


def _levels(fleet: Fleet, ask: Ask, ever: Positions) -> tuple[_Level, ...]:
    same = fleet.same(ask.service)
    within: tuple[str, ...] = ()
    found: list[_Level] = []
    for one in ask.spread:
        within = domain_of(one.label, within)
        column = fleet.domains(within)
        counts = np.zeros(len(column.values), dtype=np.int64)
        if same is not None:
            np.add.at(counts, column.codes, same)
        firsts = np.zeros(len(column.values), dtype=np.intp)
        firsts[column.codes[ever[::-1]]] = ever[::-1]
        short: Any = column.codes.astype(np.int16) if len(column.values) <= _RADIX else column.codes
        found.append(_Level(short, counts, firsts, one.max_skew))
    return tuple(found)


def _share_out(spread: _Spread, depth: int, hosts: Positions, count: int) -> Chosen:
    """Return where `count` instances go among `hosts`, which are all of one domain of each level above `depth`."""
    if depth == len(spread.levels):
        some = hosts[spread.room[hosts] > 0]
        return spread.choose(some, count)
    level = spread.levels[depth]
    groups = _groups(level, hosts)
    counts = level.counts[[level.codes[group[0]] for group in groups]]
    room = _room(spread, depth, groups, counts, count)
    shares = fill_up(counts, room, count)
    parts = [
        _share_out(spread, depth + 1, group, share)
        for group, share in zip(groups, shares.tolist(), strict=True)
        if share
    ]
    if not parts:
        return Chosen(hosts[:0], spread.room[:0])
    return Chosen(np.concatenate([one.rows for one in parts]), np.concatenate([one.counts for one in parts]))


def _groups(level: _Level, hosts: Positions) -> list[Positions]:
    """Return the hosts of each domain, in the order of the domains' first hosts."""
    if not len(hosts):
        return []
    codes = level.codes[hosts]
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order])) + 1
    ordered = hosts[order]
    bounds = [0, *ends.tolist(), len(ordered)]
    groups = [ordered[begin:end] for begin, end in pairwise(bounds)]
    return [groups[number] for number in np.argsort(level.firsts[[level.codes[group[0]] for group in groups]]).tolist()]


def _room(spread: _Spread, depth: int, groups: Sequence[Positions], counts: Numbers, most: int) -> Numbers:
    """Return how many more each domain takes, bounded by the skew that its level allows."""
    room = np.array([_most(spread, depth + 1, group, most) for group in groups], dtype=np.int64)
    skew = spread.levels[depth].max_skew
    if skew is None or not len(room):
        return room
    highest = int((counts + room).min()) + skew
    return np.clip(highest - counts, 0, room)


def _most(spread: _Spread, depth: int, hosts: Positions, most: int) -> int:
    """Return how many of `most` fit on `hosts` under the skews of the levels from `depth` on."""
    if depth == len(spread.levels) or all(level.max_skew is None for level in spread.levels[depth:]):
        return min(most, int(spread.room[hosts].sum()))
    level = spread.levels[depth]
    groups = _groups(level, hosts)
    counts = level.counts[[level.codes[group[0]] for group in groups]]
    return min(most, int(_room(spread, depth, groups, counts, most).sum()))


def fill_up(counts: Numbers, room: Numbers, more: int) -> Numbers:
    """Return how many of `more` each gets if the lowest of `counts`, the first among equals, gets one again and again.

    None gets more than its `room`.
    """
    if int(room.sum()) <= more:
        return room
    low, high = int(counts.min()), int((counts + room).max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.clip(middle - counts, 0, room).sum()) <= more:
            low = middle
        else:
            high = middle - 1
    found: Numbers = np.clip(low - counts, 0, room)
    next_ones = np.flatnonzero((counts + found == low) & (found < room))[: more - int(found.sum())]
    found[next_ones] += 1
    return found
