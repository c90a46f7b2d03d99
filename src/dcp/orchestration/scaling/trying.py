"""New hosts for what depends on more than its own host: neighbours, domains, ports, heavy kinds.

Whether a new host helps shows only beside all others, so one is tried: of the private offers in their order the first
that takes an instance, else of the cloud the cheapest for each instance it takes. Of several
private offers, or clouds, the one in the domain with the fewest of the service comes first. Where only the host itself
matters, as many as would take half of what is left are added at once, so that a thousand hosts are a dozen steps. Those
that get nothing in the end are not asked for.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from dcp.hosts.clusters import Allowance
from dcp.hosts.model import Offer, SourceKind
from dcp.orchestration.scaling.filling import candidate_of, unmet
from dcp.scheduling.change import depends_on_others
from dcp.scheduling.filters import ever_for
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.labels import domain_of
from dcp.scheduling.model import HOST, Ask, Assignment, Candidate
from dcp.scheduling.place import decide_batch, place, place_batch
from dcp.scheduling.traits import AVOIDS

_SPREAD_SHARE = 16
"""Of what is left to be spread, so small a part is given hosts of one domain before the others are looked at again."""


def avoided_in(candidates: Iterable[Candidate]) -> frozenset[str]:
    """Return the services that somebody on these hosts keeps out of a whole domain."""
    return frozenset(
        trait.name for one in candidates for trait in one.traits if trait.kind == AVOIDS and trait.within != HOST
    )


def is_involved(ask: Ask, avoided: Collection[str] = ()) -> bool:
    """Return whether it matters for `ask` what stands on other hosts, or what else stands on its own."""
    if ask.service in avoided:
        return True
    return bool(ask.beside or ask.apart or ask.spread or ask.heavy or ask.host_ports or ask.empty_only)


def try_new_hosts(
    asks: Sequence[Ask],
    candidates: Sequence[Candidate],
    offers: Sequence[Offer],
    last_host: int,
    seed: int,
    allowance: Allowance,
) -> tuple[dict[str, Offer], tuple[Assignment, ...]]:
    """Return the new hosts that are used, by identifier from `last_host + 1` on, and where instances go."""
    trial = _Trial(Fleet(seed, candidates), list(offers), last_host, allowance)
    for ask in asks:
        trial.place(ask)
    hosts = (*candidates, *(candidate_of(offer, name) for name, offer in trial.new.items()))
    assignments = place(tuple(asks), hosts, seed).assignments
    used = {assignment.host_id for assignment in assignments}
    kept = [(name, offer) for name, offer in trial.new.items() if name in used]
    names = {name: f"{offer.source}-{last_host + number}" for number, (name, offer) in enumerate(kept, 1)}
    renamed = tuple(replace(one, host_id=names.get(one.host_id, one.host_id)) for one in assignments)
    return {names[name]: offer for name, offer in kept}, renamed


def _domains(ask: Ask, offer: Offer) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return labels and values of the domains that a host of the offer would be in, the outermost first."""
    labels, within = dict(offer.host_type.labels), tuple[str, ...]()
    found = []
    for one in ask.spread:
        within = domain_of(one.label, within)
        found.append((within, tuple(labels.get(key, "") for key in within)))
    return found


class _Trial:
    """A fleet to which hosts are added in thought."""

    def __init__(self, fleet: Fleet, offers: list[Offer], last_host: int, allowance: Allowance) -> None:
        self.new: dict[str, Offer] = {}
        self._fleet = fleet
        self._offers = offers
        self._stock = [math.inf if offer.available is None else offer.available for offer in offers]
        self._last_host = last_host
        self._allowance = allowance

    def place(self, ask: Ask) -> None:
        """Place `ask`, with new hosts as far as they help."""
        left = place_batch(self._fleet, ask).left
        if left and any(one.max_skew is not None for one in ask.spread):
            self._open_domains(replace(ask, count=left))
            left = place_batch(self._fleet, replace(ask, count=left)).left
        while left:
            found = self._best(replace(ask, count=left))
            if found is None:
                return
            number, taken = found
            # Where one host more changes what others take, what one takes says nothing of the next.
            share = _SPREAD_SHARE if ask.spread else 2
            self._add(number, 1 if depends_on_others(ask) else max(1, left // taken // share))
            before, left = left, place_batch(self._fleet, replace(ask, count=left)).left
            if left == before:
                return

    def _best(self, ask: Ask) -> tuple[int, int] | None:
        """Return which offer to take a host of, by its number, and how many more instances fit with one."""
        found: list[tuple[bool, list[int], float, int, int]] = []
        for number, offer in self._usable(ask):
            if not (taken := self._taken(offer, ask)):
                continue
            if offer.kind is SourceKind.PRIVATE and not ask.spread:
                return number, taken
            cloud = offer.kind is not SourceKind.PRIVATE
            price = offer.host_type.price_usd_per_hour / taken if cloud else 0.0
            found.append((cloud, self._in_domains(ask, offer), price, number, taken))
        return min(found)[-2:] if found else None

    def _usable(self, ask: Ask) -> Iterator[tuple[int, Offer]]:
        for number, offer in enumerate(self._offers):
            if self._stock[number] > 0 and self._allowance.permits(offer) and not unmet(candidate_of(offer, ""), ask):
                yield number, offer

    def _in_domains(self, ask: Ask, offer: Offer) -> list[int]:
        """Return how many of the service are in each domain that a host of the offer would be in, outermost first."""
        same = self._fleet.same(ask.service)
        if same is None:
            return [0] * len(ask.spread)
        return [int(same[self._fleet.domains(keys).equals(*value)].sum()) for keys, value in _domains(ask, offer)]

    def _open_domains(self, ask: Ask) -> None:
        """Add a host in each domain that has none, private ones if there are any, so that a skew holds there too.

        The cheapest of each, and no more than there are instances.
        """
        usable = [one for one in self._usable(ask) if ask.resources.fits_in(one[1].host_type.resources)]
        kind = min((offer.kind is SourceKind.CLOUD for _, offer in usable), default=False)
        chosen: dict[tuple[str, ...], int] = {}
        for number, offer in sorted(usable, key=lambda one: one[1].host_type.price_usd_per_hour):
            keys, value = _domains(ask, offer)[-1]
            there = self._fleet.domains(keys).equals(*value) & ever_for(self._fleet, ask)
            if (offer.kind is SourceKind.CLOUD) is kind and not there.any():
                chosen.setdefault(value, number)
        for number in list(chosen.values())[: ask.count]:
            self._add(number, 1)

    def _taken(self, offer: Offer, ask: Ask) -> int:
        name = f"{offer.source}-{self._last_host + len(self.new) + 1}"
        self._fleet.join([candidate_of(offer, name)])
        taken = ask.count - decide_batch(self._fleet, ask).left
        self._fleet.leave([name])
        return taken

    def _add(self, number: int, count: int) -> None:
        offer = self._offers[number]
        for _ in range(int(min(count, self._stock[number]))):
            if not self._allowance.permits(offer):
                return
            name = f"{offer.source}-{self._last_host + len(self.new) + 1}"
            self._fleet.join([candidate_of(offer, name)])
            self.new[name] = offer
            self._allowance = self._allowance.less((offer,))
            self._stock[number] -= 1
