"""What a service may be scaled by besides its water level: a figure that somebody else measures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signal:
    """A query whose answer is one number, and how much of it one instance carries."""

    name: str
    query: str
    """In the language of the metrics source: PromQL."""
    per_instance: float
