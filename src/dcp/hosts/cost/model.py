"""Spans of host time and amounts of money, both in whole numbers: milliseconds and nano-dollars.

Whole numbers, because sums of floats depend on their order: a ledger that is read by day must add up to the same by
year. Nano-dollars, because a second of a small host costs less than a millionth of a dollar, and 10,000 hosts at a
dollar an hour for ten years still fit into 64 bits.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from dcp.hosts.model import Billing

HOUR_MS = 3_600_000
NANO = 1_000_000_000
HOURS_A_MONTH = 730
"""A month costs as much as so many hours at the price per hour, whatever its length; a year twelve times that."""
BUCKET_S = 900
"""Costs are kept by the quarter of an hour: midnight of every time zone in use falls on one."""

LAST_S = 100_000_000_000.0
"""Some time in the year 5138."""
HIGHEST_USD = 1e6
"""An hour of a host is not dearer; what a source says beyond that is a mistake."""


class SpanState(StrEnum):
    """Whether the host runs, as far as its price is concerned."""

    RUNNING = "running"
    STOPPED = "stopped"  # switched off and kept


@dataclass(frozen=True, slots=True)
class Span:
    """Time of one host at one price for one cluster. Times are milliseconds since the epoch, ends are excluded."""

    host_id: str
    number: int
    """Counts the spans of the host from 1."""
    cluster: str
    source: str
    billing: Billing
    state: SpanState
    price_nano_usd_per_hour: int
    minimum_ms: int
    """Charged at least each time the host starts, where billing is by the second."""
    anchor_ms: int
    """Where hours, months and the minimum count from: when the host was asked for, or last switched on or off."""
    from_ms: int
    until_ms: int | None
    """None: it goes on."""
    first: bool
    """What is owed since `anchor_ms` falls due when the span begins: before, the host may not have existed."""
    cpu_millis: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Amount:
    """What some host time costs."""

    charged_nano_usd: int = 0
    """Owed by the contract, when it falls due: begun hours, months and years in full."""
    amortised_nano_usd: int = 0
    """In proportion to the time held."""
    host_ms: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.charged_nano_usd + other.charged_nano_usd,
            self.amortised_nano_usd + other.amortised_nano_usd,
            self.host_ms + other.host_ms,
        )

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(
            self.charged_nano_usd - other.charged_nano_usd,
            self.amortised_nano_usd - other.amortised_nano_usd,
            self.host_ms - other.host_ms,
        )

    def __bool__(self) -> bool:
        return bool(self.charged_nano_usd or self.amortised_nano_usd or self.host_ms)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What an amount is entered under."""

    at_s: int
    """Beginning of the quarter of an hour, seconds since the epoch."""
    cluster: str
    service: str
    """`application/name`; empty: no instance held that part of the host."""
    source: str
    billing: Billing
    state: SpanState


class Holding(NamedTuple):
    """What instances of one service hold of one host, all of that time."""

    host_id: str
    service: str
    from_ms: int
    until_ms: int
    cpu_millis: int
    memory_bytes: int


def to_ms(seconds: float) -> int:
    """Return whole milliseconds, within bounds that any ledger can hold."""
    return round(min(max(seconds, 0.0), LAST_S) * 1000)


def to_nano_usd(usd: float) -> int:
    """Return whole nano-dollars, within bounds that any ledger can hold."""
    return round(min(max(usd, 0.0), HIGHEST_USD) * NANO)


def to_usd(nano_usd: int) -> float:
    """Return dollars, for people: nothing is computed with them any more."""
    return nano_usd / NANO
