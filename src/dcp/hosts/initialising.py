"""Initialisation: which bare hosts are made ready now, in which batches, and when one that failed is tried again.

Pure. The ledger says which hosts are bare and run; the rows of initialisation say how far each is. A row that is
`running` and that this controller works on no more was left by one that ended: the role is idempotent, so it is run
again, and that try does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dcp.hosts.model import Host
from dcp.hosts.states import HostState
from dcp.hosts.view import InitLook
from dcp.kernel.states import advance

LOG_BYTES = 64 << 10
"""The last so much of a failed try's log is kept."""
BACK_OFF_LIMIT_S = 300.0


class InitialisationState(StrEnum):
    """How far the initialisation of a host is."""

    WANTED = "wanted"  # not begun, or to be tried again
    RUNNING = "running"  # a run is under way, or was when its controller ended
    DONE = "done"  # everything was applied
    FAILED = "failed"  # tried often enough; the host is given up


TRANSITIONS: dict[InitialisationState, frozenset[InitialisationState]] = {
    InitialisationState.WANTED: frozenset({InitialisationState.RUNNING}),
    InitialisationState.RUNNING: frozenset(
        {InitialisationState.DONE, InitialisationState.WANTED, InitialisationState.FAILED}
    ),
    InitialisationState.DONE: frozenset(),
    InitialisationState.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Initialisation:
    """One host's initialisation. `since`: when it entered its state."""

    host_id: str
    state: InitialisationState
    since: float
    phase: str = ""
    attempts: int = 0
    not_before: float = 0.0
    words: str = ""
    version: int = 0

    @property
    def look(self) -> InitLook:
        """What the worker of the host's source sees."""
        failed = self.state == InitialisationState.FAILED
        return InitLook(self.state == InitialisationState.DONE, self.words if failed else "", self.since)


@dataclass(frozen=True, slots=True)
class InitialiseLimits:
    """How much is under way at once, and how often a host is tried."""

    forks: int = 50
    """Most hosts that are worked on at any time, over all runs."""
    runs: int = 8
    """Most runs at any time: each costs a process of its own, so hosts that come one by one wait for each other."""
    attempts: int = 3
    back_off_s: float = 10.0
    """Before the second try; twice as long before each further one."""


@dataclass(frozen=True, slots=True)
class InitialiseView:
    """Everything `decide_initialising` looks at."""

    now: float
    hosts: tuple[Host, ...]
    """The ledger's hosts that are `initialising`, in order of request."""
    rows: Mapping[str, Initialisation]
    under_way: frozenset[str]
    """Hosts that this controller works on."""
    runs: int
    limits: InitialiseLimits


@dataclass(frozen=True, slots=True)
class InitialiseDecision:
    """Rows to add, rows to change from and to, and hosts of the next run."""

    add: tuple[Initialisation, ...]
    change: tuple[tuple[Initialisation, Initialisation], ...]
    run: tuple[Host, ...]


def decide_initialising(view: InitialiseView) -> InitialiseDecision:
    """Return what is written, and what is run as one batch then."""
    bare = {host.id: host for host in view.hosts}
    add = tuple(
        Initialisation(host_id, InitialisationState.WANTED, view.now) for host_id in bare if host_id not in view.rows
    )
    due = [row for host_id in bare if (row := view.rows.get(host_id)) is not None and _is_due(row, view)]
    room = view.limits.forks - len(view.under_way) if view.runs < view.limits.runs else 0
    begun = due[: max(0, room)]
    change = [(row, begin(row, view.now)) for row in begun]
    change += [
        (row, replace(row, state=_to(row, InitialisationState.WANTED), attempts=max(0, row.attempts - 1)))
        for row in view.rows.values()
        if row.state == InitialisationState.RUNNING and row.host_id not in view.under_way
    ]
    return InitialiseDecision(add, tuple(change), tuple(bare[row.host_id] for row in begun))


def begin(row: Initialisation, now: float) -> Initialisation:
    """Return the row once a run has it."""
    state = _to(row, InitialisationState.RUNNING)
    return replace(row, state=state, since=now, attempts=row.attempts + 1, phase="", words="")


def succeed(row: Initialisation, now: float) -> Initialisation:
    """Return the row once everything was applied."""
    return replace(row, state=_to(row, InitialisationState.DONE), since=now, words="")


def fail(row: Initialisation, words: str, limits: InitialiseLimits, now: float) -> Initialisation:
    """Return the row after a try that failed: tried again later, or given up for good."""
    if row.attempts >= limits.attempts:
        said = f"{words}; given up after {row.attempts} tries"
        return replace(row, state=_to(row, InitialisationState.FAILED), since=now, words=said)
    wait_s = min(BACK_OFF_LIMIT_S, limits.back_off_s * 2 ** (row.attempts - 1))
    state = _to(row, InitialisationState.WANTED)
    return replace(row, state=state, since=now, words=words, not_before=now + wait_s)


def is_bare(host: Host) -> bool:
    """Return whether a host runs and waits for its initialisation."""
    return host.state == HostState.INITIALISING


def _is_due(row: Initialisation, view: InitialiseView) -> bool:
    return row.state == InitialisationState.WANTED and view.now >= row.not_before


def _to(row: Initialisation, after: InitialisationState) -> InitialisationState:
    return advance(TRANSITIONS, row.state, after)
