"""Where instances of a service may stand and where they would rather stand, beside Compose's own constraints.

Rules must hold, so a change of them replaces what runs. Wishes say how the scheduler chooses among hosts that may be
chosen, and what comes first; they count for what is placed from then on.
"""

from dataclasses import dataclass, fields, replace

from dcp.scheduling.model import (
    AT_RANDOM,
    CHEAPEST_FIRST,
    DEFAULT,
    EMPTIEST_FIRST,
    FULLEST_FIRST,
    Neighbour,
    SpreadOver,
    Weights,
)

STRATEGIES = {
    "spread": DEFAULT,
    "emptiest": EMPTIEST_FIRST,
    "fullest": FULLEST_FIRST,
    "cheapest": CHEAPEST_FIRST,
    "random": AT_RANDOM,
}
"""Weights by the name that a Compose file uses."""
PARTS = tuple(field.name for field in fields(Weights))
LEANINGS = ("cpu", "io")
MOST_PRIORITY = 1000


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """What must hold of a host. Services are named `name` in the same application, `application/name` in another."""

    sites: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    dedicated: str = ""
    heavy: str = ""
    leans: str = ""
    empty_only: bool = False
    beside: tuple[Neighbour, ...] = ()
    apart: tuple[Neighbour, ...] = ()
    spread: tuple[SpreadOver, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacementWishes:
    """How hosts are chosen among those that may be, and who goes first."""

    strategy: str = "spread"
    weights: tuple[tuple[str, float], ...] = ()
    """Parts of the score that weigh something else than the strategy says."""
    priority: int = 0
    """Higher is placed first, and may take the place of lower ones when there is no room."""
    group: str = ""
    """Services of one group are placed all or not at all, as far as one plan goes."""

    def weighed(self) -> Weights:
        """Return the weight of each part."""
        return replace(STRATEGIES[self.strategy], **dict(self.weights))
