"""What a source's answer to a call means for the call's hosts, and what of it is remembered.

Pure. A host that was refused goes back to the queue only once every host of its call has a known outcome: until then
the call is repeated as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dcp.hosts.creation import ACCEPTED, Call
from dcp.hosts.model import Host
from dcp.hosts.ports import Refusals
from dcp.hosts.refusals import RefusalKind, Refused, kind_of
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep
from dcp.kernel.errors import AccessDenied, DriverError, Rejected, Throttled

BACK_OFF_LIMIT_S = 60.0
LEAST_THROTTLE_S = 0.5
"""A source that asks to slow down and names no time is left alone for this long."""


@dataclass(frozen=True, slots=True)
class MemoryTimes:
    """How long refusals are believed, in seconds. Throttling names its own time."""

    stock_s: float
    quota_s: float
    denied_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Steps to write, and refusals to remember."""

    steps: tuple[HostStep, ...]
    memory: tuple[Refused, ...]


def settle(source: str, call: Call, refusals: Refusals, now: float, times: MemoryTimes) -> Settled:
    """Return what to write after a call of `create` was answered, or was not: see `whole` for the latter."""
    errors = {host.id: refusals.get(host.id) for host in call.wanted}
    found = [(host, error) for host in call.wanted if (error := errors[host.id]) is not None]
    if any(_leaves_open(error, call) for _, error in found):
        attempts = max(host.attempts for host in call.wanted)
        delay_s = max(back_off_s(attempts, error) for _, error in found)
        steps = tuple(_later(host, errors[host.id], attempts, delay_s, now) for host in call.wanted)
    else:
        steps = tuple(_settled(host, errors[host.id]) for host in call.wanted)
    return Settled(steps, remembered(source, found, now, times))


def whole(hosts: tuple[Host, ...], error: DriverError) -> Refusals:
    """Return an error of a whole call as the refusals of its hosts."""
    return {host.id: error for host in hosts}


def remembered(
    source: str, refused: Sequence[tuple[Host, DriverError]], now: float, times: MemoryTimes
) -> tuple[Refused, ...]:
    """Return what is known from now on of where not to ask, each only once."""
    found: dict[tuple[str, str, RefusalKind], Refused] = {}
    for host, error in refused:
        kind = kind_of(error)
        type_name, variant, for_s = _scope(host, error, kind, times)
        if for_s > 0:
            found[type_name, variant, kind] = Refused(source, type_name, variant, kind, str(error), now, now + for_s)
    return tuple(found.values())


def back_off_s(attempts: int, error: DriverError) -> float:
    """Return how long a call is not repeated after it failed `attempts` times before."""
    if isinstance(error, Throttled):
        return max(LEAST_THROTTLE_S, error.delay_s)
    return min(BACK_OFF_LIMIT_S, 0.5 * 2.0 ** min(attempts, 10))


def _scope(host: Host, error: DriverError, kind: RefusalKind, times: MemoryTimes) -> tuple[str, str, float]:
    """Return type and variant that a refusal rules out, and for how long."""
    match kind:
        case RefusalKind.STOCK_OUT:
            return host.host_type.name, host.variant, times.stock_s
        case RefusalKind.QUOTA:
            return host.host_type.name, "", times.quota_s
        case RefusalKind.THROTTLED:
            return "", "", back_off_s(0, error)
        case RefusalKind.DENIED:
            return "", "", times.denied_s
        case _:
            return "", "", 0.0


def _leaves_open(error: DriverError, call: Call) -> bool:
    """Whether the host may exist all the same: throttling and a denial say nothing of an earlier try."""
    if isinstance(error, AccessDenied | Throttled):
        return call.repeated
    return not isinstance(error, Rejected) and kind_of(error) is RefusalKind.TRANSIENT


def _later(host: Host, error: DriverError | None, attempts: int, delay_s: float, now: float) -> HostStep:
    if error is None:
        return HostStep(host, HostState.CREATING, ACCEPTED, "")
    changes = {"attempts": attempts + 1, "not_before": now + delay_s}
    words = f"{error}; asked again in {delay_s:.1f} s"
    return HostStep(host, HostState.CREATING, error.code, words, changes=changes)


def _settled(host: Host, error: DriverError | None) -> HostStep:
    if error is None:
        return HostStep(host, HostState.CREATING, ACCEPTED, "")
    if isinstance(error, Rejected) and not isinstance(error, AccessDenied):
        return HostStep(host, HostState.FAILED, "rejected", str(error), changes={"billed_from": None})
    return HostStep(host, HostState.REQUESTED, error.code, str(error))
