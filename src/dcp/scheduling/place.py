"""Placement: instances onto hosts, the same answer for the same question, a reason for every refusal.

The instances of one ask are identical, so they are one question: filters and scores are worked out once for all hosts,
as columns, and where all instances go is one choice. Asks are answered in their order, each on what the earlier ones
left. `place` is the door for a few hosts and wants every instance explained; `place_batch` is the one for a fleet that
lives on, and answers with columns.
"""

from dataclasses import dataclass, replace

import numpy as np

from dcp.scheduling.choice import Chosen, choose, in_order
from dcp.scheduling.domains import choose_over_domains
from dcp.scheduling.explain import explain
from dcp.scheduling.filters import room_for
from dcp.scheduling.fleet import Fleet, fleet_of
from dcp.scheduling.model import HOST, Ask, Assignment, Candidate, Placement, RunnerUp, Unplaced
from dcp.scheduling.scores import Scores, scores_for
from dcp.scheduling.tally import Numbers, Positions


@dataclass(frozen=True, slots=True)
class Batch:
    """Where the instances of one ask go: `counts` to the hosts at `positions` of the fleet that was asked."""

    ask: Ask
    positions: Positions
    counts: Numbers

    @property
    def left(self) -> int:
        """How many fit nowhere."""
        return self.ask.count - int(self.counts.sum())


def place(asks: tuple[Ask, ...], candidates: tuple[Candidate, ...], seed: int) -> Placement:
    """Return where every instance goes, or why it fits nowhere.

    The order of `candidates` does not matter; ties between hosts are broken by `seed`. No host gets more than it has,
    and an instance is refused only if no host fits it once all others of the answer are there.
    """
    fleet = fleet_of(candidates, seed)
    assignments: list[Assignment] = []
    unplaced: list[Unplaced] = []
    for ask in asks:
        left = ask.count
        for step in _steps(ask):
            scores, chosen, room = _choose(fleet, step)
            placed = int(chosen.counts.sum())
            if not placed:
                break
            assignments += _assignments(fleet, step, scores, chosen, room)
            fleet.take(step, scores.hosts[chosen.rows], chosen.counts)
            left -= placed
        if left:
            unplaced.append(explain(fleet, ask, left))
    return Placement(tuple(assignments), tuple(unplaced))


def decide_batch(fleet: Fleet, ask: Ask) -> Batch:
    """Return where the instances of `ask` go; the fleet stays as it is."""
    if ask.count > 1 and _one_by_one(ask):
        return place_batch(fleet.copy(), ask)
    scores, chosen, _ = _choose(fleet, ask)
    return Batch(ask, scores.hosts[chosen.rows], chosen.counts)


def place_batch(fleet: Fleet, ask: Ask) -> Batch:
    """Decide where the instances of `ask` go, and put them there."""
    if ask.count > 1 and _one_by_one(ask):
        return _each(fleet, ask)
    batch = decide_batch(fleet, ask)
    fleet.take(ask, batch.positions, batch.counts)
    return batch


def _one_by_one(ask: Ask) -> bool:
    """Return whether each instance changes where the next may go: no two of a service in one domain."""
    return any(one.service == ask.service and one.within != HOST and not one.preferred for one in ask.apart)


def _steps(ask: Ask) -> list[Ask]:
    return [replace(ask, count=1)] * ask.count if _one_by_one(ask) else [ask]


def _each(fleet: Fleet, ask: Ask) -> Batch:
    """Place one after the other; as no domain gets two, there are never many."""
    found: list[int] = []
    for step in _steps(ask):
        batch = place_batch(fleet, step)
        if batch.left:
            break
        found += batch.positions.tolist()
    return Batch(ask, np.array(sorted(found), dtype=np.intp), np.ones(len(found), dtype=np.int64))


def _choose(fleet: Fleet, ask: Ask) -> tuple[Scores, Chosen, Numbers]:
    """Return the scores of the hosts that have room, which of them are chosen, and the room of each."""
    fits = room_for(fleet, ask).fits()
    hosts = np.flatnonzero(fits > 0)
    scores = scores_for(fleet, ask, hosts)
    if not ask.spread:
        return scores, choose(fits[hosts], ask.count, scores.total), fits[hosts]
    return scores, choose_over_domains(fleet, ask, fits, scores.total, scores.tiers()), fits[hosts]


def _assignments(fleet: Fleet, ask: Ask, scores: Scores, chosen: Chosen, room: Numbers) -> list[Assignment]:
    """Return one assignment for each instance, in the order in which the best host was taken."""
    rows, before, totals = in_order(chosen, scores.total)
    names = [fleet.hosts[host].host_id for host in scores.hosts[rows].tolist()]
    parts = _one_by_one_parts(scores, rows, before)
    if ask.spread:
        hosts = (fleet.hosts[host] for host in scores.hosts[rows].tolist())
        domains = [", ".join(f"{one.label} {host.labels.get(one.label, '')}" for one in ask.spread) for host in hosts]
        return [
            Assignment(ask.service, name, total, own, None, domain)
            for name, total, own, domain in zip(names, totals.tolist(), parts, domains, strict=True)
        ]
    return [
        Assignment(ask.service, name, total, own, after)
        for name, total, own, after in zip(
            names, totals.tolist(), parts, _runners_up(fleet, scores, chosen, room, rows, before), strict=True
        )
    ]


def _runners_up(
    fleet: Fleet, scores: Scores, chosen: Chosen, room: Numbers, rows: Positions, before: Numbers
) -> list[RunnerUp | None]:
    """Return what came next on another host: the next choice elsewhere, at the end the best host that is left."""
    ends = np.append(np.flatnonzero(rows[1:] != rows[:-1]) + 1, len(rows))
    later = ends[np.searchsorted(ends, np.arange(len(rows)), side="right")]
    best = _best_left(scores, chosen, room, int(rows[-1]))
    if best is not None:
        rows, before = np.append(rows, best[0]), np.append(before, best[1])
    known = later < len(rows)
    others, steps = rows[later[known]], before[later[known]]
    found: list[RunnerUp | None] = [
        RunnerUp(fleet.hosts[host].host_id, total, own)
        for host, total, own in zip(
            scores.hosts[others].tolist(),
            scores.total(others, steps).tolist(),
            _one_by_one_parts(scores, others, steps),
            strict=True,
        )
    ]
    return found + [None] * (len(later) - len(found))


def _best_left(scores: Scores, chosen: Chosen, room: Numbers, last: int) -> tuple[int, int] | None:
    """Return the row that would be next, other than `last`, and how many it has got."""
    given = np.zeros(len(room), dtype=np.int64)
    given[chosen.rows] = chosen.counts
    total = scores.total(np.arange(len(room)), given)
    total[(given >= room) | (np.arange(len(room)) == last)] = -np.inf
    row = int(np.argmax(total))
    return None if total[row] == -np.inf else (row, int(given[row]))


def _one_by_one_parts(scores: Scores, rows: Positions, before: Numbers) -> list[dict[str, float]]:
    parts = scores.parts(rows, before)
    names = tuple(parts)
    figures = zip(*(part.tolist() for part in parts.values()), strict=True)
    return [dict(zip(names, own, strict=True)) for own in figures]
