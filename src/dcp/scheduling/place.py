"""Placement: instances onto hosts, the same answer for the same question, a reason for every refusal.

The instances of one ask are identical, so they are one question: filters and scores are worked out once for all hosts,
as columns, and where all instances go is one choice. Asks are answered in their order, each on what the earlier ones
left. `place` is the door for a few hosts and wants every instance explained; `place_batch` is the one for a fleet that
lives on, and answers with columns.
"""

from dataclasses import dataclass

import numpy as np

from dcp.scheduling.choice import Chosen, choose, in_order
from dcp.scheduling.explain import explain
from dcp.scheduling.filters import room_for
from dcp.scheduling.fleet import Fleet, fleet_of
from dcp.scheduling.model import Ask, Assignment, Candidate, Placement, Unplaced
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
        scores, chosen = _choose(fleet, ask)
        assignments += _assignments(fleet, ask, scores, chosen)
        fleet.take(ask, scores.hosts[chosen.rows], chosen.counts)
        if left := ask.count - int(chosen.counts.sum()):
            unplaced.append(explain(fleet, ask, left))
    return Placement(tuple(assignments), tuple(unplaced))


def decide_batch(fleet: Fleet, ask: Ask) -> Batch:
    """Return where the instances of `ask` go; the fleet stays as it is."""
    scores, chosen = _choose(fleet, ask)
    return Batch(ask, scores.hosts[chosen.rows], chosen.counts)


def place_batch(fleet: Fleet, ask: Ask) -> Batch:
    """Decide where the instances of `ask` go, and put them there."""
    batch = decide_batch(fleet, ask)
    fleet.take(ask, batch.positions, batch.counts)
    return batch


def _choose(fleet: Fleet, ask: Ask) -> tuple[Scores, Chosen]:
    """Return the scores of the hosts that have room, and which of them are chosen."""
    fits = room_for(fleet, ask).fits()
    hosts = np.flatnonzero(fits > 0)
    scores = scores_for(fleet, ask, hosts)
    return scores, choose(fits[hosts], ask.count, scores.total)


def _assignments(fleet: Fleet, ask: Ask, scores: Scores, chosen: Chosen) -> list[Assignment]:
    """Return one assignment for each instance, in the order in which the best host was taken."""
    rows, before, totals = in_order(chosen, scores.total)
    parts = scores.parts(rows, before)
    names = tuple(parts)
    figures = zip(*(part.tolist() for part in parts.values()), strict=True)
    return [
        Assignment(ask.service, fleet.hosts[host].host_id, total, dict(zip(names, own, strict=True)))
        for host, total, own in zip(scores.hosts[rows].tolist(), totals.tolist(), figures, strict=True)
    ]
