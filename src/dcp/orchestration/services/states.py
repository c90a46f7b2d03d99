"""The life of an instance."""

from enum import StrEnum

from dcp.kernel.states import advance


class InstanceState(StrEnum):
    """Where an instance is between being planned and being gone."""

    PLACED = "placed"  # has a host and its resources there; the runtime was not asked yet
    STARTING = "starting"  # the runtime was asked, or is about to be; not yet healthy
    HELD = "held"  # healthy, waiting at its gate
    SERVING = "serving"  # takes traffic, or is about to: the balancer is told after this is written
    DRAINING = "draining"  # leaves the balancer, finishes requests in flight
    STOPPING = "stopping"  # out of the balancer; the runtime is asked to stop it
    STOPPED = "stopped"  # ended as wanted
    FAILED = "failed"  # ended by itself, or never became healthy
    LOST = "lost"  # its host is gone


TRANSITIONS: dict[InstanceState, frozenset[InstanceState]] = {
    InstanceState.PLACED: frozenset({InstanceState.STARTING, InstanceState.STOPPED, InstanceState.LOST}),
    InstanceState.STARTING: frozenset(
        {InstanceState.HELD, InstanceState.STOPPING, InstanceState.FAILED, InstanceState.LOST}
    ),
    InstanceState.HELD: frozenset(
        {InstanceState.SERVING, InstanceState.STOPPING, InstanceState.FAILED, InstanceState.LOST}
    ),
    InstanceState.SERVING: frozenset({InstanceState.DRAINING, InstanceState.FAILED, InstanceState.LOST}),
    InstanceState.DRAINING: frozenset({InstanceState.STOPPING, InstanceState.FAILED, InstanceState.LOST}),
    InstanceState.STOPPING: frozenset({InstanceState.STOPPED, InstanceState.FAILED, InstanceState.LOST}),
    InstanceState.STOPPED: frozenset(),
    InstanceState.FAILED: frozenset(),
    InstanceState.LOST: frozenset(),
}

ENDED = frozenset({InstanceState.STOPPED, InstanceState.FAILED, InstanceState.LOST})
LIVE = frozenset(InstanceState) - ENDED
"""States that hold resources on a host."""
LEAVING = frozenset({InstanceState.DRAINING, InstanceState.STOPPING})
WANTED = LIVE - LEAVING
"""States that count towards a service's target."""


def advance_instance(before: InstanceState, after: InstanceState) -> InstanceState:
    """Return `after` if the table allows the step."""
    return advance(TRANSITIONS, before, after)
