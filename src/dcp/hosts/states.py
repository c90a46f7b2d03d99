"""The life of a host."""

from enum import StrEnum

from dcp.kernel.states import advance


class HostState(StrEnum):
    """Where a host is between being asked for and being given back."""

    REQUESTED = "requested"  # planned and in the ledger; the source has not been asked yet
    CREATING = "creating"  # the source was asked, or is about to be: it may or may not exist
    BOOTING = "booting"  # the source shows it; it does not run yet
    INITIALISING = "initialising"  # it runs, and is made ready for containers
    READY = "ready"  # instances may start here
    UNREACHABLE = "unreachable"  # its engine does not answer: what runs there may run on, nothing new starts
    CORDONED = "cordoned"  # takes no new instance; with a time to leave by, what is there moves elsewhere first
    DRAINING = "draining"  # takes no new instance; leaves when its last instance is gone
    STOPPING = "stopping"  # an empty host is being switched off, to be kept for less
    STOPPED = "stopped"  # switched off and kept: ready again sooner than a new one
    STARTING = "starting"  # being switched on again
    RELEASING = "releasing"  # the source was asked to take it back
    RELEASED = "released"  # the source no longer shows it
    LOST = "lost"  # it vanished while we used it
    FAILED = "failed"  # it never became ready


TRANSITIONS: dict[HostState, frozenset[HostState]] = {
    HostState.REQUESTED: frozenset({HostState.CREATING, HostState.FAILED, HostState.RELEASED}),
    HostState.CREATING: frozenset(
        {
            HostState.REQUESTED,
            HostState.BOOTING,
            HostState.INITIALISING,
            HostState.READY,
            HostState.RELEASING,
            HostState.FAILED,
        }
    ),
    HostState.BOOTING: frozenset(
        {HostState.INITIALISING, HostState.READY, HostState.RELEASING, HostState.FAILED, HostState.LOST}
    ),
    HostState.INITIALISING: frozenset({HostState.READY, HostState.RELEASING, HostState.FAILED, HostState.LOST}),
    HostState.READY: frozenset(
        {HostState.UNREACHABLE, HostState.CORDONED, HostState.DRAINING, HostState.STOPPING, HostState.LOST}
    ),
    HostState.CORDONED: frozenset({HostState.READY, HostState.DRAINING, HostState.LOST}),
    HostState.UNREACHABLE: frozenset({HostState.READY, HostState.LOST}),
    HostState.DRAINING: frozenset({HostState.READY, HostState.UNREACHABLE, HostState.RELEASING, HostState.LOST}),
    HostState.STOPPING: frozenset({HostState.STOPPED, HostState.RELEASING, HostState.LOST}),
    HostState.STOPPED: frozenset({HostState.STARTING, HostState.RELEASING, HostState.LOST}),
    HostState.STARTING: frozenset({HostState.READY, HostState.RELEASING, HostState.FAILED, HostState.LOST}),
    HostState.RELEASING: frozenset({HostState.RELEASED}),
    HostState.RELEASED: frozenset(),
    HostState.LOST: frozenset({HostState.RELEASING}),
    HostState.FAILED: frozenset({HostState.RELEASING}),
}

ENDED = frozenset({HostState.RELEASED})
COMING = frozenset(
    {HostState.REQUESTED, HostState.CREATING, HostState.BOOTING, HostState.INITIALISING, HostState.STARTING}
)
USABLE = COMING | {HostState.READY}
"""States in which instances may be placed; on a coming host they wait."""
TAKEN_BACK = frozenset({HostState.DRAINING, HostState.STOPPED})
"""States in which an instance may be placed too, before another host is bought: the host becomes ready again."""


def advance_host(before: HostState, after: HostState) -> HostState:
    """Return `after` if the table allows the step."""
    return advance(TRANSITIONS, before, after)
