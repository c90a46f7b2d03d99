"""Which mixes of instances fill hosts best: a linear program over patterns, solved by column generation.

A **pattern** is what one host of a type holds: so many instances of each class (identical instances). The program asks
how often each pattern is used, so that every instance stands somewhere at the least cost. There are too many patterns
to list, so the simplex method is given those that its own prices call for: a host is filled by value for room, in
several orders at once. Everything is an array operation and the number of steps is bounded, so the answer depends on
the question only, never on how fast the machine is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]
Counts = NDArray[np.int64]
_PIVOTS_PER_ROW = 40
_REFRESHED_EVERY = 400
_ZERO = 1e-9
_FILLS_AT_ONCE = 20_000
"""Bounds the memory of one round of pricing."""
_MANY = 1 << 40
_FORCED = (0, 1, 2, 3, _MANY)
"""How often a class that is forced into a pattern is there."""
_EFFORT = 6_000_000
"""Steps of filling after which the closer look is left out: a fraction of a second of it."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Instances to place, by class (rows) and type of host (rows of `room`, `most`)."""

    sizes: Counts
    """Class by resource."""
    counts: Counts
    unplaced_cost: Figures
    """What it costs to leave one instance of a class out."""
    room: Counts
    """Type by resource: what an empty host has."""
    most: Counts
    """Type by class: how many of the class alone an empty host holds; 0: it may not stand there."""
    cost: Figures
    """Of one host of each type."""
    stock: Figures
    """Hosts of each type that can be had; infinite where there is no bound."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each pattern is used, a fraction included, and what an instance of each class is worth then."""

    types: Counts
    patterns: Counts
    times: Figures
    worth: Figures


class Patterns:
    """Patterns that are known, with their types: each is made once and used by all later programs that it suits."""

    def __init__(self, classes: int) -> None:
        self.types: Counts = np.zeros(0, dtype=np.int64)
        self.counts: Counts = np.zeros((0, classes), dtype=np.int64)
        self.effort = 0
        """Steps of filling that were spent on them so far."""
        self._known: set[tuple[int, bytes]] = set()

    def add(self, types: Counts, counts: Counts) -> int:
        """Keep those that are new, and return how many they are."""
        fresh: list[int] = []
        for row, (kind, pattern) in enumerate(zip(types.tolist(), counts, strict=True)):
            key = (kind, pattern.tobytes())
            if key not in self._known:
                self._known.add(key)
                fresh.append(row)
        self.types = np.concatenate([self.types, types[fresh]])
        self.counts = np.concatenate([self.counts, counts[fresh]])
        return len(fresh)


def cheapest_mix(classes: Classes, known: Patterns) -> Mix:
    """Return a mix of least cost, as far as patterns by value for room go; `known` gets the patterns that were made."""
    return _Program(classes, known).solve()


