"""Warming of one site, decided by `decide_warming` and carried out by a fleet: real processes, or bytes in thought.

`warm_site` is the loop of the engine's worker without a store. The fluid fleet moves bytes in small steps; in each,
senders and receivers share their links fairly among their flows (progressive filling), and no mirror passes on what it
has not got. It knows neither processors nor disks nor the engine's unpacking.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcp.images.warming.decide import decide_warming
from dcp.images.warming.model import (
    REGISTRY,
    HostImage,
    Mirror,
    Pull,
    WarmHost,
    WarmImage,
    WarmingDecision,
    WarmingSettings,
    WarmingView,
    Way,
)
from dcp.images.warming.pulls import after_pull
from dcp.images.warming.states import HostImageState, MirrorState

LOOK_EVERY_S = 0.2
"""As often as the engine looks while something is under way."""
FILLING_ROUNDS = 4
FLOWS_FULL = 1e-3

Figures = NDArray[np.float64]
Places = NDArray[np.int64]


class Fleet(Protocol):
    """What a decision acts on."""

    def now(self) -> float:
        """Return seconds."""
        ...

    def start_mirror(self, mirror: Mirror) -> None: ...

    def set_route(self, mirror: Mirror) -> None: ...

    def warm(self, mirror_id: str, image: WarmImage) -> None: ...

    def pull(self, pull: Pull, image: WarmImage) -> None: ...

    def answering(self) -> frozenset[str]:
        """Return the mirrors that answer."""
        ...

    def finished(self) -> Mapping[str, float]:
        """Return the hosts whose pull has ended since the last question, and when."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass."""
        ...

    def line_bytes(self) -> int:
        """Return what the registry has sent."""
        ...


@dataclass(frozen=True, slots=True)
class WarmingRun:
    """How one image came to one site. Times in seconds after the order."""

    way: Way
    seconds: tuple[float, ...]
    """When each host had it, sorted."""
    first_pull_s: float
    line_bytes: int
    mirrors: int
    stripes: int

    def percentile(self, share: float) -> float:
        """Return when this share of the hosts had it."""
        return self.seconds[max(0, min(len(self.seconds) - 1, round(share * len(self.seconds)) - 1))]


@dataclass(slots=True)
class _Ledger:
    """The rows that the engine would keep."""

    mirrors: dict[str, Mirror] = field(default_factory=dict)
    rows: dict[tuple[str, str], HostImage] = field(default_factory=dict)
    warmed: set[tuple[str, str]] = field(default_factory=set)
    pulling: set[tuple[str, str]] = field(default_factory=set)

    def write(self, decision: WarmingDecision) -> None:
        for step in decision.mirrors:
            self.mirrors[step.mirror.id] = step.mirror
        for change in decision.rows:
            if change.row is not None:
                self.rows[change.row.key] = change.row
        self.warmed.update(decision.warm)
        self.pulling.update((pull.host_id, pull.image) for pull in decision.pulls)


def warm_site(
    fleet: Fleet,
    hosts: Iterable[WarmHost],
    image: WarmImage,
    settings: WarmingSettings,
    *,
    limit_s: float = 1e6,
    look_every_s: float = LOOK_EVERY_S,
) -> WarmingRun:
    """Bring `image` to every host; return how it went. Raises TimeoutError after `limit_s`."""
    targets = tuple(replace(host, needs=(image.reference,)) for host in hosts)
    ledger, times, way = _Ledger(), dict[str, float](), Way.DIRECT
    began_at, first_pull_at, routes = fleet.now(), 0.0, dict[str, object]()
    while len(times) < len(targets):
        decision = decide_warming(_view(fleet, ledger, targets, image, settings))
        way = decision.way if not times else way
        ledger.write(decision)
        for step in decision.mirrors:
            if step.before is None:
                fleet.start_mirror(step.mirror)
        for mirror in ledger.mirrors.values():
            if mirror.state == MirrorState.READY and routes.get(mirror.id) != mirror.stripes:
                fleet.set_route(mirror)
                routes[mirror.id] = mirror.stripes
        for mirror_id, _ in decision.warm:
            fleet.warm(mirror_id, image)
        for pull in decision.pulls:
            first_pull_at = first_pull_at or fleet.now()
            fleet.pull(pull, image)
        fleet.pass_time(look_every_s)
        for host_id, at in fleet.finished().items():
            key = host_id, image.reference
            ledger.pulling.discard(key)
            ledger.rows[key] = after_pull(ledger.rows[key], at, image.size_bytes)
            times[host_id] = at - began_at
        if fleet.now() - began_at > limit_s:
            raise TimeoutError(f"{len(times)} of {len(targets)} hosts after {limit_s:.0f} s")
    stripes = max((len(mirror.stripes.upward) for mirror in ledger.mirrors.values()), default=0)
    return WarmingRun(
        way=way,
        seconds=tuple(sorted(times.values())),
        first_pull_s=first_pull_at - began_at,
        line_bytes=fleet.line_bytes(),
        mirrors=len(ledger.mirrors),
        stripes=stripes,
    )


