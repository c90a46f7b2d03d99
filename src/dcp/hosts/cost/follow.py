"""How the spans of a host follow its state.

A host costs from when its source was asked for it until the source no longer shows it. While it is only asked for,
nothing is entered yet: the source may refuse. What is owed since then falls due once the source shows it, or once we
give up on it without a refusal, because then it may exist.
"""

from dataclasses import dataclass, replace

from dcp.hosts.cost.contracts import TERM_MONTHS
from dcp.hosts.cost.model import Span, SpanState, to_ms, to_nano_usd
from dcp.hosts.model import Billing, Host, SourceKind
from dcp.hosts.refusals import RefusalKind
from dcp.hosts.states import HostState
from dcp.kernel.errors import Rejected

_NOTHING = frozenset({HostState.REQUESTED, HostState.CREATING, HostState.RELEASED})
_AS_BEFORE = frozenset({HostState.LOST, HostState.FAILED, HostState.RELEASING})
REFUSED = {str(kind) for kind in RefusalKind if kind is not RefusalKind.TRANSIENT} | {Rejected.code}
"""Reasons of hosts that their source did not make."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides a host's price, for whom."""

    state: SpanState
    cluster: str
    source: str
    billing: Billing
    price_nano_usd_per_hour: int
    minimum_ms: int
    cpu_millis: int
    memory_bytes: int


def needs_look(before: Host | None, after: Host) -> bool:
    """Return whether the change may open or close a span; most do not, and cost nothing then."""
    if before is None:
        return after.state not in _NOTHING
    if before.state == after.state:
        return after.state not in _NOTHING and _terms(before) != _terms(after)
    return before.state in _NOTHING or after.state in _NOTHING or _terms(before) != _terms(after)


def follow(
    span: Span | None, before: Host | None, after: Host, at_ms: int, number: int
) -> tuple[Span | None, Span | None]:
    """Return the span that ends and the one that begins; `span` is the one that goes on, `number` the next number."""
    if not _costs(span, before, after):
        return (replace(span, until_ms=max(at_ms, span.from_ms)) if span else None), None
    terms = _terms(after, span)
    if span is None:
        anchor = min(at_ms, to_ms(after.requested_at if after.billed_from is None else after.billed_from))
        return None, _open(terms, after.id, number, anchor, at_ms, first=True)
    if _terms_of(span) == terms:
        return None, None
    at_ms = max(at_ms, span.from_ms)
    goes_on = span.billing == terms.billing and (span.state == terms.state or span.billing in TERM_MONTHS)
    anchor = span.anchor_ms if goes_on else at_ms
    return replace(span, until_ms=at_ms), _open(terms, after.id, number, anchor, at_ms, first=not goes_on)


def _costs(span: Span | None, before: Host | None, after: Host) -> bool:
    if after.state in _NOTHING:
        return False
    if after.state not in _AS_BEFORE or span is not None:
        return True
    return before is not None and before.state == HostState.CREATING and after.reason not in REFUSED


def _open(terms: Terms, host_id: str, number: int, anchor_ms: int, from_ms: int, *, first: bool) -> Span:
    return Span(
        host_id=host_id,
        number=number,
        cluster=terms.cluster,
        source=terms.source,
        billing=terms.billing,
        state=terms.state,
        price_nano_usd_per_hour=terms.price_nano_usd_per_hour,
        minimum_ms=terms.minimum_ms,
        anchor_ms=anchor_ms,
        from_ms=from_ms,
        until_ms=None,
        first=first,
        cpu_millis=terms.cpu_millis,
        memory_bytes=terms.memory_bytes,
    )


def _terms(host: Host, span: Span | None = None) -> Terms:
    stopped = host.state == HostState.STOPPED or (
        host.state in _AS_BEFORE and span is not None and span.state is SpanState.STOPPED
    )
    kind = host.host_type
    by_hour = kind.price_usd_per_hour
    if stopped and kind.billing not in TERM_MONTHS:
        by_hour = kind.price_stopped_usd_per_hour
    return Terms(
        state=SpanState.STOPPED if stopped else SpanState.RUNNING,
        cluster=host.cluster,
        source=host.source,
        billing=kind.billing,
        price_nano_usd_per_hour=to_nano_usd(by_hour),
        minimum_ms=0 if host.kind is SourceKind.PRIVATE else to_ms(kind.minimum_s),
        cpu_millis=kind.resources.cpu_millis,
        memory_bytes=kind.resources.memory_bytes,
    )


def _terms_of(span: Span) -> Terms:
    return Terms(
        state=span.state,
        cluster=span.cluster,
        source=span.source,
        billing=span.billing,
        price_nano_usd_per_hour=span.price_nano_usd_per_hour,
        minimum_ms=span.minimum_ms,
        cpu_millis=span.cpu_millis,
        memory_bytes=span.memory_bytes,
    )
