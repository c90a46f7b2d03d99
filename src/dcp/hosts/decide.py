"""The next step of every host of one source: wait, use, cordon, give back; and what to collect that nobody knows.

Pure: from the ledger and the source's own complete listing to a flat tuple of steps. The listing is taken before the
ledger is read, so a machine that the ledger does not know was not written first and is a leak.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dcp.hosts.coming import coming, unneeded
from dcp.hosts.cost.prices import repriced
from dcp.hosts.health import (
    DOUBT_FACTOR,
    FEW,
    LOST_SHARE,
    SUSPECT,
    Health,
    engine_lost,
    look_at_health,
    lost,
    may_have_leftovers,
    silent,
    unreachable,
)
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.sharing import CLAIMED, HANDED_OVER
from dcp.hosts.states import COMING, HostState
from dcp.hosts.steps import HostStep
from dcp.hosts.view import SourceView

NOTICE = "notice"
"""Reason of a host that its source wants back; it stays once the source no longer does."""


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """Steps to write; then hosts to take back, to switch off and on, and unknown machines to collect."""

    steps: tuple[HostStep, ...]
    delete: tuple[Host, ...]
    collect: tuple[str, ...]
    stop: tuple[Host, ...] = ()
    start: tuple[Host, ...] = ()
    doubt: str = ""
    """Why nothing is given up now although much looks dead; empty: there is no doubt."""


def decide_hosts(view: SourceView) -> SourceDecision:
    """Return at most one step for each host and the calls that are due. What is asked for is decided apart."""
    listed = {one.host_id: one for one in view.listed}
    health = look_at_health(view)
    steps = tuple(
        step
        for host in view.hosts
        if (step := _next(host, listed.get(host.id), health) or repriced(host, listed.get(host.id))) is not None
    )
    moved = {step.host.id for step in steps}
    still = [host for host in view.hosts if host.id not in moved and view.now >= host.not_before]
    return SourceDecision(
        steps=steps,
        delete=tuple(host for host in still if host.state == HostState.RELEASING),
        collect=_collect(view),
        stop=tuple(host for host in still if host.state == HostState.STOPPING),
        start=tuple(host for host in still if host.state == HostState.STARTING and _is_off(listed.get(host.id))),
        doubt=_doubt(health),
    )


def _next(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    if host.state in COMING:
        return coming(host, seen, health)
    decide = _LIFE.get(host.state)
    return decide(host, seen, health) if decide else None


def _ready(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    view = health.view
    return (
        lost(host, seen, health)
        or silent(host, view)
        or _told_to_leave(host, seen, view)
        or _suspect(host, health)
        or _to_keep(host, view)
        or unneeded(host, view, HostState.DRAINING)
    )


def _unreachable(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    return lost(host, seen, health) or unreachable(host, health)


def _cordoned(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    """Its instances are replaced elsewhere by the plans of their applications; a person's cordon is left to people."""
    view = health.view
    if given_up := lost(host, seen, health) or engine_lost(host, health):
        return given_up
    if host.leave_by is None:
        return _told_to_leave(host, seen, view) or _suspect_no_more(host, view)
    if host.reason == NOTICE and seen is not None and seen.leave_by is None:
        words = f"{host.source} no longer wants it back"
        return HostStep(host, HostState.READY, "notice-withdrawn", words, changes={"leave_by": None})
    if seen is not None and seen.leave_by is not None and seen.leave_by < host.leave_by:
        return _told_to_leave(host, seen, view)
    if view.live_instances.get(host.id):
        return None
    if host.reason == CLAIMED and host.claimed_by is not None:
        return _handed_over(host, host.claimed_by)
    return HostStep(host, HostState.DRAINING, host.reason, "nothing runs there any more")


def _handed_over(host: Host, owner: str) -> HostStep:
    words = f"nothing of cluster {host.cluster or 'none'} is there any more: cluster {owner or 'none'} has it back"
    changes = {"cluster": owner, "leave_by": None}
    return HostStep(host, HostState.READY, HANDED_OVER, words, changes=changes)


