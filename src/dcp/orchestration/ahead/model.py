"""A planned surge: what somebody says will come, from when to when."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """What reaches one service from outside while the surge lasts: so many requests/s in all, or so much as needs
    `instances` at the safe level. One of the two is 0."""

    service: str
    requests_per_s: float = 0.0
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Foretold:
    """Requests/s in all that a forecast expects at one service within its time ahead. `reason`: a decision's code."""

    requests_per_s: float
    words: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedSurge:
    """From `lead_s` before it begins until it ends, the application is kept large enough for what is expected.

    It only raises targets. Those who plan several at once get the highest of each service.
    """

    id: str
    application: str
    expected: tuple[Expected, ...]
    begins_at: float
    ends_at: float
    lead_s: float
    asked: str
    """As it was asked for: `feed=6x`."""
    planned_at: float
    cancelled_at: float | None = None

    @property
    def ready_from(self) -> float:
        """When the application starts to grow for it."""
        return self.begins_at - self.lead_s

    def is_due(self, now: float) -> bool:
        """Return whether the application has to be large enough for it now."""
        return self.cancelled_at is None and self.ready_from <= now < self.ends_at