def _view(
    fleet: Fleet, ledger: _Ledger, hosts: tuple[WarmHost, ...], image: WarmImage, settings: WarmingSettings
) -> WarmingView:
    answering = fleet.answering()
    return WarmingView(
        now=fleet.now(),
        site="site",
        settings=settings,
        images={image.reference: image},
        hosts=hosts,
        mirrors=tuple(ledger.mirrors.values()),
        rows=tuple(ledger.rows.values()),
        answering=answering,
        silent=frozenset(),
        flowing=frozenset(ledger.warmed),
        warming=frozenset(ledger.warmed),
        present={},
        pulling=frozenset(key for key in ledger.pulling if ledger.rows[key].state == HostImageState.PULLING),
        last_mirror=len(ledger.mirrors),
    )


class FluidFleet:
    """Bytes that flow. Node 0 is the registry behind the line; the others are hosts."""

    def __init__(
        self, hosts: Iterable[WarmHost], settings: WarmingSettings, *, step_s: float = 0.0, slow: Iterable[str] = ()
    ) -> None:
        links = settings.links
        self._place = {host.id: number for number, host in enumerate(hosts, 1)}
        speeds = np.full(len(self._place) + 1, links.host_bytes_s)
        for name in slow:
            speeds[self._place[name]] /= 2
        self._up, self._down = speeds.copy(), speeds.copy()
        self._up[0], self._down[0] = links.line_bytes_s, 0.0
        self._step_s = step_s or links.hop_s
        self._start_s = settings.mirror_start_s
        self._now = 0.0
        self._ready_at: dict[str, float] = {}
        self._mirror_place: dict[str, int] = {}
        self._flows = _Flows()
        self._stores: dict[int, dict[int, int]] = {}
        """Of each node that is a mirror: stripe to the flow that fills it."""
        self._pulls: dict[str, list[int]] = {}
        self._own: dict[str, int] = {}
        self._routes: dict[str, Mirror] = {}
        self._finished: dict[str, float] = {}

    def now(self) -> float:
        return self._now

    def start_mirror(self, mirror: Mirror) -> None:
        self._ready_at[mirror.id] = self._now + self._start_s
        self._mirror_place[mirror.id] = self._place[mirror.host_id]

    def set_route(self, mirror: Mirror) -> None:
        self._routes[mirror.id] = mirror

    def answering(self) -> frozenset[str]:
        return frozenset(name for name, at in self._ready_at.items() if at <= self._now)

    def warm(self, mirror_id: str, image: WarmImage) -> None:
        self._fill(mirror_id, image.size_bytes)

    def pull(self, pull: Pull, image: WarmImage) -> None:
        place = self._place[pull.host_id]
        if pull.source == REGISTRY:
            self._pulls[pull.host_id] = [self._flows.add(0, place, float(image.size_bytes), None)]
            return
        stripes = self._fill(pull.source, image.size_bytes)
        source = self._mirror_place[pull.source]
        if source == place:
            self._pulls[pull.host_id] = list(stripes.values())
        else:
            flow = self._flows.add(source, place, float(image.size_bytes), tuple(stripes.values()))
            self._pulls[pull.host_id] = [flow]

    def _fill(self, mirror_id: str, size: int) -> dict[int, int]:
        """Return the flows that fill a mirror, one for each stripe; begun, with those above it, if they were not."""
        mirror = self._routes.get(mirror_id)
        count = max(1, len(mirror.stripes.upward)) if mirror else 1
        place = self._mirror_place[mirror_id]
        if place not in self._stores:
            self._stores[place] = {}
        for stripe in range(count):
            self._fill_stripe(mirror_id, stripe, count, size)
        return self._stores[place]

    def _fill_stripe(self, mirror_id: str, stripe: int, count: int, size: int) -> int:
        place = self._mirror_place[mirror_id]
        store = self._stores.setdefault(place, {})
        if stripe in store:
            return store[stripe]
        mirror = self._routes.get(mirror_id)
        upward = mirror.stripes.upward if mirror else ()
        parents = upward[stripe] if stripe < len(upward) else ()
        if parents:
            above = self._fill_stripe(parents[0], stripe, count, size)
            store[stripe] = self._flows.add(self._mirror_place[parents[0]], place, size / count, (above,))
        else:
            store[stripe] = self._flows.add(0, place, size / count, None)
        return store[stripe]

    def finished(self) -> Mapping[str, float]:
        found, self._finished = self._finished, {}
        return found

    def pass_time(self, seconds: float) -> None:
        until = self._now + seconds
        while self._now < until - 1e-9:
            step_s = min(self._step_s, until - self._now)
            self._flows.advance(step_s, self._up, self._down)
            self._now += step_s
            self._note_ends()

    def _note_ends(self) -> None:
        full = self._flows.full()
        for host_id, flows in list(self._pulls.items()):
            if all(full[flow] for flow in flows):
                self._finished[host_id] = self._now
                del self._pulls[host_id]

    def line_bytes(self) -> int:
        return round(self._flows.sent_from(0))


