"""What a Compose file says of brakes, as frozen values."""

import math
from dataclasses import dataclass

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Brakes:
    """Bounds on how fast and how far scaling moves one service. None, 0: that brake is not there.

    They hold what scaling wants, never what a person applies or places, and none of them ever lowers a target.
    """

    growth: float | None = None
    """At most so many times its lowest target of the last `growth_within_s`; always one instance more."""
    growth_within_s: float = 60.0
    blast_radius: float | None = None
    """Share of its instances that leave or are replaced at the same time; always one."""
    confirm_above: int | None = None
    """A target above it needs a person (`dcp confirm`)."""
    grow_cooldown_s: float = 0.0
    """No growth so soon after the last one."""
    shrink_cooldown_s: float = 0.0
    """Nothing is given back so soon after the last change of the target, up or down."""
    watchdog: bool = True
    """Growth without effect and going to and fro are held."""

    def at_once(self, instances: int) -> int | None:
        """Return how many of so many instances may be changed at the same time; None: any number."""
        if self.blast_radius is None:
            return None
        return max(1, math.floor(self.blast_radius * instances + ROUNDING))
