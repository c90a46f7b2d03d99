"""The way of a host from the queue to ready, and from stopped to ready again. When it is asked for, see `creation`."""

from dcp.hosts.creation import ACCEPTED
from dcp.hosts.health import Health, engine_answers, lost
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep
from dcp.hosts.view import SourceView

INITIALISATION_FAILED = "initialisation-failed"
INITIALISATION_TIMEOUT = "initialisation-timeout"


def coming(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    """Return the next step of a host that is not ready yet."""
    view = health.view
    if host.state == HostState.REQUESTED:
        return _requested(host, seen, view)
    found_out = host.state != HostState.CREATING or seen is not None or host.reason == ACCEPTED
    if found_out and (step := unneeded(host, view, HostState.RELEASING)):
        return step
    if seen is not None and seen.refusal is not None:
        return HostStep(host, HostState.FAILED, seen.refusal.code, str(seen.refusal))
    if host.state == HostState.INITIALISING:
        return _initialising(host, seen, view) or lost(host, seen, health)
    if seen is not None and seen.state == SourceHostState.RUNNING and (step := _running(host, seen, view)):
        return step
    if view.now - _asked_at(host) > view.boot_limit_s:
        words = f"did not run within {view.boot_limit_s:.0f} s"
        return HostStep(host, HostState.FAILED, "boot-timeout", words)
    if host.state == HostState.CREATING:
        return _creating(host, seen, view)
    if host.state == HostState.STARTING and seen is not None:
        return None  # still shown as stopped: it is asked to start
    return lost(host, seen, health)


def unneeded(host: Host, view: SourceView, after: HostState) -> HostStep | None:
    """Take a host to `after` if nobody needs it and nothing holds resources there."""
    why = view.give_back.get(host.id)
    if why is None or view.live_instances.get(host.id):
        return None
    return HostStep(host, after, "not-needed", why)


def _requested(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    """It may be there all the same: a call that took effect after its answer."""
    if seen is not None:
        return HostStep(host, HostState.CREATING, ACCEPTED, f"{host.source} shows it although it refused it", seen)
    return unneeded(host, view, HostState.RELEASED)


def _creating(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    if seen is not None:
        return HostStep(host, HostState.BOOTING, "booting", f"{host.source} shows it", seen)
    waited_s = view.now - host.changed_at
    if host.reason != ACCEPTED or waited_s <= view.shown_within_s:
        return None
    words = f"{host.source} accepted it and has not shown it for {waited_s:.0f} s"
    return HostStep(host, HostState.FAILED, "never-shown", words)


def _running(host: Host, seen: SourceHost, view: SourceView) -> HostStep | None:
    if host.host_type.initialise and host.state != HostState.STARTING:
        waited_s = view.now - _asked_at(host)
        return HostStep(host, HostState.INITIALISING, "booted", f"runs after {waited_s:.1f} s; is initialised", seen)
    return _ready(host, seen, view)


def _ready(host: Host, seen: SourceHost, view: SourceView) -> HostStep | None:
    if not engine_answers(host, seen, view):
        return None
    again = host.state == HostState.STARTING
    waited_s = view.now - (host.changed_at if again else host.requested_at)
    asked = "it was started again" if again else "it was asked for"
    return HostStep(host, HostState.READY, "ready", f"runs, {waited_s:.1f} s after {asked}", seen)


def _initialising(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    look = view.initialised.get(host.id)
    if look is not None and look.failed_words:
        return HostStep(host, HostState.FAILED, INITIALISATION_FAILED, look.failed_words)
    if look is not None and look.done and seen is not None and seen.state == SourceHostState.RUNNING:
        return _ready(host, seen, view) or _too_late(host, view)
    return _too_late(host, view)


def _too_late(host: Host, view: SourceView) -> HostStep | None:
    if view.now - host.changed_at <= view.initialise_limit_s:
        return None
    words = f"was not ready {view.initialise_limit_s:.0f} s after it ran"
    return HostStep(host, HostState.FAILED, INITIALISATION_TIMEOUT, words)


def _asked_at(host: Host) -> float:
    if host.state == HostState.STARTING:
        return host.changed_at
    return host.requested_at if host.billed_from is None else host.billed_from