class _Flows:
    """All flows as columns. A flow never has more than the flows it is fed from (one step ago: that is the hop)."""

    def __init__(self) -> None:
        self._source: list[int] = []
        self._target: list[int] = []
        self._size: list[float] = []
        self._feeds: list[tuple[int, ...]] = []
        self._columns: tuple[Places, Places, Figures, Places] | None = None
        self._have: Figures = np.zeros(0)

    def add(self, source: int, target: int, size: float, feeds: tuple[int, ...] | None) -> int:
        """Begin a flow; `feeds`: flows whose bytes it passes on, None where everything is there."""
        self._source.append(source)
        self._target.append(target)
        self._size.append(size)
        self._feeds.append(feeds or ())
        self._columns = None
        return len(self._size) - 1

    def full(self) -> NDArray[np.bool_]:
        full: NDArray[np.bool_] = self._have >= np.array(self._size[: len(self._have)]) * (1 - 1e-9) - FLOWS_FULL
        return np.concatenate([full, np.zeros(len(self._size) - len(full), dtype=np.bool_)])

    def sent_from(self, source: int) -> float:
        return float(sum(have for have, one in zip(self._have, self._source, strict=False) if one == source))

    def advance(self, step_s: float, up: Figures, down: Figures) -> None:
        """Move bytes for one step."""
        if not self._size:
            return
        source, target, size, _ = self._prepared()
        can = np.minimum(self._there(size), size) - self._have
        moved = np.zeros_like(can)
        free_up, free_down = up * step_s, down * step_s
        for _ in range(FILLING_ROUNDS):
            active = can - moved > FLOWS_FULL
            if not active.any():
                break
            share_up = free_up / np.maximum(np.bincount(source[active], minlength=len(up)), 1)
            share_down = free_down / np.maximum(np.bincount(target[active], minlength=len(up)), 1)
            part = np.where(active, np.minimum(np.minimum(share_up[source], share_down[target]), can - moved), 0.0)
            moved += part
            free_up = np.maximum(free_up - np.bincount(source, part, minlength=len(up)), 0.0)
            free_down = np.maximum(free_down - np.bincount(target, part, minlength=len(up)), 0.0)
        self._have = self._have + moved

    def _prepared(self) -> tuple[Places, Places, Figures, Places]:
        if self._columns is None:
            fresh = len(self._size) - len(self._have)
            self._have = np.concatenate([self._have, np.zeros(fresh)])
            single = np.array([feeds[0] if len(feeds) == 1 else -1 for feeds in self._feeds], dtype=np.int64)
            self._columns = (
                np.array(self._source, dtype=np.int64),
                np.array(self._target, dtype=np.int64),
                np.array(self._size),
                single,
            )
        return self._columns

    def _there(self, size: Figures) -> Figures:
        """Return how much of each flow its feeds have. One fed by several stripes gets them in turn."""
        _, _, _, single = self._prepared()
        there = np.where(single >= 0, self._have[np.maximum(single, 0)], size)
        for flow, feeds in enumerate(self._feeds):
            if len(feeds) > 1:
                there[flow] = len(feeds) * min(self._have[feed] for feed in feeds)
        # A feed may be a stripe of the same size, or a whole image whose first part is what is wanted.
        return np.minimum(there, size)
