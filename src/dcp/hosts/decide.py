"""The next step of every host of one source: ask, wait, use, give back; and what to collect that nobody knows.

Pure: from the ledger and the source's own complete listing to a flat tuple of steps. The listing is taken before the
ledger is read, so a machine that the ledger does not know was not written first and is a leak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.hosts.creation import ACCEPTED
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.states import COMING, HostState
from dcp.hosts.steps import HostStep

LOST_SHARE = 0.5
"""When more of a source's engines than this are silent at once, the way to them is in doubt, and none is given up."""


@dataclass(frozen=True, slots=True)
class EngineLook:
    """Whether the engine of a host answers, since when it does or does not, and what the runtime still lists there."""

    answers: bool
    since: float
    leftovers: int = 0
    words: str = ""
    """What was wrong when it was last asked."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """Everything `decide_hosts` looks at."""

    now: float
    hosts: tuple[Host, ...]
    """The ledger's hosts of this source that were not given back."""
    listed: tuple[SourceHost, ...]
    live_instances: Mapping[str, int]
    """Instances on each host that hold resources there."""
    give_back: Mapping[str, str]
    """Hosts that nobody needs any more, and why."""
    unseen_since: Mapping[str, float]
    """Hosts that the listing does not show, and since when."""
    boot_limit_s: float
    lost_after_s: float
    engines: Mapping[str, EngineLook] = field(default_factory=dict)
    """What is known of the container engine of each host that has one."""
    engine_lost_after_s: float = 300.0
    shown_within_s: float = 120.0
    """A host that was accepted and is not shown for this long is given up."""


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """Steps to write; then hosts to take back, and unknown machines to collect. What is asked for, see `creation`."""

    steps: tuple[HostStep, ...]
    delete: tuple[Host, ...]
    collect: tuple[str, ...]


def decide_hosts(view: SourceView) -> SourceDecision:
    """Return at most one step for each host and the calls that are due."""
    listed = {one.host_id: one for one in view.listed}
    known = {host.id for host in view.hosts}
    steps = tuple(step for host in view.hosts if (step := _next(host, listed.get(host.id), view)) is not None)
    moved = {step.host.id for step in steps}
    still = [host for host in view.hosts if host.id not in moved and view.now >= host.not_before]
    return SourceDecision(
        steps=steps,
        delete=tuple(host for host in still if host.state == HostState.RELEASING),
        collect=tuple(sorted(one.host_id for one in view.listed if one.host_id not in known)),
    )


def _next(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    if host.state in COMING:
        return _coming(host, seen, view)
    if host.state == HostState.READY:
        return _lost(host, seen, view) or _silent(host, view) or _unneeded(host, view, HostState.DRAINING)
    if host.state == HostState.UNREACHABLE:
        return _lost(host, seen, view) or _unreachable(host, view)
    if host.state == HostState.DRAINING:
        return _lost(host, seen, view) or _silent(host, view) or _draining(host, view)
    if host.state == HostState.RELEASING and seen is None:
        return HostStep(host, HostState.RELEASED, host.reason or "released", "its source no longer shows it")
    if host.state in (HostState.LOST, HostState.FAILED) and not view.live_instances.get(host.id):
        if _may_have_leftovers(host, seen, view):
            return None
        return HostStep(host, HostState.RELEASING, host.reason, "asks the source to take back what may be left of it")
    return None


def _coming(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    if host.state == HostState.REQUESTED:
        return _requested(host, seen, view)
    found_out = host.state != HostState.CREATING or seen is not None or host.reason == ACCEPTED
    if found_out and (unneeded := _unneeded(host, view, HostState.RELEASING)):
        return unneeded
    if seen is not None and seen.refusal is not None:
        return HostStep(host, HostState.FAILED, seen.refusal.code, str(seen.refusal))
    if seen is not None and seen.state == SourceHostState.RUNNING and _engine_answers(host, seen, view):
        waited_s = view.now - host.requested_at
        return HostStep(host, HostState.READY, "ready", f"runs, {waited_s:.1f} s after it was asked for", seen)
    if view.now - (host.billed_from or host.requested_at) > view.boot_limit_s:
        words = f"did not run within {view.boot_limit_s:.0f} s"
        return HostStep(host, HostState.FAILED, "boot-timeout", words)
    if host.state == HostState.CREATING:
        return _creating(host, seen, view)
    return _lost(host, seen, view) if host.state == HostState.BOOTING else None


def _requested(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    """When it is asked for is decided apart. It may be there all the same: a call that took effect after its answer."""
    if seen is not None:
        return HostStep(host, HostState.CREATING, ACCEPTED, f"{host.source} shows it although it refused it", seen)
    return _unneeded(host, view, HostState.RELEASED)


def _creating(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    if seen is not None:
        return HostStep(host, HostState.BOOTING, "booting", f"{host.source} shows it", seen)
    waited_s = view.now - host.changed_at
    if host.reason != ACCEPTED or waited_s <= view.shown_within_s:
        return None
    words = f"{host.source} accepted it and has not shown it for {waited_s:.0f} s"
    return HostStep(host, HostState.FAILED, "never-shown", words)


def _unneeded(host: Host, view: SourceView, after: HostState) -> HostStep | None:
    why = view.give_back.get(host.id)
    if why is None or view.live_instances.get(host.id):
        return None
    return HostStep(host, after, "not-needed", why)


def _draining(host: Host, view: SourceView) -> HostStep:
    if view.live_instances.get(host.id):
        return HostStep(host, HostState.READY, "needed-again", "an instance was placed on it meanwhile")
    return HostStep(host, HostState.RELEASING, "not-needed", "no instance left")


def _lost(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    since = view.unseen_since.get(host.id)
    if seen is not None or since is None or view.now - since < view.lost_after_s:
        return None
    words = f"{host.source} has not shown it for {view.now - since:.0f} s"
    return HostStep(host, HostState.LOST, "vanished", words)


def _engine_answers(host: Host, seen: SourceHost, view: SourceView) -> bool:
    look = view.engines.get(host.id)
    return not seen.engine or (look is not None and look.answers)


def _silent(host: Host, view: SourceView) -> HostStep | None:
    look = view.engines.get(host.id)
    if look is None or look.answers:
        return None
    why = f" ({look.words})" if look.words else ""
    words = f"its engine does not answer{why}; what runs there may run on, nothing new starts"
    return HostStep(host, HostState.UNREACHABLE, "engine-silent", words)


def _unreachable(host: Host, view: SourceView) -> HostStep | None:
    look = view.engines.get(host.id)
    if look is None:
        return None
    if look.answers:
        waited_s = view.now - host.changed_at
        return HostStep(host, HostState.READY, "engine-answers", f"its engine answers again after {waited_s:.0f} s")
    silent_s = view.now - max(look.since, host.changed_at)
    if silent_s < view.engine_lost_after_s or _way_in_doubt(view):
        return None
    return HostStep(host, HostState.LOST, "engine-lost", f"its engine has not answered for {silent_s:.0f} s")


def _way_in_doubt(view: SourceView) -> bool:
    """Many engines silent at once: more likely that we are cut off than that they all died."""
    silent = sum(1 for look in view.engines.values() if not look.answers)
    return len(view.engines) > 2 and silent > LOST_SHARE * len(view.engines)


def _may_have_leftovers(host: Host, seen: SourceHost | None, view: SourceView) -> bool:
    """A lost host that its source still has is kept in view until its engine answers and shows nothing of ours."""
    if not host.engine or seen is None or host.state != HostState.LOST:
        return False
    look = view.engines.get(host.id)
    return look is None or not look.answers or look.leftovers > 0
