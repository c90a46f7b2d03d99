"""The life of a host."""

from enum import StrEnum

from dcp.kernel.states import advance


class HostState(StrEnum):
    """Where a host is between being asked for and being given back."""

    REQUESTED = "requested"  # planned and in the ledger; the source has not been asked yet
    CREATING = "creating"  # the source was asked, or is about to be: it may or may not exist
    BOOTING = "booting"  # the source shows it; it does not run yet
    READY = "ready"  # instances may start here
    UNREACHABLE = "unreachable"  # its engine does not answer: what runs there may run on, nothing new starts
    DRAINING = "draining"  # takes no new instance; leaves when its last instance is gone
    RELEASING = "releasing"  # the source was asked to take it back
    RELEASED = "released"  # the source no longer shows it
    LOST = "lost"  # it vanished while we used it
    FAILED = "failed"  # it never became ready


TRANSITIONS: dict[HostState, frozenset[HostState]] = {
    HostState.REQUESTED: frozenset({HostState.CREATING, HostState.RELEASED}),
    HostState.CREATING: frozenset({HostState.BOOTING, HostState.READY, HostState.RELEASING, HostState.FAILED}),
    HostState.BOOTING: frozenset({HostState.READY, HostState.RELEASING, HostState.FAILED, HostState.LOST}),
    HostState.READY: frozenset({HostState.UNREACHABLE, HostState.DRAINING, HostState.LOST}),
    HostState.UNREACHABLE: frozenset({HostState.READY, HostState.LOST}),
    HostState.DRAINING: frozenset({HostState.READY, HostState.UNREACHABLE, HostState.RELEASING, HostState.LOST}),
    HostState.RELEASING: frozenset({HostState.RELEASED}),
    HostState.RELEASED: frozenset(),
    HostState.LOST: frozenset({HostState.RELEASING}),
    HostState.FAILED: frozenset({HostState.RELEASING}),
}

ENDED = frozenset({HostState.RELEASED})
COMING = frozenset({HostState.REQUESTED, HostState.CREATING, HostState.BOOTING})
USABLE = COMING | {HostState.READY}
"""States in which instances may be placed; on a coming host they wait."""


def advance_host(before: HostState, after: HostState) -> HostState:
    """Return `after` if the table allows the step."""
    return advance(TRANSITIONS, before, after)
