"""Scores: which of the hosts that can take an instance is best.

Four parts, weighted so that an earlier one outweighs all later ones together: a ready host before one that is still
coming, a private host before a cloud host, a host with few instances of the same service before one with many, a full
host before an empty one. The last keeps instances on few hosts, so that others become empty and can be given back.
The third halves from the first instance to the second and so on; beyond about ten instances of one service on every
host, filling a host may count for more than evenness.

For instances with an image a part stands beside the spread: a host that has the image need not be waited for. It
outweighs one instance of the service more or less from the second one on, so that the first ones are still spread.

A score is a function of what stands on the host and of nothing else: not of the way in which it came there. So a batch
and the same instances one after the other see the same scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dcp.scheduling.fleet import CPU, MEMORY, Figures, Flags, Fleet
from dcp.scheduling.model import Ask
from dcp.scheduling.tally import Numbers, Positions

READY = 1000.0
PRIVATE = 100.0
SPREAD = 99.0
"""For a host without an instance of the service; divided by one more than it has."""
IMAGE = 20.0
"""For a host that has the image; then a host without an instance of the service gets that much less than SPREAD."""
FULL = 1.0
"""For a host that the instance fills to the last; in proportion below."""

Index = Positions | slice


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of some hosts for instances of one ask. Hosts are named by their index among these."""

    hosts: Positions
    """Their positions in the fleet."""
    fixed: Mapping[str, Figures]
    """Parts that stay as they are while instances of the ask are put there."""
    fixed_sum: Figures
    same: Figures | None
    """Instances of the service that are there already; None: there are none anywhere."""
    spread: float
    loads: tuple["Load", ...]

    def parts(self, index: Index, more: Numbers) -> dict[str, Figures]:
        """Return the parts for one more instance on hosts, once `more` of the ask are there; shapes are broadcast."""
        fixed = {name: part[index] for name, part in self.fixed.items()}
        image = {"image": fixed.pop("image")} if "image" in fixed else {}
        return {**fixed, "spread": self._spread(index, more), **image, "full": self._full(index, more)}

    def total(self, index: Index, more: Numbers) -> Figures:
        """Return the sum of the parts."""
        total: Figures = self.fixed_sum[index] + self._spread(index, more) + self._full(index, more)
        return total

    def _spread(self, index: Index, more: Numbers) -> Figures:
        there = more if self.same is None else self.same[index] + more
        found: Figures = np.divide(self.spread, there + 1)
        return found

    def _full(self, index: Index, more: Numbers) -> Figures:
        """Return the used share of hosts once one more is there: the mean of processor and memory."""
        shares = [(load.used[index] + (more + 1) * load.one) / load.size[index] for load in self.loads]
        full: Figures = np.add(*shares) * (FULL / 2)
        return full


@dataclass(frozen=True, slots=True)
class Load:
    """What is used of one resource on some hosts, and what one more instance uses."""

    used: Figures
    size: Figures
    one: float


def scores_for(fleet: Fleet, ask: Ask, hosts: Positions) -> Scores:
    """Return the scores of `hosts`, which ascend, for instances of `ask` on the fleet as it is now."""
    among: Index = slice(None) if len(hosts) == len(fleet) else hosts
    fixed = {"ready": _worth(fleet.ready[among], READY), "private": _worth(fleet.private[among], PRIVATE)}
    if ask.image:
        fixed["image"] = _worth(fleet.has_image(ask.image)[among], IMAGE)
    same = fleet.same(ask.service)
    needs = ((CPU, ask.resources.cpu_millis), (MEMORY, ask.resources.memory_bytes))
    return Scores(
        hosts=hosts,
        fixed=fixed,
        fixed_sum=np.sum(list(fixed.values()), axis=0),
        same=None if same is None else same[among].astype(np.float64),
        spread=SPREAD - IMAGE if ask.image else SPREAD,
        loads=tuple(Load(fleet.used[one, among], fleet.size[one, among], float(need)) for one, need in needs),
    )


def _worth(flags: Flags, weight: float) -> Figures:
    return np.multiply(flags, weight, dtype=np.float64)
