"""One step of one host, and what its row is after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dcp.hosts.model import Host, SourceHost
from dcp.hosts.states import HostState


@dataclass(frozen=True, slots=True)
class HostStep:
    """Move `host` to `after`, or keep it there and note something."""

    host: Host
    after: HostState
    reason: str
    words: str
    """Empty: nothing that an event should tell."""
    seen: SourceHost | None = None
    """What the source showed, where the step takes over its address."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the host, by name."""
    told_as: str = ""
    """Reason of the event, where it is not that of the host."""


def after_step(step: HostStep, host: Host, now: float) -> Host:
    """Return `host`, the step's host as the ledger has it now, after the step.

    Billing runs from the first request to the source until it no longer shows the host; one that goes back to the
    queue was never there. A claim ends with the state in which it was made.
    """
    moved = step.after != host.state
    after = replace(
        host,
        state=step.after,
        reason=step.reason,
        changed_at=now if moved else host.changed_at,
        attempts=0,
        not_before=0.0,
        claimed_by=None if moved else host.claimed_by,
    )
    if step.seen is not None:
        after = replace(after, address=step.seen.address, engine=step.seen.engine)
    if moved and step.after == HostState.CREATING:
        after = replace(after, billed_from=now)
    elif step.after == HostState.REQUESTED:
        after = replace(after, billed_from=None, token="", variant="")
    elif step.after == HostState.RELEASED and host.billed_from is not None:
        after = replace(after, billed_until=now)
    after = replace(after, **step.changes)
    return after if after.cluster == host.cluster else replace(after, cluster_since=now)
