"""Features of a service that may be switched off while it is too small, as the Compose file names them."""

from dataclasses import dataclass

LONGEST_S = 86400.0
MOST_FEATURES = 20


@dataclass(frozen=True, slots=True)
class Degrade:
    """Switched off one after the other while capacity does not come in time, and on again in the opposite order."""

    features: tuple[str, ...]
    """In the order in which they are switched off."""
    path: str
    """Every instance is told there, by `PUT` on its own port, what is off: `{"off": ["comments"]}`."""
    after_s: float = 60.0
    """So long too small before the first is switched off."""
    every_s: float = 60.0
    """Between two switches; and so long with room enough before one is switched on."""