def _draining(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    view = health.view
    if step := lost(host, seen, health) or silent(host, view):
        return step
    if view.live_instances.get(host.id):
        return HostStep(host, HostState.READY, "needed-again", "an instance was placed on it meanwhile")
    return HostStep(host, HostState.RELEASING, host.reason or "not-needed", "no instance left")


def _stopping(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    view = health.view
    if _is_off(seen):
        return HostStep(
            host, HostState.STOPPED, host.reason, f"is switched off after {view.now - host.changed_at:.0f} s"
        )
    if view.now - host.changed_at > view.boot_limit_s:
        words = f"was not switched off within {view.boot_limit_s:.0f} s: given back"
        return HostStep(host, HostState.RELEASING, "stop-timeout", words)
    return None if seen is not None else lost(host, seen, health)


def _stopped(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    view = health.view
    if host.leave_by is not None:
        return HostStep(host, HostState.RELEASING, "leave-by", "its source wants it back")
    if view.live_instances.get(host.id):
        return HostStep(host, HostState.STARTING, "needed-again", "an instance was placed on it")
    if seen is None:
        return lost(host, seen, health)
    return unneeded(host, view, HostState.RELEASING)


def _releasing(host: Host, seen: SourceHost | None, _: Health) -> HostStep | None:
    if seen is not None:
        return None
    return HostStep(host, HostState.RELEASED, host.reason or "released", "its source no longer shows it")


def _ended(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    if health.view.live_instances.get(host.id) or may_have_leftovers(host, seen, health.view):
        return None
    return HostStep(host, HostState.RELEASING, host.reason, "asks the source to take back what may be left of it")


_LIFE: dict[HostState, Callable[[Host, SourceHost | None, Health], HostStep | None]] = {
    HostState.READY: _ready,
    HostState.UNREACHABLE: _unreachable,
    HostState.CORDONED: _cordoned,
    HostState.DRAINING: _draining,
    HostState.STOPPING: _stopping,
    HostState.STOPPED: _stopped,
    HostState.RELEASING: _releasing,
    HostState.LOST: _ended,
    HostState.FAILED: _ended,
}


def _told_to_leave(host: Host, seen: SourceHost | None, view: SourceView) -> HostStep | None:
    notice = seen.leave_by if seen is not None else None
    if notice is not None:
        said = f" ({seen.leave_words})" if seen is not None and seen.leave_words else ""
        words = f"{host.source} takes it away in {max(0.0, notice - view.now):.0f} s{said}"
        by = notice if host.leave_by is None else min(notice, host.leave_by)
        return HostStep(host, HostState.CORDONED, NOTICE, words, changes={"leave_by": by})
    if host.leave_by is None:
        return None
    words = f"has to be empty in {max(0.0, host.leave_by - view.now):.0f} s"
    return HostStep(host, HostState.CORDONED, host.reason if host.reason == NOTICE else "leave-by", words)


def _suspect(host: Host, health: Health) -> HostStep | None:
    if host.id not in health.suspects or health.in_doubt:
        return None
    return HostStep(host, HostState.CORDONED, SUSPECT, health.view.suspects[host.id])


def _suspect_no_more(host: Host, view: SourceView) -> HostStep | None:
    waited_s = view.now - host.changed_at
    if host.reason != SUSPECT or host.id in view.suspects or waited_s < view.suspect_for_s:
        return None
    return HostStep(host, HostState.READY, "tried-again", f"nothing failed there for {waited_s:.0f} s")


def _to_keep(host: Host, view: SourceView) -> HostStep | None:
    why = view.keep_stopped.get(host.id)
    if why is None or view.live_instances.get(host.id):
        return None
    return HostStep(host, HostState.STOPPING, "kept-stopped", why)


def _is_off(seen: SourceHost | None) -> bool:
    return seen is not None and seen.state == SourceHostState.STOPPED


def _collect(view: SourceView) -> tuple[str, ...]:
    """Return the strangers to take back. If most of a listing is strange, more likely our ledger is an old one."""
    strangers = len(view.strangers_since)
    doubted = strangers > FEW + 1 and strangers > LOST_SHARE * len(view.listed)
    grace_s = view.leak_grace_s * (DOUBT_FACTOR if doubted else 1.0)
    return tuple(sorted(host_id for host_id, since in view.strangers_since.items() if view.now - since >= grace_s))


def _doubt(health: Health) -> str:
    if not health.in_doubt:
        return ""
    wait_s = health.view.lost_after_s * DOUBT_FACTOR
    return f"{health.bad} of {health.total} hosts look dead at once: none is given up for {wait_s:.0f} s"
