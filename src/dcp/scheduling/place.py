"""Placement: instances onto hosts, the same answer for the same question, a reason for every refusal.

The instances of one ask are identical, so filters and scores are worked out once for all hosts, as columns; then the
best host is taken from a heap, again and again, and only its own score changes. Asks are answered in their order, each
on what the earlier ones left.
"""

import heapq

from dcp.scheduling.explain import explain
from dcp.scheduling.filters import room_for
from dcp.scheduling.fleet import Fleet, fleet_of
from dcp.scheduling.model import Ask, Assignment, Candidate, Placement, Unplaced
from dcp.scheduling.scores import best_hosts


def place(asks: tuple[Ask, ...], candidates: tuple[Candidate, ...], seed: int) -> Placement:
    """Return where every instance goes, or why it fits nowhere.

    The order of `candidates` does not matter; ties between hosts are broken by `seed`. No host gets more than it has,
    and an instance is refused only if no host fits it once all others of the answer are there.
    """
    fleet = fleet_of(candidates, seed)
    assignments: list[Assignment] = []
    unplaced: list[Unplaced] = []
    for ask in asks:
        placed = _place_one(fleet, ask)
        assignments.extend(placed)
        if len(placed) < ask.count:
            unplaced.append(explain(fleet, ask, ask.count - len(placed)))
    return Placement(tuple(assignments), tuple(unplaced))


def _place_one(fleet: Fleet, ask: Ask) -> list[Assignment]:
    """Place what fits of one ask, and take it from the fleet."""
    fits = room_for(fleet, ask).fits()
    scores = {score.position: score for score in best_hosts(fleet, ask, fits)}
    left = {position: int(fits[position]) for position in scores}
    heap = [(-score.total(), position) for position, score in scores.items()]
    heapq.heapify(heap)
    placed: list[Assignment] = []
    while heap and len(placed) < ask.count:
        total, position = heap[0]
        score = scores[position]
        placed.append(Assignment(ask.service, fleet.hosts[position].host_id, -total, score.parts()))
        score.add_one()
        left[position] -= 1
        if left[position]:
            heapq.heapreplace(heap, (-score.total(), position))
        else:
            heapq.heappop(heap)
    for position, room in left.items():
        fleet.take(position, ask, int(fits[position]) - room)
    return placed
