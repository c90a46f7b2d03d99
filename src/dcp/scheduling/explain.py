"""Why an instance fits nowhere, in words that say what to change."""

import numpy as np

from dcp.hosts.model import Resources
from dcp.kernel.units import format_bytes, format_cpu
from dcp.scheduling.filters import RefusalReason, Room, room_for
from dcp.scheduling.fleet import CPU, MEMORY, Flags, Fleet
from dcp.scheduling.model import Ask, Refusal, Unplaced


def explain(fleet: Fleet, ask: Ask, left: int) -> Unplaced:
    """Return the refusal of `left` instances of `ask` on the fleet as it is now, where no host fits one more."""
    room = room_for(fleet, ask)
    hosts = {reason: int(np.count_nonzero(flags)) for reason, flags in room.refusals().items()}
    refusals = tuple(
        Refusal(str(reason), count) for reason, count in sorted(hosts.items(), key=lambda item: -item[1]) if count
    )
    many = "1 instance fits" if left == 1 else f"{left:,} instances fit"
    asked = f" ({ask.count:,} were asked for)" if ask.count > left else ""
    words = f"{ask.service}: {many} on no host{asked}: {_counts(fleet, ask, refusals)}"
    return Unplaced(ask.service, left, refusals, f"{words}; {smallest_change(fleet, ask, room)}")


def smallest_change(fleet: Fleet, ask: Ask, room: Room) -> str:
    """Return in words the least that would let one more instance fit."""
    refused = room.refusals()
    short = refused[RefusalReason.CPU] | refused[RefusalReason.MEMORY] | refused[RefusalReason.CPU_AND_MEMORY]
    roomy = room.roomy()
    if short.any():
        return _more_on_the_closest(fleet, ask, short)
    full = refused[RefusalReason.MAX_PER_HOST] & roomy
    if full.any() and ask.max_per_host is not None and room.by_count is not None:
        allowed = ask.max_per_host + 1 - int(room.by_count[full].max())
        return f"{allowed} instead of {ask.max_per_host} on one host would let one more fit"
    kept_out = refused[RefusalReason.CONSTRAINT] & roomy
    if kept_out.any():
        ruled = _by_constraint(ask)
        return f"without {ruled}, {_hosts(int(np.count_nonzero(kept_out)))} would have room"
    which = f" that meets {_by_constraint(ask)}" if ask.constraints else ""
    return f"one more host{which} with {describe(ask.resources)} free would let one more fit"


def describe(resources: Resources) -> str:
    """Return resources in words: `0.5 CPU and 64 MiB`."""
    parts = []
    if resources.cpu_millis:
        parts.append(format_cpu(resources.cpu_millis))
    if resources.memory_bytes:
        parts.append(format_bytes(resources.memory_bytes))
    return " and ".join(parts) or "nothing"


def _more_on_the_closest(fleet: Fleet, ask: Ask, short: Flags) -> str:
    """Name the host that misses least, measured against what an instance asks for."""
    need, hosts = ask.resources, np.flatnonzero(short)
    misses_cpu = np.maximum(need.cpu_millis - fleet.free[CPU, hosts], 0) / max(need.cpu_millis, 1)
    misses_memory = np.maximum(need.memory_bytes - fleet.free[MEMORY, hosts], 0) / max(need.memory_bytes, 1)
    position = int(hosts[np.argmin(np.maximum(misses_cpu, misses_memory))])
    host, free = fleet.hosts[position], fleet.free_on(position)
    missing = Resources(max(0, need.cpu_millis - free.cpu_millis), max(0, need.memory_bytes - free.memory_bytes))
    words = f"{describe(missing)} more on {host.host_id} would let one more fit"
    if need.fits_in(host.total):
        return words
    return f"{words} (even empty it is too small: {describe(host.total)}, and an instance asks for {describe(need)})"


def _counts(fleet: Fleet, ask: Ask, refusals: tuple[Refusal, ...]) -> str:
    if not len(fleet):
        return "there is no host"
    said = {
        RefusalReason.CONSTRAINT: f"ruled out by {_by_constraint(ask)}",
        RefusalReason.FAILED_LATELY: "on which it could not be started lately",
        RefusalReason.MAX_PER_HOST: f"at the limit of {ask.max_per_host} on one host",
        RefusalReason.CPU_AND_MEMORY: f"without {describe(ask.resources)} free",
        RefusalReason.CPU: f"without {format_cpu(ask.resources.cpu_millis)} free",
        RefusalReason.MEMORY: f"without {format_bytes(ask.resources.memory_bytes)} free",
    }
    counted = ", ".join(f"{one.hosts:,} {said[RefusalReason(one.reason)]}" for one in refusals)
    return f"{_hosts(len(fleet))}, of which {counted}"


def _by_constraint(ask: Ask) -> str:
    noun = "the constraint" if len(ask.constraints) == 1 else "the constraints"
    return f"{noun} {' and '.join(ask.constraints)}"


def _hosts(number: int) -> str:
    return "1 host" if number == 1 else f"{number:,} hosts"
