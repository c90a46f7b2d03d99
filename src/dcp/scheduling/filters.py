"""Filters: how many more instances each host can take, and why not more.

`FILTERS` is the table: one line for each reason, in the order in which a host's first one is told. A filter says
whether an instance may stand on a host, or how many more may; one that a question does not use costs nothing.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcp.hosts.model import SourceKind
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.labels import Flags
from dcp.scheduling.model import HOST, Ask, Candidate
from dcp.scheduling.tally import Numbers
from dcp.scheduling.traits import avoids, heavy, port

_CONSTRAINT = re.compile(r"\s*node\.(id|source|labels\.[^\s=!]+)\s*(==|!=)\s*(.*?)\s*")
Bound = Numbers | Flags | None
"""How many more fit on each host, or whether any may stand there; None: all, anywhere."""


class RefusalReason(StrEnum):
    """Why a host takes no instance, whatever is free on it: the first that holds, in this order."""

    UNSCHEDULABLE = "unschedulable"
    DEDICATED = "dedicated"
    SITE = "site"
    HARDWARE = "hardware"
    CONSTRAINT = "constraint"
    FAILED_LATELY = "failed-lately"
    NOT_BESIDE = "not-beside"
    KEPT_APART = "kept-apart"
    NOT_EMPTY = "not-empty"
    HEAVY = "heavy"
    HOST_PORT = "host-port"
    MAX_PER_HOST = "max-per-host"
    MAX_SKEW = "max-skew"
    """Not a filter: others of its domain would be too many more than in the one with the fewest."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One line of the table. `always`: it depends on what a host is, and not on what stands there."""

    reason: RefusalReason
    bound: Callable[[Fleet, Ask], Bound]
    always: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """How many more instances of one ask fit on each host, by each filter that leaves something out."""

    hosts: int
    most: int
    """No host takes more: it is all that is asked for."""
    bounds: tuple[tuple[RefusalReason, Numbers | Flags], ...]
    by_resource: tuple[tuple[str, Numbers], ...]

    def fits(self) -> Numbers:
        """Return how many more instances fit on each host."""
        found = np.full(self.hosts, self.most, dtype=np.int64)
        for _, numbers in self.by_resource:
            np.minimum(found, numbers, out=found)
        for _, bound in self.bounds:
            if bound.dtype == np.bool_:
                found *= bound
            else:
                np.minimum(found, bound, out=found)
        np.maximum(found, 0, out=found)
        return found

    def refusals(self) -> dict[str, Flags]:
        """Return which hosts are refused for which reason; a host that fits is in none, any other in exactly one.

        Resources come last, with one reason for each combination that is short: `cpu`, `cpu-and-memory`, `gpu`.
        """
        found: dict[str, Flags] = {}
        left = np.ones(self.hosts, dtype=np.bool_)
        for reason, bound in self.bounds:
            found[reason] = left & ~_some(bound)
            left &= ~found[reason]
        return found | self._short(left)

    def kept_out(self) -> Flags:
        """Return the hosts that have the resources for one more, and are refused for another reason."""
        return self.roomy() & (self.fits() < 1)

    def roomy(self) -> Flags:
        """Return which hosts have the resources for one more, whatever else keeps it out."""
        roomy = np.ones(self.hosts, dtype=np.bool_)
        for _, numbers in self.by_resource:
            roomy &= numbers >= 1
        return roomy

    def _short(self, left: Flags) -> dict[str, Flags]:
        codes = np.zeros(self.hosts, dtype=np.int64)
        for bit, (_, numbers) in enumerate(self.by_resource):
            codes |= (numbers < 1).astype(np.int64) << bit
        codes[~left] = 0
        names = [name for name, _ in self.by_resource]
        return {
            "-and-".join(name for bit, name in enumerate(names) if code >> bit & 1): codes == code
            for code in sorted(set(codes.tolist()) - {0}, reverse=True)
        }


