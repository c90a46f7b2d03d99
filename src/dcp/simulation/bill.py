"""Whether the ledger of costs says what the cloud's own machines cost.

Recomputed apart from the ledger's own way: by hosts instead of spans, in fractions of dollars instead of sums of
entries, from when the cloud really showed each machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from sqlalchemy import Connection

from dcp.engine.cost.report import cost_report
from dcp.hosts.cost.model import HOUR_MS, NANO
from dcp.hosts.cost.period import read_question
from dcp.hosts.model import Host, SourceHost, SourceKind
from dcp.hosts.states import HostState
from dcp.store import hosts, spans

OPEN_OF_RELEASED = (
    "SELECT s.host_id FROM host_spans s JOIN hosts h ON h.id = s.host_id"
    " WHERE s.until_ms IS NULL AND h.state IN ('requested', 'creating', 'released')"
)


@dataclass(slots=True)
class Shown:
    """When the cloud first and last showed each machine, seconds since the epoch."""

    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def note(self, listed: tuple[SourceHost, ...], now: float) -> None:
        """Remember one listing."""
        for one in listed:
            self.first.setdefault(one.host_id, now)
            self.last[one.host_id] = now


def fault_of_bill(connection: Connection, shown: Shown, made: Mapping[str, int], now: float) -> str:
    """Return what is wrong with the ledger of costs; empty: nothing."""
    if left := connection.exec_driver_sql(OPEN_OF_RELEASED).scalars().all():
        return f"{left[0]} is not held and costs on"
    if not spans.accrued_until(connection):
        return "nothing was ever entered"
    ledger = {host.id: host for host in hosts.every(connection)}
    charged: dict[str, bool] = {}
    for span in spans.within(connection, 0, round(now * 1000) + 1):
        charged[span.host_id] = True
        first, last = shown.first.get(span.host_id), shown.last.get(span.host_id)
        if first is not None and span.anchor_ms > first * 1000:
            return f"{span.host_id} costs from later than the cloud shows it"
        if last is not None and span.until_ms is not None and span.until_ms < last * 1000:
            return f"{span.host_id} costs no more while the cloud shows it"
    if free := [host_id for host_id in made if host_id in ledger and host_id not in charged]:
        return f"{free[0]} was made and cost nothing"
    return _difference(connection, [ledger[host_id] for host_id in sorted(charged)], now)


def _difference(connection: Connection, charged: list[Host], now: float) -> str:
    owed = sum((_owed_usd(host, now) for host in charged), Fraction(0))
    total = cost_report(connection, read_question(by="service"), now).total
    error = Fraction(total.charged_nano_usd, NANO) - owed
    # Each host's end is cut to a millisecond and a nano-dollar.
    if abs(error) > Fraction(len(charged) * (1 + NANO // HOUR_MS), NANO):
        return f"the ledger charges {float(error):+.9f} USD beside {float(owed):.9f}"
    return ""


def _owed_usd(host: Host, now: float) -> Fraction:
    assert host.billed_from is not None, f"{host.id} costs and was never asked for"
    until = host.billed_until if host.state == HostState.RELEASED else now
    assert until is not None, f"{host.id} was given back and not noted when"
    held = Fraction(until) - Fraction(host.billed_from)
    if host.kind is SourceKind.CLOUD:
        held = max(held, Fraction(host.host_type.minimum_s))
    return held * Fraction(host.host_type.price_usd_per_hour) / 3600