def fill_by_value(order: Counts, types: Counts, classes: Classes, limit: Counts, begun: Counts) -> Counts:
    """Return one pattern for each row: hosts of `types`, filled with classes in the `order` of the row.

    `limit` says how many of each class a row may get at most, `begun` what it has already.
    """
    free = classes.room[types] - begun @ classes.sizes
    found = begun.copy()
    rows = np.arange(len(order))
    for step in range(order.shape[1]):
        chosen = order[:, step]
        size = classes.sizes[chosen]
        times = np.where(size > 0, free // np.maximum(size, 1), np.iinfo(np.int64).max).min(axis=1)
        times = np.minimum(times, limit[rows, chosen] - found[rows, chosen])
        found[rows, chosen] += times
        free -= size * times[:, None]
    return found


class _Program:
    """The simplex method with an explicit inverse of its basis: rows are the classes and the types with a stock."""

    def __init__(self, classes: Classes, known: Patterns) -> None:
        self._classes, self._known = classes, known
        self._limit = np.minimum(classes.most, classes.counts)
        self._bounded = np.flatnonzero(np.isfinite(classes.stock))
        self._width = len(classes.counts)
        self._size = self._width + len(self._bounded)
        self._columns: Figures = np.eye(self._size)
        self._costs: Figures = np.concatenate([classes.unplaced_cost, np.zeros(len(self._bounded))])
        self._names: Counts = np.full(self._size, -1)
        self._taken_in = 0
        self._wanted: Figures = np.concatenate([classes.counts, classes.stock[self._bounded]]).astype(np.float64)
        self._basis: Counts = np.arange(self._size)
        self._inverse: Figures = np.eye(self._size)
        self._values: Figures = self._wanted.copy()
        self._densities = _densities(classes)

    def solve(self) -> Mix:
        self._take_in()
        for pivot in range(_PIVOTS_PER_ROW * self._size):
            if pivot % _REFRESHED_EVERY == _REFRESHED_EVERY - 1:
                self._inverse = np.linalg.inv(self._columns[:, self._basis]).astype(np.float64)
                self._values = np.maximum(self._inverse @ self._wanted, 0.0)
            prices = self._costs[self._basis] @ self._inverse
            entering = self._entering(prices)
            if entering is None and self._make(prices):
                entering = self._entering(prices)
            if entering is None or not self._pivot(entering):
                break
        prices = self._costs[self._basis] @ self._inverse
        used = [
            (int(self._names[column]), float(times))
            for column, times in zip(self._basis.tolist(), self._values.tolist(), strict=True)
            if self._names[column] >= 0 and times > _ZERO
        ]
        rows = np.array([row for row, _ in used], dtype=np.int64)
        times = np.array([one for _, one in used])
        return Mix(self._known.types[rows], self._known.counts[rows], times, prices[: self._width])

    def _entering(self, prices: Figures) -> int | None:
        reduced = self._costs - prices @ self._columns
        best = int(np.argmin(reduced))
        return best if reduced[best] < -self._tolerance(prices) else None

    def _tolerance(self, prices: Figures) -> float:
        return 1e-7 * max(1e-6, float(self._classes.cost.max()))

    def _pivot(self, entering: int) -> bool:
        direction = self._inverse @ self._columns[:, entering]
        up = direction > _ZERO
        if not up.any():
            return False
        ratios = np.where(up, self._values / np.where(up, direction, 1.0), np.inf)
        step = float(ratios.min())
        close = np.flatnonzero(ratios <= step + _ZERO)
        leaving = int(close[np.argmax(direction[close])])
        self._values = np.maximum(self._values - step * direction, 0.0)
        self._values[leaving] = step
        row = self._inverse[leaving] / direction[leaving]
        self._inverse -= np.outer(direction, row)
        self._inverse[leaving] = row
        self._basis[leaving] = entering
        return True

    def _make(self, prices: Figures) -> bool:
        """Make patterns that these prices call for; look closer only if the quick way finds none."""
        if self._make_with(prices, forced=False):
            return True
        closer = self._known.effort < _EFFORT
        return closer and (self._make_by_exchange(prices) or self._make_with(prices, forced=True))

    def _make_by_exchange(self, prices: Figures) -> bool:
        """Look for better patterns near those in use: one instance out, another in, and what is free filled up."""
        worth = prices[: self._width]
        useful = np.flatnonzero(worth > _ZERO)
        names = self._names[self._basis]
        used = names[(names >= 0) & (self._values > _ZERO)]
        if not len(used) or not len(useful):
            return False
        used = np.roll(used, -(self._known.effort % len(used)))
        rows, outs = np.nonzero(self._known.counts[used])
        rows, outs = rows[: _FILLS_AT_ONCE // len(useful)], outs[: _FILLS_AT_ONCE // len(useful)]
        types = np.repeat(self._known.types[used][rows], len(useful))
        begun = np.repeat(self._known.counts[used][rows], len(useful), axis=0)
        outs, ins = np.repeat(outs, len(useful)), np.tile(useful, len(rows))
        at = np.arange(len(outs))
        begun[at, outs] -= 1
        limit = self._limit[types]
        limit[at, outs] = begun[at, outs]
        fits = (self._classes.room[types] - begun @ self._classes.sizes >= self._classes.sizes[ins]).all(axis=1)
        fits &= begun[at, ins] < limit[at, ins]
        types, begun, ins, limit = types[fits], begun[fits], ins[fits], limit[fits]
        begun[np.arange(len(ins)), ins] += 1
        order = useful[np.argsort(-(worth[useful] / self._densities[-1][:, useful]), axis=1, kind="stable")]
        counts = fill_by_value(order[types], types, self._classes, limit, begun)
        self._known.effort += begun.size
        return self._keep_good(prices, types, counts)

    def _keep_good(self, prices: Figures, types: Counts, counts: Counts) -> bool:
        """Keep the patterns that gain most at these prices, a few times as many as there are rows."""
        gain = counts @ prices[: self._width] + self._stock_prices(prices)[types] - self._classes.cost[types]
        best = np.argsort(-gain, kind="stable")[: 4 * self._size]
        best = best[gain[best] > self._tolerance(prices)]
        new = self._known.add(types[best], counts[best])
        self._take_in()
        return new > 0

    def _make_with(self, prices: Figures, *, forced: bool) -> bool:
        worth = prices[: self._width]
        useful = np.flatnonzero(worth > _ZERO)
        if not len(useful):
            return False
        orders, types, bounds = self._orders(worth, useful, forced=forced)
        self._known.effort += orders.size
        made: list[tuple[Counts, Counts]] = []
        for begin in range(0, len(orders), _FILLS_AT_ONCE):
            part = slice(begin, begin + _FILLS_AT_ONCE)
            nothing = np.zeros((len(orders[part]), self._width), dtype=np.int64)
            limit = self._limit[types[part]]
            if forced:
                rows = np.arange(len(limit))
                limit[rows, orders[part, 0]] = np.minimum(limit[rows, orders[part, 0]], bounds[part])
            counts = fill_by_value(orders[part], types[part], self._classes, limit, nothing)
            gain = counts @ worth + self._stock_prices(prices)[types[part]] - self._classes.cost[types[part]]
            good = gain > self._tolerance(prices)
            made.append((types[part][good], counts[good]))
        new = sum(self._known.add(*one) for one in made)
        self._take_in()
        return new > 0

    def _orders(self, worth: Figures, useful: Counts, *, forced: bool) -> tuple[Counts, Counts, Counts]:
        """Return orders of classes by value for room, the type of host that each is for, and how many of its first.

        Forced: every class comes first once in each of them, and is there so often and no more, as the best mix may
        hold little or nothing of what looks best alone.
        """
        density = worth[useful] / self._densities[:, :, useful]
        ways, kinds, _ = density.shape
        orders = useful[np.argsort(-density, axis=2, kind="stable")].reshape(ways * kinds, len(useful))
        types = np.tile(np.arange(kinds), ways)
        bounds = np.full(len(orders), _MANY)
        if forced:
            times = len(useful) * len(_FORCED)
            few = kinds * max(1, 2 * _FILLS_AT_ONCE // (kinds * times))
            orders, types = orders[-few:], types[-few:]
            first = np.tile(np.repeat(useful, len(_FORCED)), len(orders))[:, None]
            bounds = np.tile(np.array(_FORCED), len(useful) * len(orders))
            orders = np.concatenate([first, np.repeat(orders, times, axis=0)], axis=1)
            types = np.repeat(types, times)
        return orders, types, bounds

    def _stock_prices(self, prices: Figures) -> Figures:
        found = np.zeros(len(self._classes.cost))
        found[self._bounded] = prices[self._width :]
        return found

    def _take_in(self) -> None:
        """Add the known patterns that are not columns yet and that do not hold more than there is."""
        new = np.arange(self._taken_in, len(self._known.types))
        self._taken_in = len(self._known.types)
        types, counts = self._known.types[new], self._known.counts[new]
        fits = (counts <= self._limit[types]).all(axis=1) & (self._classes.stock[types] > 0)
        new, types, counts = new[fits], types[fits], counts[fits]
        columns = np.zeros((self._size, len(new)))
        columns[: self._width] = counts.T
        for row, kind in enumerate(self._bounded.tolist(), self._width):
            columns[row] = types == kind
        self._columns = np.concatenate([self._columns, columns], axis=1)
        self._costs = np.concatenate([self._costs, self._classes.cost[types]])
        self._names = np.concatenate([self._names, new])


def _densities(classes: Classes) -> Figures:
    """Return how much room an instance takes, by way of looking, type and class."""
    shares = classes.sizes[None] / np.maximum(classes.room[:, None, :], 1)
    used = np.flatnonzero(classes.sizes.any(axis=0))
    ways = [shares[..., one] for one in used]
    ways += [shares[..., one] + shares.sum(axis=2) * part for one in used for part in (0.06, 0.15, 0.4, 1.0)]
    ways += [shares.max(axis=2), shares.max(axis=2) + shares.sum(axis=2), shares.sum(axis=2)]
    return np.maximum(np.array(ways), 1e-6)
