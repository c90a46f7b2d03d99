"""The worker of one site's images: what instances need there, through mirrors, before they start.

Load, decide, write, act. Pulls run beside the look, one at most for a host and image; what the look writes before a
pull begins (`pulling`) is what the next controller finds after a crash, and takes up again.
"""

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.warming.mirroring import Mirroring
from dcp.engine.warming.parts import Origins, WarmingParts, source_of
from dcp.engine.warming.pulling import pull_from_any
from dcp.engine.warming.round import Round
from dcp.hosts.model import Host
from dcp.hosts.states import HostState
from dcp.images.warming.decide import UNDER_WAY, decide_warming
from dcp.images.warming.model import (
    HostImage,
    HostImageStep,
    Mirror,
    MirrorStep,
    Pull,
    WarmHost,
    WarmImage,
    WarmingDecision,
    WarmingView,
)
from dcp.images.warming.pulls import after_failure, after_pull
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.kernel.errors import DriverError, LeaseLost, Rejected, Stale, Unreachable
from dcp.kernel.events import Event
from dcp.orchestration.services.decide import HOST_GONE
from dcp.orchestration.services.ports import ImageRuntime
from dcp.store import counters, events, hosts, instances, warming
from dcp.store.leases import Lease

SUBJECT = "site"
NO_SITE = "-"
LIST_EVERY_S = 60.0
"""A host's images are listed so often when nothing is under way there; people may remove some by hand."""
LISTED_AT_ONCE = 64
START_BACK_OFF_S = 2.0
STABLE_WORDS = ("image-missing", "wrong-digest", "denied", "disk-full", "registry-down")


@dataclass(frozen=True, slots=True)
class _Loaded:
    hosts: tuple[WarmHost, ...]
    images: dict[str, WarmImage]
    mirrors: tuple[Mirror, ...]
    rows: tuple[HostImage, ...]
    avoid: frozenset[str]
    last_mirror: int


