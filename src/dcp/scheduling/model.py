"""Questions to the scheduler and its answers, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.hosts.model import Resources, SourceKind


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host as the scheduler sees it: what it has, what is taken, who is there."""

    host_id: str
    total: Resources
    used: Resources
    kind: SourceKind
    ready: bool
    """False for a host that is still coming: instances placed there wait."""
    price_usd_per_hour: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)
    """Instances per service key (`application/name`) that hold resources there."""
    images: frozenset[str] = frozenset()
    """Images that are there already."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Place `count` identical instances of one service (`application/name`)."""

    service: str
    count: int
    resources: Resources
    constraints: tuple[str, ...] = ()
    """`node.labels.KEY==VALUE` or `!=`, `node.id==ID`, `node.source==private|cloud`; all must hold."""
    max_per_host: int | None = None
    image: str = ""
    """The image that an instance waits for where it is not there yet; empty: it waits for none."""
    not_on: frozenset[str] = frozenset()
    """Hosts that are left out, because an instance of the service could not be started there lately."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One instance of `service` goes to `host_id`; `score` and its parts say why."""

    service: str
    host_id: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Refusal:
    """`hosts` candidates were refused for `reason` (a code such as `memory`, `cpu`, `constraint`, `max-per-host`)."""

    reason: str
    hosts: int


@dataclass(frozen=True, slots=True)
class Unplaced:
    """`count` instances of `service` fit nowhere; `refusals` is ordered by hosts, most first."""

    service: str
    count: int
    refusals: tuple[Refusal, ...]
    words: str
    """One sentence with the counts and the smallest change that would let one more fit."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer to a tuple of asks: in the order of the asks."""

    assignments: tuple[Assignment, ...]
    unplaced: tuple[Unplaced, ...]
