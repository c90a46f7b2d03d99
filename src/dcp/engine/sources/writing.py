"""Writes a round's steps of hosts in one transaction, each under its host's state.

A plan may claim a host, which raises its version, while a call for it is under way. What was learnt from the source
holds all the same, so it is written over the row as it is now, unless that has another state or token. What was
decided because a host was empty does not hold any more; such a step is dropped and decided again.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from dcp.hosts.model import Host
from dcp.hosts.states import COMING
from dcp.hosts.steps import HostStep, after_step
from dcp.kernel.events import Event
from dcp.store import events, hosts


def write_steps(connection: Connection, steps: Sequence[HostStep], now: float) -> tuple[Host, ...]:
    """Write what still holds, with its events; return the hosts as they were written."""
    fresh = {host.id: host for host in hosts.of_ids(connection, [step.host.id for step in steps])} if steps else {}
    held: dict[str, tuple[HostStep, Host]] = {}
    for step in steps:
        host = fresh.get(step.host.id)
        if host is not None and host.id not in held and _holds(step, host):
            held[host.id] = step, host
    changes = [(host, after_step(step, host, now)) for step, host in held.values()]
    written = hosts.change_all(connection, changes, at=now)
    events.append(connection, now, [_event(step) for step, _ in held.values() if step.words])
    return written


def _holds(step: HostStep, host: Host) -> bool:
    before = step.host
    if host.version == before.version:
        return True
    claimed = (host.state, host.token, host.leave_by) == (before.state, before.token, before.leave_by)
    return claimed and before.state in COMING and step.reason != "not-needed"


def _event(step: HostStep) -> Event:
    reason = step.told_as or step.reason
    return Event(step.host.subject, reason, step.words, before=str(step.host.state), after=str(step.after))
