"""Which hosts a source is asked for now, where and in which calls; and what its answers mean for them.

Pure. The queue is the ledger: hosts that are `requested`, oldest first. Each goes to the cheapest place that no
remembered refusal rules out. Hosts of one type and place are asked for in one call that has a token. A call whose
outcome is not known is repeated with the same token and the same hosts, and none of them is asked for otherwise before
that call was answered; so nothing is made twice, whoever keeps the tokens.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dcp.hosts.model import Host, HostOrder, Offer, SourceLimits, Variant
from dcp.hosts.places import Place, open_places, price_in, shared_out
from dcp.hosts.refusals import RefusalKind, Refused, ruled_out
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep

ACCEPTED = "accepted"
"""Reason of a host in `creating` whose source has said yes; it is not asked for again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a source: hosts of one type, place and token."""

    token: str
    hosts: tuple[Host, ...]
    """All that the first call of this token named, as the ledger has them."""
    carried: frozenset[str] = frozenset()
    """Those of them that are not wanted from this call any more."""
    repeated: bool = False
    """Whether it may have been made before."""

    @property
    def orders(self) -> tuple[HostOrder, ...]:
        """Return what the driver is given."""
        first = next(host for host in self.hosts if host.id not in self.carried)
        return tuple(
            HostOrder(host.id, first.host_type.name, first.variant, self.token, carried=host.id in self.carried)
            for host in self.hosts
        )

    @property
    def wanted(self) -> tuple[Host, ...]:
        """Return the hosts whose fate this call decides."""
        return tuple(host for host in self.hosts if host.id not in self.carried)


@dataclass(frozen=True, slots=True)
class AskingView:
    """Everything `decide_asking` looks at."""

    now: float
    source: str
    waiting: tuple[Host, ...]
    """Hosts in `requested` that may be asked for now, oldest first."""
    flying: tuple[Host, ...]
    """Hosts in `creating` that the source does not show yet."""
    offers: tuple[Offer, ...]
    limits: SourceLimits
    memory: tuple[Refused, ...]
    given_at: Mapping[Place, float] = field(default_factory=dict)
    """When places gave hosts that did so lately."""
    calls: float = math.inf
    """Most calls to begin now; see `pace`."""


def decide_asking(view: AskingView) -> tuple[HostStep, ...]:
    """Return the hosts to ask for now, each with its place and token, and those that no place is left for.

    Hosts of one token are one call. At most `limits.in_flight` are asked for and not yet shown at any time, in at most
    `calls` new calls.
    """
    offers = {offer.host_type.name: offer for offer in view.offers if offer.source == view.source}
    asked = Counter((host.host_type.name, host.variant) for host in view.flying if host.reason != ACCEPTED)
    openings = {name: open_places(offer, view.memory, view.now, view.given_at, asked) for name, offer in offers.items()}
    room = max(0, view.limits.in_flight - len(view.flying))
    steps: list[HostStep] = []
    chosen: dict[str, list[Host]] = {}
    for host in view.waiting:
        name = host.host_type.name
        if name not in offers:
            words = f"{view.source} has no host type {name} any more"
            steps.append(HostStep(host, HostState.FAILED, "not-offered", words))
            continue
        places = openings[name]
        if not isinstance(places, Refused):
            if room > 0:
                chosen.setdefault(name, []).append(host)
                room -= 1
        elif places.kind is not RefusalKind.THROTTLED:
            steps.append(HostStep(host, HostState.FAILED, _why_failed(places), _no_place_words(offers[name], places)))
    calls = view.calls
    for name, hosts in chosen.items():
        places = openings[name]
        assert not isinstance(places, Refused)
        for variant, some in shared_out(hosts, places, view.limits):
            if calls > 0:
                steps.extend(_asked(some, offers[name], variant))
            calls -= 1
    return tuple(steps)


def new_calls(written: Iterable[Host]) -> tuple[Call, ...]:
    """Return the calls for hosts that were just written as asked for."""
    groups: dict[str, list[Host]] = {}
    for host in written:
        groups.setdefault(host.token, []).append(host)
    return tuple(Call(token, tuple(hosts)) for token, hosts in groups.items())


def open_tokens(hosts: Iterable[Host], listed: frozenset[str], now: float) -> frozenset[str]:
    """Return the tokens of calls that have to be made, again or, after a crash, for the first time."""
    return frozenset(host.token for host in hosts if host.token and _unknown(host, listed) and now >= host.not_before)


def repeated_calls(members: Iterable[Host], listed: frozenset[str]) -> tuple[Call, ...]:
    """Return the calls to repeat. `members` are all hosts of their tokens, also those that were given back since."""
    calls: list[Call] = []
    for call in new_calls(members):
        carried = frozenset(host.id for host in call.hosts if not _unknown(host, listed))
        if len(carried) < len(call.hosts):
            calls.append(replace(call, carried=carried, repeated=True))
    return tuple(calls)


def account_wide(memory: Iterable[Refused], source: str, now: float) -> Refused | None:
    """Return the refusal that holds for every call to the source now, the one that holds longest."""
    return ruled_out((one for one in memory if not one.type_name), source, "", "", now)


def _unknown(host: Host, listed: frozenset[str]) -> bool:
    return host.state == HostState.CREATING and host.reason != ACCEPTED and host.id not in listed


def _asked(hosts: Sequence[Host], offer: Offer, place: Variant) -> list[HostStep]:
    """Write the place, its price and the token; the token is of these hosts at this time and comes never again."""
    price = price_in(place, offer)
    seed = " ".join(f"{host.id}/{host.version}/{host.requested_at!r}" for host in hosts)
    token = hashlib.sha256(seed.encode()).hexdigest()[:32]
    where = f" in {place.key}" if place.key else ""
    cost = f" at ${price:g} an hour" if price else ""
    together = f", {len(hosts)} in one call" if len(hosts) > 1 else ""
    words = f"asks {offer.source} for it{where}{cost}{together}"
    return [
        HostStep(
            host,
            HostState.CREATING,
            "asked",
            words,
            changes={
                "variant": place.key,
                "token": token,
                "host_type": replace(host.host_type, price_usd_per_hour=price),
            },
        )
        for host in hosts
    ]


def _why_failed(refusal: Refused) -> str:
    return "access-denied" if refusal.kind is RefusalKind.DENIED else "out-of-stock"


def _no_place_words(offer: Offer, refusal: Refused) -> str:
    places = len(offer.variants)
    nowhere = f"none of the {places} places of {offer.source} gives one" if places > 1 else f"{offer.source} gives none"
    return f"{nowhere} now: {refusal.words}"
