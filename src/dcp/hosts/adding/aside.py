"""Which machines are set aside because they could not be initialised. Pure."""

from collections.abc import Iterable

from dcp.hosts.adding.model import SetAside
from dcp.hosts.coming import INITIALISATION_FAILED, INITIALISATION_TIMEOUT
from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep
from dcp.kernel.events import Event

_BAD = frozenset({INITIALISATION_FAILED, INITIALISATION_TIMEOUT})


def put_aside(steps: Iterable[HostStep], written: Iterable[Host], now: float) -> tuple[SetAside, ...]:
    """Return the machines of hosts that were given up now. A cloud makes another machine; ours would come again."""
    words = {step.host.id: step.words for step in steps if step.after is HostState.FAILED and step.reason in _BAD}
    return tuple(
        SetAside(host.source, host.address, now, words[host.id])
        for host in written
        if host.id in words and host.kind is SourceKind.PRIVATE and host.address
    )


def event_of(one: SetAside) -> Event:
    """Return what is told of it."""
    hint = f"not offered again until a person says so: dcp hosts retry {one.address}"
    return Event(f"source/{one.source}", "machine-set-aside", f"{one.address}: {one.words}; {hint}")
