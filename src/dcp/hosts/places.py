"""Where a source is asked: in the cheapest places that no remembered refusal rules out.

Nobody says how much a cloud has where, so the first calls to places of one price are a trial: a part of what may be in
flight, a few hosts from each. Once some have given, the others of that price are left alone, and those take turns, so
that one that runs out costs only its share of the calls under way. Clouds count what they refuse: where there is such a
choice calls stay small.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dcp.hosts.model import Host, Offer, SourceLimits, Variant
from dcp.hosts.refusals import RefusalKind, Refused, ruled_out

Place = tuple[str, str]
"""Name of a host type and key of a variant."""
TRIAL_SHARE = 0.5
"""Of what may be in flight, that much is asked for where nobody knows whether there is any."""
CALL_SHARE = 0.1
"""Of what may be in flight, one call asks for so much at most where there is a choice: a refusal costs what it asks."""


@dataclass(frozen=True, slots=True)
class Openings:
    """Places of one price for one type."""

    proven: tuple[Variant, ...]
    """They gave hosts lately, or there is no other of that price; whose turn it is stands first."""
    untried: tuple[Variant, ...] = ()
    """Nobody knows, and no call is under way there. Used only if none is proven."""
    choice: bool = True
    """Whether the offer has others of that price."""


def places_left(memory: Iterable[Refused], offer: Offer, now: float) -> tuple[Variant, ...]:
    """Return the places of an offer that no refusal rules out, but for throttling, which ends by itself."""
    lasting, name = _lasting(memory), offer.host_type.name
    return tuple(one for one in offer.variants if ruled_out(lasting, offer.source, name, one.key, now) is None)


def open_places(
    offer: Offer, memory: tuple[Refused, ...], now: float, given_at: Mapping[Place, float], asked: Mapping[Place, int]
) -> Openings | Refused:
    """Return the cheapest places that nothing rules out; else why there is none now, the first refusal to end.

    `given_at`: when places gave hosts that did so lately; `asked`: hosts that calls under way ask for there.
    """
    name = offer.host_type.name
    left = places_left(memory, offer, now)
    if not left:
        lasting = _lasting(memory)
        refusals = [ruled_out(lasting, offer.source, name, one.key, now) for one in offer.variants]
        return min(filter(None, refusals), key=lambda one: one.until)
    lowest = min(price_in(one, offer) for one in left)
    cheapest = [one for one in left if price_in(one, offer) == lowest]
    throttled = {one.key: ruled_out(memory, offer.source, name, one.key, now) for one in cheapest}
    free = tuple(one for one in cheapest if throttled[one.key] is None)
    if not free:
        return min(filter(None, throttled.values()), key=lambda one: one.until)
    if sum(price_in(one, offer) == lowest for one in offer.variants) == 1:
        return Openings(free, choice=False)
    proven = [one for one in free if (name, one.key) in given_at]
    proven.sort(key=lambda one: (asked.get((name, one.key), 0), given_at[name, one.key]))
    return Openings(tuple(proven), tuple(one for one in free if not asked.get((name, one.key))))


def shared_out(
    hosts: Sequence[Host], openings: Openings, limits: SourceLimits
) -> Iterator[tuple[Variant, Sequence[Host]]]:
    """Yield calls: a place and the hosts to ask for there. On trial, those for which there is no trial call wait."""
    if openings.proven:
        size = _call_size(limits) if openings.choice else limits.batch
        for call, first in enumerate(range(0, len(hosts), size)):
            yield openings.proven[call % len(openings.proven)], hosts[first : first + size]
        return
    if openings.untried:
        size = max(1, min(_call_size(limits), int(TRIAL_SHARE * limits.in_flight) // len(openings.untried)))
        for call, variant in enumerate(openings.untried):
            if some := hosts[call * size : (call + 1) * size]:
                yield variant, some


def _call_size(limits: SourceLimits) -> int:
    return max(1, min(limits.batch, int(CALL_SHARE * limits.in_flight)))


def price_in(variant: Variant, offer: Offer) -> float:
    """Return what a host of the offer costs an hour there, in US dollars."""
    otherwise = offer.host_type.price_usd_per_hour
    return otherwise if variant.price_usd_per_hour is None else variant.price_usd_per_hour


def _lasting(memory: Iterable[Refused]) -> tuple[Refused, ...]:
    return tuple(one for one in memory if one.kind is not RefusalKind.THROTTLED)
