"""What a person may ask of a host: cordon it, end that, or drain it. Pure; asking again changes nothing."""

from dcp.hosts.model import Host
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep
from dcp.kernel.errors import Conflict

BY_PERSON = "by-person"
MAY_BE_CORDONED = frozenset({HostState.READY, HostState.CORDONED})
MAY_BE_USED_AGAIN = frozenset({HostState.READY, HostState.CORDONED, HostState.DRAINING})


def cordon(host: Host) -> HostStep | None:
    """Place nothing new there; what runs there stays. None: it is so already. Raises Conflict."""
    _refuse(host, "cordoned", MAY_BE_CORDONED)
    if host.state == HostState.CORDONED:
        return None
    return HostStep(host, HostState.CORDONED, BY_PERSON, "a person cordoned it: it takes nothing new")


def uncordon(host: Host) -> HostStep | None:
    """Use it again, also if it was to leave. None: it is used already. Raises Conflict."""
    _refuse(host, "used again", MAY_BE_USED_AGAIN)
    if host.state == HostState.READY and host.leave_by is None:
        return None
    return HostStep(host, HostState.READY, "uncordoned", "a person took it back", changes={"leave_by": None})


def drain(host: Host, leave_by: float, now: float) -> HostStep | None:
    """Have everything moved elsewhere by a time, then give it back. None: it is so already. Raises Conflict."""
    if host.state == HostState.DRAINING:
        return None
    _refuse(host, "drained", MAY_BE_CORDONED)
    if host.state == HostState.CORDONED and host.leave_by == leave_by:
        return None
    words = f"a person drains it: empty in {leave_by - now:.0f} s, then it is given back"
    return HostStep(host, HostState.CORDONED, BY_PERSON, words, changes={"leave_by": leave_by})


def _refuse(host: Host, what: str, allowed: frozenset[HostState]) -> None:
    if host.state not in allowed:
        states = ", ".join(sorted(allowed))
        raise Conflict(f"host {host.id} is {host.state}: it cannot be {what} now", hint=f"it would have to be {states}")