class WarmingWorker:
    """Brings images to the hosts of one site."""

    def __init__(self, context: Context, parts: WarmingParts, name: str) -> None:
        self.subject = f"{SUBJECT}/{name}"
        self._context = context
        self._settings = parts.settings
        self._site = "" if name == NO_SITE else name
        self._origins = Origins(self._site, context.images, context.token_server)
        self._mirroring = Mirroring(context, parts, self._origins)
        self._round = Round(self.subject)
        self._pulls: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Task[bool]] = {}
        self._present: dict[str, frozenset[str]] = {}
        self._listed_at: dict[str, float] = {}

    async def step(self, lease: Lease) -> float:
        """Look, decide, write and act once; return seconds until the next look."""
        loaded = await self._context.database.read(self._load)
        await asyncio.gather(self._mirroring.ask(loaded.mirrors), self._list(loaded))
        decision = decide_warming(self._view(loaded))
        mirrors, rows = await self._write(lease, loaded, decision)
        await self._mirroring.tell_routes(mirrors)
        known = {mirror.id: mirror for mirror in mirrors}
        await asyncio.gather(*(self._mirroring.warm(known[mirror], image) for mirror, image in decision.warm))
        self._act_on_mirrors(lease, mirrors)
        for pull in decision.pulls:
            self._begin(lease, pull, rows[pull.host_id, pull.image], known)
        await self._report(lease, decision, rows)
        return self._next_look(mirrors, rows)

    async def close(self) -> None:
        """Cancel what is under way; whoever takes the lease next takes it up."""
        tasks = [*self._pulls.values(), *self._starts.values(), *self._stops.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _load(self, connection: Connection) -> _Loaded:
        mine = [h for h in hosts.current(connection) if h.site == self._site and h.state not in HOST_GONE]
        ids = [host.id for host in mine]
        needs = warming.needed(connection, ids)
        used: dict[str, int] = {}
        for instance in instances.live(connection):
            used[instance.host_id] = used.get(instance.host_id, 0) + instance.resources.cpu_millis
        rows = warming.rows_of(connection, ids)
        orphans = tuple(row for row in warming.all_rows(connection) if row.host_id not in set(ids))
        known = {host.id for host in hosts.current(connection)}
        lost = tuple(row for row in orphans if row.host_id not in known)
        images = {image for needed in needs.values() for image in needed}
        found = warming.sizes(connection, images)
        return _Loaded(
            hosts=tuple(_warm_host(host, needs.get(host.id, ()), used.get(host.id, 0)) for host in mine),
            images={image: self._warm_image(image, found) for image in images},
            mirrors=warming.mirrors_of(connection, self._site),
            rows=(*rows, *lost),
            avoid=warming.failed_since(
                connection, self._site, self._context.clock.now() - self._settings.mirror_linger_s
            ),
            last_mirror=counters.peek(connection, "mirror"),
        )

    def _warm_image(self, image: str, found: dict[str, WarmImage]) -> WarmImage:
        return replace(found.get(image, WarmImage(image, 0)), mirrored=self._origins.mirrored(image))

    def _view(self, loaded: _Loaded) -> WarmingView:
        flowing, ordered = self._mirroring.having(tuple(loaded.images))
        stopped = frozenset(name for name, task in self._stops.items() if task.done() and _result(task))
        return WarmingView(
            now=self._context.clock.now(),
            site=self._site,
            settings=self._settings,
            images=loaded.images,
            hosts=loaded.hosts,
            mirrors=loaded.mirrors,
            rows=loaded.rows,
            answering=self._mirroring.answering(),
            silent=self._mirroring.silent(),
            flowing=flowing,
            warming=ordered,
            present=self._present,
            pulling=frozenset(self._pulls),
            stopped=stopped,
            avoid=loaded.avoid,
            last_mirror=loaded.last_mirror,
        )

    async def _list(self, loaded: _Loaded) -> None:
        """Ask hosts what they have: those that a row or a need is open for, the others now and then."""
        now = self._context.clock.now()
        settled = {row.key for row in loaded.rows if row.state == HostImageState.PRESENT}
        limit = asyncio.Semaphore(LISTED_AT_ONCE)

        async def one(host: WarmHost) -> None:
            async with limit:
                await self._list_one(host.id)

        due = []
        for host in loaded.hosts:
            open_needs = [image for image in host.needs if (host.id, image) not in settled]
            old = now - self._listed_at.get(host.id, 0.0) > LIST_EVERY_S
            busy = any(key[0] == host.id for key in self._pulls)
            if host.ready and not busy and (old or (open_needs and host.id not in self._listed_at)):
                due.append(host)
        self._present = {host.id: self._present[host.id] for host in loaded.hosts if host.id in self._present}
        await asyncio.gather(*(one(host) for host in due))

    async def _list_one(self, host_id: str) -> None:
        runtime = self._context.runtimes.of(host_id)
        if not isinstance(runtime, ImageRuntime):
            return
        try:
            listed = await runtime.images()
        except DriverError as error:
            log.debug("images of a host cannot be listed", host=host_id, error=str(error))
            return
        self._listed_at[host_id] = self._context.clock.now()
        self._present[host_id] = frozenset(reference for image in listed for reference in image.references)

    async def _write(
        self, lease: Lease, loaded: _Loaded, decision: WarmingDecision
    ) -> tuple[tuple[Mirror, ...], dict[tuple[str, str], HostImage]]:
        mirrors = {mirror.id: mirror for mirror in loaded.mirrors}
        rows = {row.key: row for row in loaded.rows}
        if not decision.mirrors and not decision.rows:
            return loaded.mirrors, rows
        now = self._context.clock.now()
        new = sum(1 for step in decision.mirrors if step.before is None)

        def work(connection: Connection) -> None:
            counters.take(connection, "mirror", loaded.last_mirror, new)
            for step in decision.mirrors:
                mirrors[step.mirror.id] = warming.put_mirror(connection, step.before, step.mirror)
            for change in decision.rows:
                stored = warming.put(connection, change.before, change.row)
                if stored is not None:
                    rows[stored.key] = stored
                elif change.before is not None:
                    rows.pop(change.before.key, None)
            news = [*map(_mirror_event, decision.mirrors), *map(_row_event, decision.rows)]
            events.append(connection, now, news)

        await self._context.write_under(lease, work)
        if any(step.row is not None and step.row.state == HostImageState.PRESENT for step in decision.rows):
            self._context.wakes.wake_kind("service")
        return tuple(one for one in mirrors.values() if one.state != MirrorState.GONE), rows

    def _act_on_mirrors(self, lease: Lease, mirrors: tuple[Mirror, ...]) -> None:
        now = self._context.clock.now()
        known = {mirror.id for mirror in mirrors}
        self._stops = {name: task for name, task in self._stops.items() if name in known or not task.done()}
        for mirror in mirrors:
            starting = mirror.state == MirrorState.STARTING and mirror.id not in self._mirroring.reports
            if starting and mirror.id not in self._starts and now >= mirror.not_before:
                self._starts[mirror.id] = asyncio.create_task(self._start(lease, mirror))
            if mirror.state == MirrorState.LEAVING and (
                mirror.id not in self._stops or (self._stops[mirror.id].done() and not _result(self._stops[mirror.id]))
            ):
                self._stops[mirror.id] = asyncio.create_task(self._mirroring.stop(mirror))

    async def _start(self, lease: Lease, mirror: Mirror) -> None:
        try:
            await self._mirroring.start(mirror)
        except DriverError as error:
            log.warning("mirror cannot be started", mirror=mirror.id, error=str(error))
            await self._start_failed(lease, mirror, error)
        else:
            # Asking again is idempotent, but the engine has other things to do.
            await self._context.clock.sleep(START_BACK_OFF_S)
        finally:
            self._starts.pop(mirror.id, None)
            self._context.wakes.wake(self.subject)

    async def _start_failed(self, lease: Lease, mirror: Mirror, error: DriverError) -> None:
        later = self._context.clock.now() + START_BACK_OFF_S * 2.0**mirror.attempts
        after = replace(mirror, attempts=mirror.attempts + 1, not_before=later, reason=str(error)[:200])
        if isinstance(error, Unreachable):  # nothing is known: the host may just be cut off
            after = replace(after, attempts=mirror.attempts, not_before=self._context.clock.now() + START_BACK_OFF_S)
        try:
            await self._context.write_under(lease, lambda connection: warming.put_mirror(connection, mirror, after))
        except (Stale, LeaseLost) as gone:
            log.debug("not written", mirror=mirror.id, error=str(gone))

    def _begin(self, lease: Lease, pull: Pull, row: HostImage, mirrors: dict[str, Mirror]) -> None:
        key = row.key
        task = asyncio.create_task(self._pull(lease, row, source_of(pull.source, mirrors)))
        self._pulls[key] = task

    async def _pull(self, lease: Lease, row: HostImage, mirror: Mirror | None) -> None:
        began = self._context.clock.now()
        runtime = self._context.runtimes.of(row.host_id)
        try:
            if not isinstance(runtime, ImageRuntime):
                raise Rejected(f"the runtime of {row.host_id} has no images")
            moved = await pull_from_any(runtime, self._origins.pull_orders(row.image, row.host_id, mirror))
            after = after_pull(row, self._context.clock.now(), moved)
            took_s = self._context.clock.now() - began
            words = f"{row.image} from {row.source} in {took_s:.1f} s, {moved} bytes"
            numbers: dict[str, float] = {"took_s": round(took_s, 2), "bytes": moved}
            event = Event(f"host/{row.host_id}", "image-present", words, "pulling", str(after.state), numbers)
            self._present[row.host_id] = self._present.get(row.host_id, frozenset()) | {row.image}
        except DriverError as error:
            reason = reason_of(error)
            after = after_failure(row, reason, str(error)[:500], self._context.clock.now(), self._settings)
            words = f"{row.image} from {row.source}: {error}"
            event = Event(
                f"host/{row.host_id}", reason, words, "pulling", str(after.state), {"attempts": after.attempts}
            )
        try:
            await self._finish(lease, row, after, event)
        finally:
            self._pulls.pop(row.key, None)
            self._context.wakes.wake(self.subject)

    async def _finish(self, lease: Lease, row: HostImage, after: HostImage, event: Event) -> None:
        def work(connection: Connection) -> None:
            warming.put(connection, row, after)
            events.append(connection, after.since, [event])

        try:
            await self._context.write_under(lease, work)
        except (Stale, LeaseLost) as error:
            log.debug("not written", host=row.host_id, error=str(error))
            return
        self._context.wakes.wake_kind("service")
        if after.state == HostImageState.EXCLUDED:
            self._context.wakes.wake_kind("application")

    async def _report(self, lease: Lease, decision: WarmingDecision, rows: dict[tuple[str, str], HostImage]) -> None:
        """Say once a round is over what it took, and what crossed the line."""
        registries = frozenset(self._origins.registries())
        event = self._round.follow(self._context.clock.now(), decision, rows, self._mirroring.reports, registries)
        if event is not None:
            now = self._context.clock.now()
            await self._context.write_under(lease, lambda connection: events.append(connection, now, [event]))

    def _next_look(self, mirrors: tuple[Mirror, ...], rows: dict[tuple[str, str], HostImage]) -> float:
        settings = self._context.settings
        moving = any(one.state in (MirrorState.STARTING, MirrorState.LEAVING) for one in mirrors)
        if moving or any(row.state in UNDER_WAY for row in rows.values()):
            return settings.busy_poll_s
        return settings.poll_s


def reason_of(error: DriverError) -> str:
    """Return the stable word for a failed pull."""
    if isinstance(error, Unreachable):
        return "unreachable"
    return next((word for word in STABLE_WORDS if word in str(error)), "pull-failed")


def _result(task: asyncio.Task[bool]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result()


def _warm_host(host: Host, needs: tuple[str, ...], used_cpu_millis: int) -> WarmHost:
    return WarmHost(
        id=host.id,
        address=host.address,
        ready=host.state == HostState.READY,
        rack=dict(host.host_type.labels).get("rack", ""),
        free_cpu_millis=host.host_type.resources.cpu_millis - used_cpu_millis,
        needs=needs,
    )


def _mirror_event(step: MirrorStep) -> Event:
    before = str(step.before.state) if step.before else ""
    return Event(step.mirror.subject, step.reason, step.words, before, str(step.mirror.state))


def _row_event(step: HostImageStep) -> Event:
    row = step.row or step.before
    assert row is not None, "a step of nothing"
    before = str(step.before.state) if step.before else ""
    after = str(step.row.state) if step.row else ""
    return Event(f"host/{row.host_id}", f"image-{step.reason}", f"{row.image}: {step.words}", before, after)
