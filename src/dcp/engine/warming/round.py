"""A round of warming: from the first host that lacks an image to the last that has it; what it took and moved."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.images.warming.decide import UNDER_WAY
from dcp.images.warming.model import MB, REGISTRY, HostImage, WarmingDecision, Way
from dcp.images.warming.ports import MirrorReport
from dcp.images.warming.states import HostImageState
from dcp.kernel.events import Event, Number


@dataclass(slots=True)
class Round:
    """Follows one site."""

    subject: str
    began_at: float = 0.0
    way: Way = Way.DIRECT
    _hosts: set[str] = field(default_factory=set)
    _before: dict[str, int] = field(default_factory=dict)
    _estimate_s: float = 0.0

    def follow(
        self,
        now: float,
        decision: WarmingDecision,
        rows: Mapping[tuple[str, str], HostImage],
        reports: Mapping[str, MirrorReport],
        registries: frozenset[str],
    ) -> Event | None:
        """Return the event of a round that is over, else None."""
        lacking = {row.host_id for row in rows.values() if row.state in UNDER_WAY}
        if lacking and not self.began_at:
            self.began_at, self.way = now, decision.way
            self._hosts = set()
            self._before = line_bytes(reports, registries)
            self._estimate_s = decision.numbers.get("estimate_s", 0.0)
        self._hosts |= lacking
        if lacking or not self.began_at:
            return None
        return self._ended(now, rows, reports, registries)

    def _ended(
        self,
        now: float,
        rows: Mapping[tuple[str, str], HostImage],
        reports: Mapping[str, MirrorReport],
        registries: frozenset[str],
    ) -> Event:
        took_s, self_began = now - self.began_at, self.began_at
        self.began_at = 0.0
        through_mirrors = line_bytes(reports, registries)
        moved = sum(max(0, count - self._before.get(name, 0)) for name, count in through_mirrors.items())
        fresh = [r for r in rows.values() if r.state == HostImageState.PRESENT and r.since >= self_began]
        direct = sum(row.moved_bytes for row in fresh if row.source == REGISTRY)
        numbers: dict[str, Number] = {
            "took_s": round(took_s, 2),
            "hosts": len(self._hosts),
            "line_bytes": moved + direct,
            "host_bytes": sum(row.moved_bytes for row in fresh),
            "mirrors": len(reports),
            "estimate_s": self._estimate_s,
        }
        words = (
            f"{len(self._hosts)} hosts were warmed in {took_s:.1f} s by way of {self.way}; "
            f"{(moved + direct) / MB:,.1f} MB came from registries"
        )
        return Event(self.subject, "warmed", words, numbers=numbers)


def line_bytes(reports: Mapping[str, MirrorReport], registries: frozenset[str]) -> dict[str, int]:
    """Return the bytes that each mirror has received from registries, and not from other mirrors."""
    return {
        name: sum(count for url, count in report.from_upstream_bytes if url in registries)
        for name, report in reports.items()
    }
