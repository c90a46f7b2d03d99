"""Which new hosts hold what has no room, at the least cost: mixes of services that fill hosts, all planned at once.

Filling one host after the other leaves the awkward rest for last, when nothing small is left to go beside it. Here a
linear program says how often each mix is used; whole parts of its answer are taken, what is left is asked again, and
the last few hosts are filled one by one. n identical instances are one number in it, so its size is that of the
services and not of the fleet. The plan of `filling` is made as well, and the better of the two is kept: the answer
is never worse than filling in order.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, SourceKind
from dcp.orchestration.scaling.filling import Filled, candidate_of, fill_new_hosts, times_on, unmet
from dcp.orchestration.scaling.patterns import Classes, Counts, Figures, Mix, Patterns, cheapest_mix, fill_by_value
from dcp.scheduling.model import Ask

_MOST_CLASSES = 200
_MOST_OFFERS = 40
"""Beyond these, hosts are filled in order only."""
_ROUNDS = 40
_NEARLY = 0.7
"""A fraction of a host from which on it is taken whole."""
_MANY = 1 << 40
_CAREFULLY = 1e-6
_NEXT_TO_NOTHING = 1e-4
"""Of the dearest price: fewer hosts where the price is the same."""


@dataclass(frozen=True, slots=True)
class _Class:
    """Asks whose instances are alike for every offer: together one number."""

    asks: tuple[Ask, ...]

    @property
    def count(self) -> int:
        return sum(ask.count for ask in self.asks)


def pack_new_hosts(
    asks: Sequence[Ask], offers: Sequence[Offer], allowance: Allowance = UNBOUNDED
) -> tuple[Filled, ...]:
    """Return new hosts for `asks`, as `fill_new_hosts` does and never worse: more placed, cheaper, or fewer hosts.

    Private offers come in their order for as long as they help, then the cloud at the least price of all together.
    """
    wanted = [ask for ask in asks if ask.count]
    filled = fill_new_hosts(wanted, offers, allowance)
    if len(filled) < 2 or len(offers) > _MOST_OFFERS or _cannot_be_fewer(filled, wanted, offers):
        return filled
    classes = _classes_of(wanted, offers)
    if len(classes) > _MOST_CLASSES:
        return filled
    packed = _Packing(classes, wanted, allowance).pack(offers)
    return min(filled, packed, key=_cost)


def _cost(filled: Sequence[Filled]) -> tuple[int, float, int]:
    price = sum(one.offer.host_type.price_usd_per_hour for one in filled if one.offer.kind is SourceKind.CLOUD)
    return -sum(one.count for one in filled), round(price, 9), len(filled)


def _cannot_be_fewer(filled: Sequence[Filled], asks: Sequence[Ask], offers: Sequence[Offer]) -> bool:
    """Return whether there is one offer, and the instances fill as many hosts of it even if they were a liquid."""
    if len(offers) > 1:
        return False
    need: Counter[str] = Counter()
    for ask in asks:
        need.update({name: amount * ask.count for name, amount in ask.resources.amounts().items()})
    has = offers[0].host_type.resources.amounts()
    least = max((-(-amount // has[name]) for name, amount in need.items() if has.get(name)), default=0)
    return len(filled) == least


def _classes_of(asks: Sequence[Ask], offers: Sequence[Offer]) -> list[_Class]:
    """Return the asks by what they need and where they may stand; a limit for each host keeps an ask apart."""
    empty = [candidate_of(offer, "new") for offer in offers]
    found: dict[object, list[Ask]] = {}
    for ask in asks:
        may = tuple(not unmet(host, ask) for host in empty)
        alone = ask.service if ask.max_per_host is not None else ""
        found.setdefault((ask.resources, may, alone), []).append(ask)
    return [_Class(tuple(members)) for members in found.values()]


class _Packing:
    """What is left to place, and the hosts that are taken for it so far."""

    def __init__(self, classes: Sequence[_Class], asks: Sequence[Ask], allowance: Allowance) -> None:
        self._classes = classes
        self._order = {ask.service: number for number, ask in enumerate(asks)}
        self._left: Counts = np.array([one.count for one in classes], dtype=np.int64)
        self._allowance = allowance
        self._hosts: list[tuple[Offer, Counts]] = []
        self._taken: Counter[int] = Counter()

    def pack(self, offers: Sequence[Offer]) -> tuple[Filled, ...]:
        cloud = [offer for offer in offers if offer.kind is SourceKind.CLOUD]
        private = [offer for offer in offers if offer.kind is SourceKind.PRIVATE]
        for number, offer in enumerate(private):
            self._stage([offer], self._worth_of_room([*private[number + 1 :], *cloud]))
        self._stage(cloud, np.full(len(self._classes), math.inf))
        return tuple(self._as_filled())

    def _worth_of_room(self, later: Sequence[Offer]) -> Figures:
        """Return what an instance costs if it goes to a later offer instead; infinite if none takes it."""
        return np.array(
            [min((_price_alone(offer, one.asks[0]) for offer in later), default=math.inf) for one in self._classes]
        )

    def _stage(self, offers: Sequence[Offer], elsewhere: Figures) -> None:
        """Take hosts of `offers` until no more of them help."""
        offers = [offer for offer in dict.fromkeys(offers) if self._stock(offer) > 0]
        if offers and self._left.any():
            known = Patterns(len(self._classes))
            for _ in range(_ROUNDS):
                classes = self._question(offers, elsewhere)
                if not self._take(offers, classes, cheapest_mix(classes, known)):
                    break
            self._fill_in_order(offers)

    def _question(self, offers: Sequence[Offer], elsewhere: Figures) -> Classes:
        names = sorted({name for one in self._classes for name in one.asks[0].resources.amounts()})
        needs = [one.asks[0].resources.amounts() for one in self._classes]
        has = [offer.host_type.resources.amounts() for offer in offers]
        most = [[_most(offer, one.asks[0]) for one in self._classes] for offer in offers]
        cost = _costs(offers)
        if offers[0].kind is SourceKind.PRIVATE:
            finite = elsewhere[np.isfinite(elsewhere)]
            worth = np.where(np.isfinite(elsewhere), elsewhere, 10 * finite.max(initial=1.0))
            cost = cost * 0.5 * float(worth.min())
        else:
            worth = np.full(len(self._classes), 100 * float(cost.max()))
        return Classes(
            sizes=np.array([[need.get(name, 0) for name in names] for need in needs], dtype=np.int64),
            counts=self._left.copy(),
            unplaced_cost=worth,
            room=np.array([[one.get(name, 0) for name in names] for one in has], dtype=np.int64),
            most=np.array(most, dtype=np.int64),
            cost=cost,
            stock=np.array([self._stock(offer) for offer in offers]),
        )

    def _take(self, offers: Sequence[Offer], classes: Classes, mix: Mix) -> int:
        """Take the whole parts of a mix, and what is nearly whole; one host at least. Return how many hosts."""
        whole = np.floor(mix.times + _CAREFULLY).astype(np.int64)
        taken = 0
        for kind, pattern, times in zip(mix.types.tolist(), mix.patterns, whole.tolist(), strict=True):
            taken += self._take_hosts(offers[kind], pattern, times)
        nearly = np.flatnonzero(mix.times - whole >= _NEARLY)
        if not taken and not len(nearly) and len(mix.times):
            nearly = np.array([int(np.argmax(mix.times))])
        for row in nearly.tolist():
            kind = int(mix.types[row])
            taken += self._take_hosts(offers[kind], self._topped_up(classes, kind, mix.patterns[row], mix.worth), 1)
        return taken

    def _topped_up(self, classes: Classes, kind: int, pattern: Counts, worth: Figures) -> Counts:
        """Return as much of a pattern as there is left, and what else fits beside it, by value for room."""
        size = (classes.sizes / np.maximum(classes.room[kind], 1)).max(axis=1)
        order = np.argsort(-worth / np.maximum(size, _CAREFULLY), kind="stable")
        limit = np.minimum(classes.most[kind], self._left)
        begun = np.minimum(pattern, limit)
        found: Counts = fill_by_value(order[None], np.array([kind]), classes, limit[None], begun[None])[0]
        return found

    def _take_hosts(self, offer: Offer, pattern: Counts, times: int) -> int:
        """Take up to `times` hosts, as far as instances, stock and allowance go. Return how many."""
        if times <= 0 or not pattern.any():
            return 0
        used = pattern > 0
        times = int(min(times, (self._left[used] // pattern[used]).min(), self._stock(offer)))
        for taken in range(times):
            if not self._allowance.permits(offer):
                return taken
            self._allowance = self._allowance.less((offer,))
            self._left = self._left - pattern
            self._taken[id(offer)] += 1
            self._hosts.append((offer, pattern))
        return max(times, 0)

    def _fill_in_order(self, offers: Sequence[Offer]) -> None:
        rest = [replace(one.asks[0], count=int(n)) for one, n in zip(self._classes, self._left, strict=True) if n]
        original = {replace(offer, available=self._available(offer)): offer for offer in offers}
        numbers = {one.asks[0].service: number for number, one in enumerate(self._classes)}
        for filled in fill_new_hosts(rest, tuple(original), self._allowance):
            pattern = np.zeros(len(self._classes), dtype=np.int64)
            for ask in filled.asks:
                pattern[numbers[ask.service]] = ask.count
            self._take_hosts(original[filled.offer], pattern, 1)

    def _stock(self, offer: Offer) -> float:
        available = self._available(offer)
        return math.inf if available is None else available

    def _available(self, offer: Offer) -> int | None:
        return None if offer.available is None else offer.available - self._taken[id(offer)]

    def _as_filled(self) -> Iterator[Filled]:
        """Give every host instances of the services of its classes, the first services first."""
        waiting = [[(ask, ask.count) for ask in reversed(one.asks)] for one in self._classes]
        for offer, pattern in self._hosts:
            given: list[Ask] = []
            for number in np.flatnonzero(pattern).tolist():
                given += _next_of(waiting[number], int(pattern[number]))
            yield Filled(offer, tuple(sorted(given, key=lambda ask: self._order[ask.service])))


def _next_of(waiting: list[tuple[Ask, int]], count: int) -> Iterator[Ask]:
    """Yield asks for `count` instances in all, and take them from the end of what is waiting."""
    while count:
        ask, left = waiting.pop()
        taken = min(count, left)
        yield replace(ask, count=taken)
        if left > taken:
            waiting.append((ask, left - taken))
        count -= taken


def _most(offer: Offer, ask: Ask) -> int:
    host = candidate_of(offer, "new")
    return 0 if unmet(host, ask) else times_on(ask, host.total)


def _price_alone(offer: Offer, ask: Ask) -> float:
    """Return the share of a host's price for one instance on hosts that have nothing else; infinite if none fits."""
    most = _most(offer, replace(ask, count=_MANY))
    if not most:
        return math.inf
    private = offer.kind is SourceKind.PRIVATE
    return (_NEXT_TO_NOTHING if private else _NEXT_TO_NOTHING + offer.host_type.price_usd_per_hour) / most


def _costs(offers: Sequence[Offer]) -> Figures:
    """Return what one host of each offer costs: its price where that counts, and a little for being a host."""
    if offers[0].kind is SourceKind.PRIVATE:
        return np.ones(len(offers))
    prices = np.array([offer.host_type.price_usd_per_hour for offer in offers])
    dearest = float(prices.max())
    return prices / dearest + _NEXT_TO_NOTHING if dearest > 0 else np.ones(len(offers))
