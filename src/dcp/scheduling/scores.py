"""Scores: which of the hosts that can take an instance is best.

`SCORES` is the table of parts; what each is worth at most stands in `Weights`. As they are by default an earlier part
outweighs all later ones together: a ready host before one that is still coming, a private host before a cloud host, a
host with few instances of the same service before one with many, a full host before an empty one. The last keeps
instances on few hosts, so that others become empty and can be given back. The third halves from the first instance to
the second and so on; beyond about ten instances of one service on every host, filling a host may count for more.

For instances with an image a part stands beside the spread: a host that has the image need not be waited for. It
outweighs one instance of the service more or less from the second one on, so that the first ones are still spread.

Where hosts have named resources, those that have some left which the instance does not need come after all others of
the same source: a GPU whose host is full of something else is lost to those that need one.

A score is a function of what stands on the host and of nothing else: not of the way in which it came there. So a batch
and the same instances one after the other see the same scores.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dcp.scheduling.filters import near
from dcp.scheduling.fleet import CPU, DISK, MEMORY, Figures, Fleet
from dcp.scheduling.model import Ask, Neighbour, Weights
from dcp.scheduling.tally import Numbers, Positions
from dcp.scheduling.traits import CPU_BOUND, IO_BOUND, leans

Index = Positions | slice
Part = Callable[[Index, Numbers], Figures]
"""What one more instance is worth on hosts (by index), once so many of the ask are there; shapes are broadcast."""


@dataclass(frozen=True, slots=True)
class View:
    """What scores look at: the fleet, the question, and the hosts that are scored."""

    fleet: Fleet
    ask: Ask
    among: Index
    same: Figures | None
    """Instances of the service that are there already; None: there are none anywhere."""

    @property
    def weights(self) -> Weights:
        return self.ask.weights


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the table. A fixed part stays as it is while instances of the ask are put there."""

    name: str
    fixed: Callable[[View], Figures] | None = None
    moving: Callable[[View], Part] | None = None
    applies: Callable[[View], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of some hosts for instances of one ask. Hosts are named by their index among these."""

    hosts: Positions
    """Their positions in the fleet."""
    fixed: dict[str, Figures]
    fixed_sum: Figures
    moving: dict[str, Part]

    def parts(self, index: Index, more: Numbers) -> dict[str, Figures]:
        """Return the parts for one more instance on hosts, once `more` of the ask are there; shapes are broadcast."""
        found = {name: part[index] for name, part in self.fixed.items()}
        found |= {name: part(index, more) for name, part in self.moving.items()}
        return {score.name: found[score.name] for score in SCORES if score.name in found}

    def total(self, index: Index, more: Numbers) -> Figures:
        """Return the sum of the parts."""
        total = self.fixed_sum[index] if self.moving else self.fixed_sum[index] + np.zeros(np.shape(more))
        for part in self.moving.values():
            total = total + part(index, more)
        return total

    def tiers(self) -> Figures:
        """Return what readiness and source are worth: before evenness over domains."""
        found: Figures = self.fixed["ready"] + self.fixed["private"]
        return found


def scores_for(fleet: Fleet, ask: Ask, hosts: Positions) -> Scores:
    """Return the scores of `hosts`, which ascend, for instances of `ask` on the fleet as it is now."""
    among: Index = slice(None) if len(hosts) == len(fleet) else hosts
    same = fleet.same(ask.service)
    view = View(fleet, ask, among, None if same is None else same[among].astype(np.float64))
    used = [score for score in SCORES if score.applies(view)]
    fixed = {score.name: score.fixed(view) for score in used if score.fixed is not None}
    moving = {score.name: score.moving(view) for score in used if score.moving is not None}
    return Scores(hosts, fixed, np.sum(list(fixed.values()), axis=0), moving)


def _ready(view: View) -> Figures:
    return np.multiply(view.fleet.ready[view.among], view.weights.ready, dtype=np.float64)


def _private(view: View) -> Figures:
    return np.multiply(view.fleet.private[view.among], view.weights.private, dtype=np.float64)


def _image(view: View) -> Figures:
    has = view.fleet.has_image(view.ask.image)[view.among]
    return np.multiply(has, view.weights.image, dtype=np.float64)


def _price(view: View) -> Figures:
    """Return the whole for a host that costs nothing, half of it for one of a dollar an hour."""
    found: Figures = view.weights.price / (1 + view.fleet.price[view.among])
    return found


def _beside(view: View) -> Figures:
    """Return the share of preferred neighbours that are there, less the share of those it would rather not have."""
    wishes = _wishes(view)
    each = view.weights.beside / len(wishes)
    total = np.zeros(len(view.fleet))
    for sign, one in wishes:
        total += sign * each * near(view.fleet, one.service, one.within)
    found: Figures = total[view.among]
    return found


def _spread(view: View) -> Part:
    """Return the weight, divided by one more than the instances of the service there."""
    weight = view.weights.spread - (view.weights.image if view.ask.image else 0.0)

    def part(index: Index, more: Numbers) -> Figures:
        there = more if view.same is None else view.same[index] + more
        found: Figures = np.divide(weight, there + 1)
        return found

    return part


def _pairing(view: View) -> Part:
    """Return the weight where more lean the other way than its own."""
    other = IO_BOUND if view.ask.leans == CPU_BOUND else CPU_BOUND
    balance = np.zeros(len(view.fleet))
    for sign, way in ((1, other), (-1, view.ask.leans)):
        there = view.fleet.with_trait(leans(way))
        if there is not None:
            balance += sign * there
    own = balance[view.among]

    def part(index: Index, more: Numbers) -> Figures:
        return np.multiply(own[index] > more, view.weights.pairing, dtype=np.float64)

    return part


@dataclass(frozen=True, slots=True)
class _Share:
    """The used share of a resource on hosts, as it grows with every instance that is put there."""

    at_first: Figures
    """With the first one."""
    each: Figures

    def __call__(self, index: Index, more: Numbers) -> Figures:
        found: Figures = self.at_first[index] + more * self.each[index]
        return found

    def less(self, other: "_Share") -> "_Share":
        return _Share(self.at_first - other.at_first, self.each - other.each)


def _shares(view: View) -> list[_Share]:
    """Return the used share of processor, memory and what else is needed of hosts once one more is there."""
    fleet, among, ask = view.fleet, view.among, view.ask.resources
    others = [(row, need) for row, need in fleet.needs(ask) if row not in (CPU, MEMORY)]
    found = []
    for row, need in ((CPU, ask.cpu_millis), (MEMORY, ask.memory_bytes), *others):
        size = fleet.size[row, among]
        found.append(_Share((fleet.used[row, among] + need) / size, need / size))
    return found


def _full(view: View) -> Part:
    """Return the weight for a host that the instance fills to the last; in proportion below."""
    shares = _shares(view)
    weight = view.weights.full / len(shares)
    return _Share(
        np.sum([one.at_first for one in shares], axis=0) * weight, np.sum([one.each for one in shares], axis=0) * weight
    )


def _balance(view: View) -> Part:
    """Return the weight times the share by which what is used becomes more even; negative where one runs further ahead.

    Not how even it is: an almost empty host is even, too, and would be chosen before one that this instance completes.
    """
    cpu, memory, *others = _shares(view)
    ahead, weight = cpu.less(memory), view.weights.balance

    def of_two(index: Index, more: Numbers) -> Figures:
        after = ahead(index, more)
        found: Figures = (np.abs(after - ahead.each[index]) - np.abs(after)) * weight
        return found

    def of_many(index: Index, more: Numbers) -> Figures:
        after = [one(index, more) for one in (cpu, memory, *others)]
        before = [one - share.each[index] for one, share in zip(after, (cpu, memory, *others), strict=True)]
        found: Figures = (_range(before) - _range(after)) * weight
        return found

    return of_many if others else of_two


def _range(shares: list[Figures]) -> Figures:
    stacked = np.stack(shares)
    found: Figures = stacked.max(axis=0) - stacked.min(axis=0)
    return found


def _unneeded(view: View) -> list[int]:
    """Return the rows of named resources that an instance does not need."""
    needed = {row for row, _ in view.fleet.needs(view.ask.resources)}
    return [row for row in range(DISK + 1, len(view.fleet.resources)) if row not in needed]


def _scarce(view: View) -> Figures:
    """Return the weight for hosts that have nothing left of what is not needed."""
    left = (view.fleet.free[_unneeded(view)][:, view.among] > 0).any(axis=0)
    return np.multiply(~left, view.weights.scarce, dtype=np.float64)


def _wishes(view: View) -> list[tuple[float, Neighbour]]:
    """Return whom it would rather have (1) and not have (-1); for itself that is what spread does."""
    sides = ((1.0, view.ask.beside), (-1.0, view.ask.apart))
    return [(sign, one) for sign, side in sides for one in side if one.preferred and one.service != view.ask.service]


def _has_wishes(view: View) -> bool:
    return bool((view.ask.beside or view.ask.apart) and _wishes(view))


SCORES = (
    Score("ready", fixed=_ready),
    Score("private", fixed=_private),
    Score("scarce", fixed=_scarce, applies=lambda view: view.weights.scarce != 0 and bool(_unneeded(view))),
    Score("price", fixed=_price, applies=lambda view: view.weights.price != 0),
    Score("spread", moving=_spread, applies=lambda view: view.weights.spread != 0),
    Score("image", fixed=_image, applies=lambda view: bool(view.ask.image)),
    Score("beside", fixed=_beside, applies=_has_wishes),
    Score("pairing", moving=_pairing, applies=lambda view: bool(view.ask.leans)),
    Score("full", moving=_full, applies=lambda view: view.weights.full != 0),
    Score("balance", moving=_balance, applies=lambda view: view.weights.balance != 0),
)
