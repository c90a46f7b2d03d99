"""The life of an image on a host, and of a mirror."""

from enum import StrEnum

from dcp.kernel.states import advance


class HostImageState(StrEnum):
    """How far a host is with an image that an instance there needs."""

    WANTED = "wanted"  # needed; not asked for yet, or asked for by a controller that ended
    PULLING = "pulling"  # the host's engine was told to pull it, or is about to be
    PRESENT = "present"  # the engine has it
    FAILED = "failed"  # the last pull failed; tried again after its back-off
    EXCLUDED = "excluded"  # failed too often for a reason of this host: its instances go elsewhere


HOST_IMAGE: dict[HostImageState, frozenset[HostImageState]] = {
    HostImageState.WANTED: frozenset({HostImageState.PULLING, HostImageState.PRESENT}),
    HostImageState.PULLING: frozenset(
        {HostImageState.PRESENT, HostImageState.FAILED, HostImageState.EXCLUDED, HostImageState.WANTED}
    ),
    HostImageState.PRESENT: frozenset({HostImageState.WANTED}),
    HostImageState.FAILED: frozenset({HostImageState.PULLING, HostImageState.PRESENT, HostImageState.EXCLUDED}),
    HostImageState.EXCLUDED: frozenset({HostImageState.WANTED, HostImageState.PRESENT}),
}


class MirrorState(StrEnum):
    """Where a mirror is between being wanted and being gone. A failed one is replaced, not revived."""

    STARTING = "starting"  # its host's engine was told to start it, or is about to be; it does not answer yet
    READY = "ready"  # it answers: others take from it
    LOST = "lost"  # it, or its host, does not answer any more; those below it were given other parents
    LEAVING = "leaving"  # nobody needs it, or it never answered: it is being stopped
    GONE = "gone"  # stopped, or its host is gone


MIRROR: dict[MirrorState, frozenset[MirrorState]] = {
    MirrorState.STARTING: frozenset({MirrorState.READY, MirrorState.LEAVING, MirrorState.GONE}),
    MirrorState.READY: frozenset({MirrorState.LOST, MirrorState.LEAVING, MirrorState.GONE}),
    MirrorState.LOST: frozenset({MirrorState.READY, MirrorState.LEAVING, MirrorState.GONE}),
    MirrorState.LEAVING: frozenset({MirrorState.GONE}),
    MirrorState.GONE: frozenset(),
}


def advance_host_image(before: HostImageState, after: HostImageState) -> HostImageState:
    """Return `after` if the table allows the step."""
    return advance(HOST_IMAGE, before, after)


def advance_mirror(before: MirrorState, after: MirrorState) -> MirrorState:
    """Return `after` if the table allows the step."""
    return advance(MIRROR, before, after)
