"""Other ways to choose a host, one instance after the other: first-fit, best-fit, and the scores of Kubernetes.

Re-created from the published rules of kube-scheduler (plugins NodeResourcesFit and NodeResourcesBalancedAllocation,
weight 1 each; scores are whole numbers up to 100, of processor and memory; one of the best at random). A new host joins
when none has room, as a cluster autoscaler would add it.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dcp.orchestration.scaling.patterns import Counts, Figures

CPU, MEMORY = 0, 1
Score = Callable[[Counts, Counts, Counts], Figures]
"""What is used on some hosts, what those hosts have, what one instance needs: the highest is chosen."""


@dataclass
class Hosts:
    """Hosts in the order in which they joined: what they have, what is used."""

    room: Counts
    used: Counts
    new: Counts | None
    """What a host has that joins when there is no room; None: none does."""
    unplaced: int = 0

    def add(self) -> int:
        assert self.new is not None
        self.room = np.vstack([self.room, self.new])
        self.used = np.vstack([self.used, np.zeros_like(self.new)])
        return len(self.room) - 1


def place_each(hosts: Hosts, sizes: Iterable[Counts], score: Score, seed: int) -> Hosts:
    """Place instances in their order, each on the host with the highest score."""
    dice = random.Random(seed)
    for size in sizes:
        fits = np.flatnonzero((hosts.used + size <= hosts.room).all(axis=1))
        if len(fits):
            scores = score(hosts.used[fits], hosts.room[fits], size)
            best = np.flatnonzero(scores == scores.max())
            chosen = int(fits[best[0] if score in IN_ORDER else best[dice.randrange(len(best))]])
        elif hosts.new is None or (size > hosts.new).any():
            hosts.unplaced += 1
            continue
        else:
            chosen = hosts.add()
        hosts.used[chosen] += size
    return hosts


def first_fit(used: Counts, room: Counts, size: Counts) -> Figures:
    return np.zeros(len(used))


def best_fit(used: Counts, room: Counts, size: Counts) -> Figures:
    """Prefer the host with the least left."""
    share = (used + size) / np.maximum(room, 1)
    found: Figures = share[:, :2].sum(axis=1)
    return found


def kubernetes_default(used: Counts, room: Counts, size: Counts) -> Figures:
    """LeastAllocated and BalancedAllocation."""
    return _least(used + size, room) + _balanced(used, room, size)


def kubernetes_most(used: Counts, room: Counts, size: Counts) -> Figures:
    """MostAllocated and BalancedAllocation."""
    return _most(used + size, room) + _balanced(used, room, size)


IN_ORDER = (first_fit, best_fit)


def _least(after: Counts, room: Counts) -> Figures:
    each = (room[:, :2] - after[:, :2]) * 100 // room[:, :2]
    found: Figures = (each.sum(axis=1) // 2).astype(np.float64)
    return found


def _most(after: Counts, room: Counts) -> Figures:
    each = after[:, :2] * 100 // room[:, :2]
    found: Figures = (each.sum(axis=1) // 2).astype(np.float64)
    return found


def _balanced(used: Counts, room: Counts, size: Counts) -> Figures:
    """50, and half of 50 and what the instance changes in evenness."""
    found: Figures = 50.0 + (50 + _even(used + size, room) - _even(used, room)) // 2
    return found


def _even(used: Counts, room: Counts) -> Counts:
    share = np.minimum(used[:, :2] / room[:, :2], 1.0)
    found: Counts = ((1 - np.abs(share[:, CPU] - share[:, MEMORY]) / 2) * 100).astype(np.int64)
    return found
