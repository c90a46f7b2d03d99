"""The capacity plan: one value that covers targets, hosts, instances and gates of a whole application.

`dcp plan` prints it, the engine applies it, `dcp why` quotes it. It is made by `decide_application` and holds
everything that applying needs, so that a dry-run equals what is applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.hosts.cost.prices import PriceLine
from dcp.hosts.model import Host
from dcp.images.warming.model import PlannedWarming
from dcp.kernel.events import Number
from dcp.orchestration.scaling.borrowing import Claim, TakeOver
from dcp.orchestration.scaling.model import Policy, TargetDecision
from dcp.orchestration.scaling.rebind import Rebind
from dcp.orchestration.services.model import Instance
from dcp.scheduling.model import Unplaced


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """A host to ask for, and why from this source."""

    host: Host
    why: str


@dataclass(frozen=True, slots=True)
class PlannedInstance:
    """An instance to add, and why on this host."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Removal:
    """An instance that has to leave. `reason` is a code: `shrink`, `removed`, `replaced`, `moved`, `preempted`."""

    instance_id: str
    reason: str
    words: str
    place_for: str = ""
    """The service that gets its place; empty: nobody in particular."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that was not done although it is wanted: `reason` is a code (`no-room`, `crash-loop`, …).

    Without a service it is said of the whole plan.
    """

    service: str
    reason: str
    words: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApplicationPlan:
    """What changes now. Applied in one transaction or not at all."""

    id: str
    application: str
    at: float
    policy: Policy
    targets: tuple[TargetDecision, ...]
    hosts: tuple[PlannedHost, ...] = ()
    instances: tuple[PlannedInstance, ...] = ()
    removals: tuple[Removal, ...] = ()
    take_overs: tuple[TakeOver, ...] = ()
    """Empty hosts of other clusters that are the application's cluster's from now on."""
    claims: tuple[Claim, ...] = ()
    """Hosts that the application's cluster claims back from others."""
    rebinds: tuple[Rebind, ...] = ()
    """Instances that go from a host that is still coming to one that is ready."""
    holds: tuple[Hold, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    warming: tuple[PlannedWarming, ...] = ()
    """Images that must reach hosts before the instances start there."""
    price_change_usd_per_hour: float = 0.0
    """What the hosts asked for add to the bill."""
    prices: tuple[PriceLine, ...] = ()
    """What all hosts cost an hour before and after, by cluster and source; hosts that leave later still count."""
    ready_in_s: float = 0.0
    """Expected seconds until the slowest host of the plan runs."""

    @property
    def changes_anything(self) -> bool:
        """Return whether applying writes more than what scaling remembers."""
        return bool(self.hosts or self.take_overs or self.claims or self.instances or self.removals or self.rebinds)
