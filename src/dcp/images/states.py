"""The life of one site's copy of an image."""

from enum import StrEnum

from dcp.kernel.states import advance


class CopyState(StrEnum):
    """How far a site is with an image."""

    WANTED = "wanted"  # the site shall have it; nothing was done yet, or what it had is gone
    COPYING = "copying"  # bytes are on their way, or were when the controller ended
    PRESENT = "present"  # the site has all of it, and its tag names it as it should
    FAILED = "failed"  # the last attempt failed; tried again after its back-off
    REMOVING = "removing"  # nobody needs it; it is taken out of the registry, then the row goes


TRANSITIONS: dict[CopyState, frozenset[CopyState]] = {
    CopyState.WANTED: frozenset({CopyState.COPYING, CopyState.REMOVING}),
    CopyState.COPYING: frozenset({CopyState.PRESENT, CopyState.FAILED, CopyState.WANTED, CopyState.REMOVING}),
    CopyState.PRESENT: frozenset({CopyState.WANTED, CopyState.REMOVING}),
    CopyState.FAILED: frozenset({CopyState.COPYING, CopyState.WANTED, CopyState.REMOVING}),
    CopyState.REMOVING: frozenset({CopyState.WANTED}),
}


def advance_copy(before: CopyState, after: CopyState) -> CopyState:
    """Return `after` if the table allows the step."""
    return advance(TRANSITIONS, before, after)
