"""Questions to the scheduler and its answers, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dcp.hosts.model import Resources, SourceKind

HOST = "host"
"""The innermost domain: one host."""
FAILURE_DOMAINS = ("site", "zone", "rack")
"""Labels of domains that lie within each other, the outermost first: zones `a` of two sites are two zones."""


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that a host has through an instance: a heavy kind, a port in use, a leaning, or somebody's dislike."""

    kind: str
    name: str
    within: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host as the scheduler sees it: what it has, what is taken, who is there.

    Labels that filters know: `site`, `zone`, `rack`, `hardware` (its class) and `dedicated` (what it is kept for).
    """

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
    traits: Mapping["Trait", int] = field(default_factory=dict)
    """What instances that are there mean to those that come later, and how many of them bring it."""
    schedulable: bool = True
    """False: what is there stays, and nothing new comes."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another service, in the same host or domain."""

    service: str
    within: str = HOST
    """`host`, or the label of a domain."""
    preferred: bool = False
    """A matter of score, not of may or may not."""


@dataclass(frozen=True, slots=True)
class SpreadOver:
    """Instances of a service spread evenly over the domains that a label names."""

    label: str
    max_skew: int | None = None
    """At most so many more in one domain than in the one with the fewest, a full one too; None: as even as can be."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of a score is worth at most; 0 leaves it out. See `scores` for what the parts are."""

    ready: float = 1000.0
    private: float = 200.0
    scarce: float = 100.0
    spread: float = 99.0
    image: float = 20.0
    beside: float = 15.0
    pairing: float = 10.0
    full: float = 1.0
    """Negative: the emptiest host first."""
    balance: float = 1.0
    price: float = 0.0


DEFAULT = Weights()
EMPTIEST_FIRST = replace(DEFAULT, spread=49.0, full=-50.0)
"""Least used first, among equally used ones those with few of the service."""
FULLEST_FIRST = replace(DEFAULT, spread=0.0, beside=5.0, pairing=5.0, image=5.0, full=6.0, balance=60.0)
CHEAPEST_FIRST = replace(DEFAULT, private=0.0, price=500.0, scarce=20.0, spread=4.0, image=1.0, beside=2.0, pairing=1.0)
AT_RANDOM = Weights(scarce=0.0, spread=0.0, image=0.0, beside=0.0, pairing=0.0, full=0.0)
"""Among hosts that are equally ready and private only the seed decides."""


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
    sites: frozenset[str] = frozenset()
    """Only hosts of these sites; empty: any."""
    hardware: frozenset[str] = frozenset()
    """Only hosts of these hardware classes; empty: any."""
    dedicated: str = ""
    """Only hosts that are kept for this; empty: only hosts that are kept for nothing."""
    host_ports: frozenset[int] = frozenset()
    """Ports of its host that an instance takes for itself."""
    heavy: str = ""
    """The kind of heavy work it does: no host gets two instances of the same kind, whatever their services."""
    leans: str = ""
    """`cpu` or `io`: what it uses most; it goes beside what leans the other way."""
    empty_only: bool = False
    """Only hosts on which nothing stands."""
    beside: tuple[Neighbour, ...] = ()
    """Only (or rather) where an instance of each stands already; never the service itself."""
    apart: tuple[Neighbour, ...] = ()
    """Never (or rather not) where an instance of one stands; the service itself: one for each host or domain.
    It holds both ways: what is kept apart does not come later either."""
    spread: tuple[SpreadOver, ...] = ()
    """Domains over which instances are spread, the outermost first, before they are spread over hosts."""
    weights: Weights = DEFAULT
    priority: int = 0
    """Higher is placed first."""
    group: str = ""
    """Asks of one group are placed all or not at all; empty: each for itself, as many as fit."""


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The host that would have come next."""

    host_id: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One instance of `service` goes to `host_id`; `score` and its parts say why, beside those of the runner-up."""

    service: str
    host_id: str
    score: float
    parts: Mapping[str, float]
    runner_up: RunnerUp | None = None
    """None: no other host would have taken it, or its domain came before any score."""
    domain: str = ""
    """The domains that came first, such as `zone a, rack r1`; empty: the score alone decided."""


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