def room_for(fleet: Fleet, ask: Ask) -> Room:
    """Return the room that each host has for instances of `ask` now."""
    bounds = ((one.reason, one.bound(fleet, ask)) for one in FILTERS)
    return Room(
        hosts=len(fleet),
        most=ask.count,
        bounds=tuple((reason, bound) for reason, bound in bounds if bound is not None),
        by_resource=tuple((fleet.resources[row], fleet.free[row] // one) for row, one in fleet.needs(ask.resources)),
    )


def ever_for(fleet: Fleet, ask: Ask) -> Flags:
    """Return the hosts that may have instances of `ask` by what they are: large enough when empty, full now or not."""
    found = np.ones(len(fleet), dtype=np.bool_)
    for row, need in fleet.needs(ask.resources):
        found &= fleet.total[row] >= need
    for one in FILTERS:
        if one.always and (bound := one.bound(fleet, ask)) is not None:
            found &= _some(bound)
    return found


def unmet_constraint(host: Candidate, constraints: tuple[str, ...]) -> str:
    """Return the first constraint that does not hold on `host`; "" if all hold.

    A label that a host does not have is an empty one. A constraint that cannot be read holds nowhere: placing what
    it was meant to keep out would be the worse mistake.
    """
    return next((constraint for constraint in constraints if not _holds(host, constraint)), "")


def _some(bound: Numbers | Flags) -> Flags:
    found: Flags = bound.astype(np.bool_) if bound.dtype == np.bool_ else bound >= 1
    return found


def _holds(host: Candidate, constraint: str) -> bool:
    match = _CONSTRAINT.fullmatch(constraint)
    if match is None:
        return False
    key, operator, wanted = match.groups()
    if key == "id":
        value = host.host_id
    elif key == "source":
        value = str(host.kind)
    else:
        value = host.labels.get(key.removeprefix("labels."), "")
    return (value == wanted) is (operator == "==")


def _schedulable(fleet: Fleet, _: Ask) -> Bound:
    return None if fleet.schedulable.all() else fleet.schedulable


def _dedicated(fleet: Fleet, ask: Ask) -> Bound:
    column = fleet.label("dedicated")
    return None if not ask.dedicated and column.only("") else column.equals(ask.dedicated)


def _one_of(fleet: Fleet, label: str, values: Iterable[str]) -> Bound:
    found = np.zeros(len(fleet), dtype=np.bool_)
    for value in values:
        found |= fleet.label(label).equals(value)
    return found


def _sites(fleet: Fleet, ask: Ask) -> Bound:
    return _one_of(fleet, "site", ask.sites) if ask.sites else None


def _hardware(fleet: Fleet, ask: Ask) -> Bound:
    return _one_of(fleet, "hardware", ask.hardware) if ask.hardware else None


def _constraints(fleet: Fleet, ask: Ask) -> Bound:
    """Return which hosts meet every constraint, as `unmet_constraint` says of one host."""
    if not ask.constraints:
        return None
    allowed = np.ones(len(fleet), dtype=np.bool_)
    for constraint in ask.constraints:
        match = _CONSTRAINT.fullmatch(constraint)
        if match is None:
            allowed[:] = False
            break
        equal = _equal(fleet, match[1], match[3])
        allowed &= equal if match[2] == "==" else ~equal
    return allowed


def _equal(fleet: Fleet, key: str, wanted: str) -> Flags:
    if key == "id":
        return fleet.among((wanted,))
    if key == "source":
        kinds = {str(SourceKind.PRIVATE): fleet.private, str(SourceKind.CLOUD): ~fleet.private}
        return kinds.get(wanted, np.zeros(len(fleet), dtype=np.bool_))
    return fleet.label(key.removeprefix("labels.")).equals(wanted)


def _failed_lately(fleet: Fleet, ask: Ask) -> Bound:
    return ~fleet.among(ask.not_on) if ask.not_on else None


def _beside(fleet: Fleet, ask: Ask) -> Bound:
    found: Flags | None = None
    for one in ask.beside:
        if not one.preferred and one.service != ask.service:
            there = near(fleet, one.service, one.within)
            found = there if found is None else found & there
    return found


def near(fleet: Fleet, service: str, within: str) -> Flags:
    """Return which hosts stand in one host or domain with an instance of `service`."""
    same = fleet.same(service)
    return np.zeros(len(fleet), dtype=np.bool_) if same is None else fleet.widened(same > 0, within)


def _apart(fleet: Fleet, ask: Ask) -> Bound:
    """Both ways: whom it avoids, and who avoids it. The service itself on one host is a matter of number."""
    found: Bound = None
    for one in ask.apart:
        if not one.preferred and not (one.service == ask.service and one.within == HOST):
            found = _both(found, ~near(fleet, one.service, one.within))
    for within in fleet.avoided(ask.service):
        there = fleet.with_trait(avoids(ask.service, within))
        if there is not None:
            found = _both(found, ~fleet.widened(there > 0, within))
    return found


def _both(one: Bound, other: Flags) -> Bound:
    return other if one is None else one & other


def _empty(fleet: Fleet, ask: Ask) -> Bound:
    return fleet.empty().astype(np.int64) if ask.empty_only else None


def _heavy(fleet: Fleet, ask: Ask) -> Bound:
    if not ask.heavy:
        return None
    there = fleet.with_trait(heavy(ask.heavy))
    return np.ones(len(fleet), dtype=np.int64) if there is None else 1 - there


def _host_ports(fleet: Fleet, ask: Ask) -> Bound:
    if not ask.host_ports:
        return None
    free = np.ones(len(fleet), dtype=np.int64)
    for number in ask.host_ports:
        taken = fleet.with_trait(port(number))
        if taken is not None:
            free[taken > 0] = 0
    return free


def _per_host(fleet: Fleet, ask: Ask) -> Bound:
    alone = any(one.service == ask.service and one.within == HOST and not one.preferred for one in ask.apart)
    most = 1 if alone else ask.max_per_host
    if most is None:
        return None
    same = fleet.same(ask.service)
    return np.full(len(fleet), most, dtype=np.int64) if same is None else most - same


FILTERS = (
    Filter(RefusalReason.UNSCHEDULABLE, _schedulable, always=True),
    Filter(RefusalReason.DEDICATED, _dedicated, always=True),
    Filter(RefusalReason.SITE, _sites, always=True),
    Filter(RefusalReason.HARDWARE, _hardware, always=True),
    Filter(RefusalReason.CONSTRAINT, _constraints, always=True),
    Filter(RefusalReason.FAILED_LATELY, _failed_lately),
    Filter(RefusalReason.NOT_BESIDE, _beside),
    Filter(RefusalReason.KEPT_APART, _apart),
    Filter(RefusalReason.NOT_EMPTY, _empty),
    Filter(RefusalReason.HEAVY, _heavy),
    Filter(RefusalReason.HOST_PORT, _host_ports),
    Filter(RefusalReason.MAX_PER_HOST, _per_host),
)
