"""Why an instance fits nowhere, in words that say what to change."""

import numpy as np

from dcp.hosts.model import Resources
from dcp.scheduling.change import amount_of, describe, hosts_of, is_alone, join, to_fit_all
from dcp.scheduling.filters import RefusalReason, Room, room_for
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.labels import Flags
from dcp.scheduling.model import HOST, Ask, Neighbour, Refusal, Unplaced


def explain(fleet: Fleet, ask: Ask, left: int) -> Unplaced:
    """Return the refusal of `left` instances of `ask` on the fleet as it is now, where no host fits one more."""
    room = room_for(fleet, ask)
    refused = room.refusals()
    if ask.spread:
        refused[RefusalReason.MAX_SKEW] = room.fits() > 0
    hosts = {reason: int(np.count_nonzero(flags)) for reason, flags in refused.items()}
    refusals = tuple(
        Refusal(str(reason), count) for reason, count in sorted(hosts.items(), key=lambda item: -item[1]) if count
    )
    many = "1 instance fits" if left == 1 else f"{left:,} instances fit"
    asked = f" ({ask.count:,} were asked for)" if ask.count > left else ""
    words = f"{ask.service}: {many} on no host{asked}: {_counts(fleet, ask, refusals)}"
    changes = (smallest_change(fleet, ask, room, refused), to_fit_all(fleet, ask, room, left))
    return Unplaced(ask.service, left, refusals, "; ".join((words, *filter(None, changes))))


def smallest_change(fleet: Fleet, ask: Ask, room: Room, refused: dict[str, Flags]) -> str:
    """Return in words the least that would let one more instance fit."""
    short = np.zeros(len(fleet), dtype=np.bool_)
    for reason, flags in refused.items():
        if reason not in _SAID:
            short |= flags
    if short.any():
        return _more_on_the_closest(fleet, ask, short)
    roomy = room.roomy()
    for reason in (RefusalReason.MAX_SKEW, RefusalReason.MAX_PER_HOST, *RefusalReason):
        open_but_for_it = refused.get(reason)
        if open_but_for_it is not None and (open_but_for_it & roomy).any():
            words = _without(fleet, ask, reason, open_but_for_it & roomy)
            if words:
                return words
    which = f" that meets {_by_constraint(ask)}" if ask.constraints else ""
    return f"one more host{which} with {describe(ask.resources)} free would let one more fit"


def _without(fleet: Fleet, ask: Ask, reason: RefusalReason, hosts: Flags) -> str:
    """Return what to give up so that `hosts`, which have room, take one; "" if nothing can be."""
    many = int(np.count_nonzero(hosts))
    if reason is RefusalReason.MAX_PER_HOST:
        same = fleet.same(ask.service)
        fewest = 0 if same is None else int(same[hosts].min())
        return f"{fewest + 1} instead of {_per_host(ask)} on one host would let one more fit"
    if reason is RefusalReason.MAX_SKEW:
        skews = [f"{one.label} (at most {one.max_skew} more)" for one in ask.spread if one.max_skew is not None]
        return f"room in the fullest domain, or a wider skew over {join(skews)}, would let one more fit"
    if reason is RefusalReason.UNSCHEDULABLE:
        return f"{hosts_of(many)} would have room once {'it takes' if many == 1 else 'they take'} instances again"
    if reason is RefusalReason.FAILED_LATELY:
        return ""
    return f"without {_said(ask)[reason]}, {hosts_of(many)} would have room"


def _more_on_the_closest(fleet: Fleet, ask: Ask, short: Flags) -> str:
    """Name the host that misses least, measured against what an instance asks for."""
    hosts = np.flatnonzero(short)
    misses = [np.maximum(need - fleet.free[row, hosts], 0) / need for row, need in fleet.needs(ask.resources)]
    position = int(hosts[np.argmin(np.max(misses, axis=0))])
    host, free = fleet.hosts[position], fleet.free_on(position)
    words = f"{describe(_missing(ask.resources, free))} more on {host.host_id} would let one more fit"
    if ask.resources.fits_in(host.total):
        return words
    has, wants = describe(host.total), describe(ask.resources)
    return f"{words} (even empty it is too small: {has}, and an instance asks for {wants})"


def _missing(wanted: Resources, free: Resources) -> Resources:
    has = free.amounts()
    left = {name: max(0, amount - has.get(name, 0)) for name, amount in wanted.amounts().items() if amount}
    cpu, memory, disk = (left.pop(name, 0) for name in ("cpu", "memory", "disk"))
    return Resources(cpu, memory, disk, tuple(sorted((name, amount) for name, amount in left.items() if amount)))


def _counts(fleet: Fleet, ask: Ask, refusals: tuple[Refusal, ...]) -> str:
    if not len(fleet):
        return "there is no host"
    counted = ", ".join(f"{one.hosts:,} {_refused_words(ask, one.reason)}" for one in refusals)
    return f"{hosts_of(len(fleet))}, of which {counted}"


_SAID = frozenset(map(str, RefusalReason))


def _refused_words(ask: Ask, reason: str) -> str:
    if reason not in _SAID:
        needs = ask.resources.amounts()
        return f"without {join([amount_of(name, needs[name]) for name in reason.split('-and-')])} free"
    told = {
        RefusalReason.UNSCHEDULABLE: "that take nothing new",
        RefusalReason.FAILED_LATELY: "on which it could not be started lately",
        RefusalReason.MAX_PER_HOST: f"at the limit of {_per_host(ask)} on one host",
        RefusalReason.MAX_SKEW: "in domains that would have too many more than the one with the fewest",
    }
    one = RefusalReason(reason)
    return told.get(one) or f"ruled out by {_said(ask)[one]}"


def _said(ask: Ask) -> dict[RefusalReason, str]:
    """Return what each reason is called where it rules a host out."""
    return {
        RefusalReason.DEDICATED: f"being kept for {ask.dedicated} only" if ask.dedicated else "being kept for others",
        RefusalReason.SITE: f"the site {' or '.join(sorted(ask.sites))}",
        RefusalReason.HARDWARE: f"the hardware class {' or '.join(sorted(ask.hardware))}",
        RefusalReason.CONSTRAINT: _by_constraint(ask),
        RefusalReason.NOT_BESIDE: f"the wish to stand beside {_neighbours(ask, ask.beside)}",
        RefusalReason.KEPT_APART: f"being kept apart from {_neighbours(ask, ask.apart) or 'others'}",
        RefusalReason.NOT_EMPTY: "the wish for an empty host",
        RefusalReason.HEAVY: f"another instance of the heavy kind {ask.heavy}",
        RefusalReason.HOST_PORT: f"port {', '.join(map(str, sorted(ask.host_ports)))} being taken",
    }


def _neighbours(ask: Ask, some: tuple[Neighbour, ...]) -> str:
    must = [one for one in some if not one.preferred]
    names = ["its own kind" if one.service == ask.service else one.service for one in must]
    within = [f" in one {one.within}" if one.within != HOST else "" for one in must]
    return join([name + where for name, where in zip(names, within, strict=True)])


def _per_host(ask: Ask) -> int:
    return 1 if is_alone(ask) or ask.max_per_host is None else ask.max_per_host


def _by_constraint(ask: Ask) -> str:
    noun = "the constraint" if len(ask.constraints) == 1 else "the constraints"
    return f"{noun} {' and '.join(ask.constraints)}"
