"""Entries that clients of discovery see, as values."""

from dataclasses import dataclass

from dcp.orchestration.services.model import ServiceKey


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance as clients see it. What is listed may be sent requests."""

    instance_id: str
    address: str
    port: int
    site: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """All entries of one service, and what the rule needs to remember."""

    service: ServiceKey
    entries: tuple[Entry, ...] = ()
    index: int = 0
    """Rises with every change of anything published; the index that Consul's clients wait on."""
    last_cut_at: float = 0.0
    """Seconds since the epoch; 0: never."""
    allow_all: bool = False
    """A person said that the next step may cut as much as it likes."""
    zombies: int = 0
    """Entries that were found without a living instance, ever."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast entries may be taken away."""

    cut_share: float = 0.2
    """Of the entries that a service has, at most this share is cut in one step (at least one entry)."""
    step_s: float = 10.0
    """Seconds between two steps."""
    linger_s: float = 5.0
    """An instance answers for this long after its entry is gone: clients learn of that a moment later."""


@dataclass(frozen=True, slots=True)
class PublishedChange:
    """What becomes of a service's entries now, and what has to wait."""

    entries: tuple[Entry, ...]
    added: tuple[Entry, ...]
    cut: tuple[Entry, ...]
    zombies: tuple[Entry, ...]
    """Those of `cut` that no living instance stood behind."""
    waiting: int
    """Entries that have to go and may not yet."""


def name_of(service: ServiceKey) -> str:
    """Return the name clients ask for: `application.service`. Neither part has a dot, so it is never ambiguous."""
    return f"{service.application}.{service.name}"
