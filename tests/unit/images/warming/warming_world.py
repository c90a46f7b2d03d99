"""A site in thought: what `decide_warming` says is done to it, at the speed that a test chooses."""

from dataclasses import dataclass, field, replace

from dcp.images.warming.decide import decide_warming
from dcp.images.warming.model import (
    HostImage,
    Mirror,
    WarmHost,
    WarmImage,
    WarmingDecision,
    WarmingSettings,
    WarmingView,
)
from dcp.images.warming.pulls import after_failure, after_pull
from dcp.images.warming.states import HostImageState, MirrorState, advance_host_image, advance_mirror

GB = 1_000_000_000
IMAGE = "registry.example/shop/feed@sha256:" + "a" * 64
SETTINGS = WarmingSettings(mirror_image="dcp-mirror")


def hosts(count: int, *, racks: int = 4, needs: tuple[str, ...] = (IMAGE,)) -> tuple[WarmHost, ...]:
    return tuple(
        WarmHost(
            f"host-{number}", f"10.0.{number // 250}.{number % 250 + 1}", True, f"rack-{number % racks}", 4000, needs
        )
        for number in range(1, count + 1)
    )


@dataclass
class Site:
    """Rows, and what is true of the mirrors and hosts behind them."""

    hosts: tuple[WarmHost, ...]
    settings: WarmingSettings = SETTINGS
    images: dict[str, WarmImage] = field(default_factory=lambda: {IMAGE: WarmImage(IMAGE, GB)})
    now: float = 1000.0
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    rows: dict[tuple[str, str], HostImage] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    flowing: set[tuple[str, str]] = field(default_factory=set)
    present: dict[str, set[str]] = field(default_factory=dict)
    pulling: dict[tuple[str, str], str] = field(default_factory=dict)
    gone: list[Mirror] = field(default_factory=list)
    last: int = 0

    def view(self) -> WarmingView:
        return WarmingView(
            now=self.now,
            site="dc1",
            settings=self.settings,
            images=self.images,
            hosts=self.hosts,
            mirrors=tuple(self.mirrors.values()),
            rows=tuple(self.rows.values()),
            answering=frozenset(self.answering),
            silent=frozenset(self.silent),
            flowing=frozenset(self.flowing),
            warming=frozenset(self.flowing),
            present={host.id: frozenset(self.present.get(host.id, ())) for host in self.hosts},
            pulling=frozenset(self.pulling),
            stopped=frozenset(m.id for m in self.mirrors.values() if m.state == MirrorState.LEAVING),
            last_mirror=self.last,
        )

    def step(self, seconds: float = 1.0) -> WarmingDecision:
        """Decide once and write it, checking every transition."""
        self.now += seconds
        decision = decide_warming(self.view())
        for step in decision.mirrors:
            if step.before is None:
                self.last += 1
                assert step.mirror.state == MirrorState.STARTING
            elif step.before.state != step.mirror.state:
                advance_mirror(step.before.state, step.mirror.state)
            self.mirrors[step.mirror.id] = step.mirror
            if step.mirror.state == MirrorState.GONE:
                self.gone.append(self.mirrors.pop(step.mirror.id))
        for change in decision.rows:
            if change.row is None:
                assert change.before is not None
                self.rows.pop(change.before.key)
                continue
            if change.before is not None and change.before.state != change.row.state:
                advance_host_image(change.before.state, change.row.state)
            self.rows[change.row.key] = change.row
        self.flowing |= set(decision.warm)
        for pull in decision.pulls:
            assert self.rows[pull.host_id, pull.image].state == HostImageState.PULLING
            self.pulling[pull.host_id, pull.image] = pull.source
        return decision

    def all_answer(self) -> None:
        self.answering = set(self.mirrors)

    def finish_pulls(self) -> None:
        for key in list(self.pulling):
            del self.pulling[key]
            advance_host_image(self.rows[key].state, HostImageState.PRESENT)
            self.rows[key] = after_pull(self.rows[key], self.now, GB)
            self.present.setdefault(key[0], set()).add(key[1])

    def fail_pull(self, host_id: str, reason: str) -> None:
        key = host_id, IMAGE
        del self.pulling[key]
        after = after_failure(self.rows[key], reason, "words", self.now, self.settings)
        advance_host_image(self.rows[key].state, after.state)
        self.rows[key] = after

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows.values():
            found[str(row.state)] = found.get(str(row.state), 0) + 1
        return found

    def lose_host(self, host_id: str) -> None:
        self.hosts = tuple(host for host in self.hosts if host.id != host_id)

    def need(self, host_id: str, *needs: str) -> None:
        self.hosts = tuple(replace(host, needs=needs) if host.id == host_id else host for host in self.hosts)
