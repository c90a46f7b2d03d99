"""What people ask of single hosts: cordon, uncordon, drain. Acknowledged once it is committed."""

from collections.abc import Callable

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.hosts import verbs
from dcp.hosts.model import Host
from dcp.hosts.states import ENDED
from dcp.hosts.steps import HostStep, after_step
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.store import events, hosts

LONGEST_DRAIN_S = 30 * 86400.0


async def cordon(context: Context, host_id: str) -> Host:
    """Place nothing new on a host. Raises NotFound, Conflict."""
    return await _do(context, host_id, verbs.cordon)


async def uncordon(context: Context, host_id: str) -> Host:
    """Use a host again. Raises NotFound, Conflict."""
    return await _do(context, host_id, verbs.uncordon)


async def drain(context: Context, host_id: str, within_s: float) -> Host:
    """Have a host empty within a time, then give it back. Raises InvalidInput, NotFound, Conflict."""
    if not 0 <= within_s <= LONGEST_DRAIN_S:
        problem = Problem("within_s", f"{within_s:g} s is no time to drain a host in", "between 0 s and 30 days")
        raise InvalidInput((problem,), subject=f"host {host_id}")
    now = context.clock.now()
    return await _do(context, host_id, lambda host: verbs.drain(host, now + within_s, now))


async def _do(context: Context, host_id: str, decide: Callable[[Host], HostStep | None]) -> Host:
    now = context.clock.now()

    def work(connection: Connection) -> Host:
        host = hosts.find(connection, host_id)
        if host is None or host.state in ENDED:
            raise NotFound(f"there is no host {host_id}", hint="see `dcp hosts`")
        step = decide(host)
        if step is None:
            return host
        told = Event(host.subject, step.reason, step.words, before=str(host.state), after=str(step.after))
        events.append(connection, now, [told])
        return hosts.change(connection, host, after_step(step, host, now))

    host = await context.database.write(work)
    context.wakes.wake(f"source/{host.source}")
    for kind in ("application", "service"):
        context.wakes.wake_kind(kind)
    return host
