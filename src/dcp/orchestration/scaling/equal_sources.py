"""Sources that give the very same share what is asked for: accounts of one cloud, each with limits of its own.

A cloud bounds calls and creations by account, so a thousand hosts from ten accounts are there ten times as soon as from
one. A few hosts come from the first: ten are one call in most clouds.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, SourceKind

AT_ONCE = 10
"""Hosts in a row from one source, before it is the next one's turn."""


def in_turn(wanted: Sequence[Offer], offers: Sequence[Offer], allowance: Allowance = UNBOUNDED) -> tuple[Offer, ...]:
    """Return an offer for each of `wanted`, in its place: of its equals in `offers`, each in turn while it has any.

    Private offers and sources with a quota stay as they are: how many come from there is decided.
    """
    quotas = {source for source, _ in allowance.by_source}
    equals: dict[Hashable, _Turns] = {}
    for offer in dict.fromkeys(offers):
        if offer.kind is SourceKind.CLOUD and offer.source not in quotas:
            equals.setdefault(_kind(offer), _Turns()).offers.append(offer)
    return tuple(
        turns.take() if (turns := equals.get(_kind(offer))) and offer in turns.offers else offer for offer in wanted
    )


@dataclass(slots=True)
class _Turns:
    """Offers that are equal, and what was taken of them."""

    offers: list[Offer] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)

    def take(self) -> Offer:
        """Return the offer whose turn it is. As many are taken as all of them have, at most."""
        whole = self.taken.total() // AT_ONCE % len(self.offers)
        order = (*self.offers[whole:], *self.offers[:whole])
        chosen = next(one for one in order if one.available is None or self.taken[one.source] < one.available)
        self.taken[chosen.source] += 1
        return chosen


def _kind(offer: Offer) -> Hashable:
    """Return what equals have in common: all but the name of the source, and how many it has."""
    return offer.host_type, offer.variants, offer.clusters, offer.lender
