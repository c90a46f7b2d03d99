"""What the fake cloud has and allows, and what goes wrong with it now."""

from dataclasses import dataclass, field

from dcp.hosts.model import Variant


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a host type, with what it has there; None: no bound."""

    type_name: str
    variant: Variant
    stock: int | None = None


@dataclass(frozen=True, slots=True)
class CloudLimits:
    """What this cloud allows and how long it takes."""

    stock: tuple[tuple[str, int], ...] = ()
    """(type name, machines at once) over all places; a type that is not named has no bound."""
    places: tuple[Place, ...] = ()
    """Where types can be had; a type that is not named can be had in one place without a name."""
    max_hosts: int | None = None
    """Quota over all types."""
    max_creates: int | None = None
    """Machines that may be younger than `window_s` at once; more are throttled until the oldest is not."""
    window_s: float = 60.0
    boot_spread: float = 0.0
    """Boot takes `HostType.boot_s` times a factor drawn evenly from 1 - spread to 1 + spread."""
    boot_tail_share: float = 0.0
    """This share of all machines boots in a time drawn evenly from `boot_tail_s` instead."""
    boot_tail_s: tuple[float, float] = (600.0, 2700.0)
    never_initialised_share: float = 0.0
    """This share of all machines boots and can never be initialised; see `FakeCloud.hopeless`."""
    delete_s: float = 0.0
    """A deleted machine is shown, and counts, for this long."""
    stop_s: float = 0.0
    start_s: float = 0.0
    knows_ids: bool = True
    """Whether it makes no second machine of an id that has one. Some clouds know a call by its token alone."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Every call takes this long, drawn evenly between the two, before it has its effect."""


@dataclass(slots=True)
class CloudFaults:
    """What goes wrong now; a test or a simulation changes it at any time."""

    sold_out: set[str] = field(default_factory=set)
    """Types that are offered but not given."""
    sold_out_places: set[tuple[str, str]] = field(default_factory=set)
    """(type, variant) that are offered but not given."""
    created_but_timed_out: int = 0
    """So many of the next calls that make something raise although it was made."""
    lost_calls: int = 0
    """So many of the next calls of `create` raise and make nothing."""
    hide_new_s: float = 0.0
    """A listing omits machines younger than this."""
    show_deleted_s: float = 0.0
    """A listing shows machines for this long after they are gone."""
    ignored_deletes: int = 0
    """Of each machine, so many deletions are accepted and never carried out."""
    never_boots: bool = False
    """Machines created from now on stay pending."""
    throttles_as_stock_out: bool = False
    """It says that it has none left where it is asked too often."""
    region_gone: bool = False
    """No call is answered."""
    omit: set[str] = field(default_factory=set)
    """Machines that a listing leaves out, although they run."""
