"""Spans for tests of costs."""

from dataclasses import replace
from datetime import UTC, datetime

from dcp.hosts.cost.model import NANO, Span, SpanState
from dcp.hosts.model import Billing

MIB = 1 << 20


def ms(text: str) -> int:
    """Return milliseconds since the epoch of an instant in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def span(begin: str | int = 0, end: str | int | None = None, **changes: object) -> Span:
    """Return a first span at a dollar an hour, by the second, with a minimum of a minute."""
    from_ms = ms(begin) if isinstance(begin, str) else begin
    until_ms = ms(end) if isinstance(end, str) else end
    made = Span(
        host_id="cloud-1",
        number=1,
        cluster="",
        source="cloud",
        billing=Billing.PER_SECOND,
        state=SpanState.RUNNING,
        price_nano_usd_per_hour=NANO,
        minimum_ms=60_000,
        anchor_ms=from_ms,
        from_ms=from_ms,
        until_ms=until_ms,
        first=True,
        cpu_millis=1000,
        memory_bytes=1000 * MIB,
    )
    return replace(made, **changes)  # type: ignore[arg-type]
