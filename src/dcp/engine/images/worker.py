"""The worker of images: takes up pushes, copies between sites, compares the sites with the ledger, removes what is
collected. One for the whole platform; copies run beside its look, and end with its lease.
"""

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.images.comparison import look
from dcp.engine.images.copier import Copier, Progress
from dcp.engine.images.remover import Remover
from dcp.engine.images.sites import ImageSites
from dcp.images.replication.decide import (
    CopyOrder,
    ReplicationView,
    acknowledged,
    back_off_s,
    decide_comparison,
    decide_copies,
    decide_push,
)
from dcp.images.replication.model import CopyKey, ImageCopy, Push, Seen, TagHead
from dcp.images.states import CopyState
from dcp.kernel.errors import DcpError, LeaseLost, Rejected, Unreachable
from dcp.kernel.events import Event, Number
from dcp.store import events, images
from dcp.store.leases import Lease

SUBJECT = "images"
PUSHES_AT_ONCE = 200
LACKING_AT_ONCE = 500
"""Copies of each site that are looked at in one step, the newest pushes first; many more than can be under way."""
PROBE_S = 2.0
"""A site that did not answer is asked again this often."""


@dataclass(slots=True)
class _Away:
    """A site that does not answer, and when it is asked again."""

    ask_at: float
    since: float


class ImagesWorker:
    """Keeps every site's registry as it should be."""

    def __init__(self, context: Context, sites: ImageSites) -> None:
        self.subject = SUBJECT
        self._context = context
        self._sites = sites
        self._copier = Copier(context, sites)
        self._remover = Remover(context, sites)
        self._running: dict[CopyKey, asyncio.Task[None]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._look_at: dict[str, float] = {site.name: 0.0 for site in sites.sites}
        self._away: dict[str, _Away] = {}
        self._tidied = False

    async def step(self, lease: Lease) -> float:
        """Take up pushes, begin what is due; return seconds until the next look."""
        if not self._tidied:
            names = [site.name for site in self._sites.sites]
            await self._context.write_under(lease, lambda connection: images.drop_sites(connection, names))
            self._tidied = True
        heard = await self._hear(lease)
        await self._probe()
        view = await self._context.database.read(self._view)
        for order in decide_copies(view):
            await self._begin(lease, order)
        self._compare(lease)
        removing = self._remover.begin(lease, view.lacking, view.away)
        busy = bool(heard or self._running or self._looking or removing)
        return self._context.settings.busy_poll_s if busy else self._context.settings.poll_s

    async def close(self) -> None:
        """End what is under way; the next worker goes on with it."""
        tasks = [*self._running.values(), *self._looking.values(), *self._remover.tasks()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Pushes.

    async def _hear(self, lease: Lease) -> bool:
        now = self._context.clock.now()

        def work(connection: Connection) -> bool:
            new, last = images.unheard_pushes(connection, PUSHES_AT_ONCE, self._sites.accounts)
            for push in new:
                if self._sites.site(push.site) is not None:
                    _take_up(connection, push, self._sites, now)
            images.heard(connection, last)
            return bool(new)

        waiting = await self._context.database.read(images.anything_unheard)
        return waiting and await self._context.write_under(lease, work)

    # Copies.

    def _view(self, connection: Connection) -> ReplicationView:
        now = self._context.clock.now()
        lacking = images.lacking(connection, now, self._awake(), LACKING_AT_ONCE)
        contents = {(copy.repository, copy.digest) for copy in lacking}
        return ReplicationView(
            now=now,
            sites=self._sites.sites,
            lacking=lacking,
            holders=images.holders(connection, contents) if contents else {},
            origins=images.origins(connection, contents) if contents else {},
            running=frozenset(self._running),
            away=frozenset(self._away),
            parallel=self._sites.limits.parallel_copies,
        )

    def _awake(self) -> list[str]:
        return [site.name for site in self._sites.sites if site.name not in self._away]

    async def _begin(self, lease: Lease, order: CopyOrder) -> None:
        before = order.copy
        if before.state != CopyState.COPYING:
            now = self._context.clock.now()
            since = before.since if before.state == CopyState.WANTED else min(before.since, now)
            after = replace(before, state=CopyState.COPYING, since=since)
            copy = await self._context.write_under(lease, lambda connection: images.put_copy(connection, before, after))
            order = replace(order, copy=copy)
        task = asyncio.create_task(self._copy(lease, order), name=f"copy {order.copy.subject} to {order.copy.site}")
        self._running[order.copy.key] = task

    async def _copy(self, lease: Lease, order: CopyOrder) -> None:
        began = self._context.clock.now()
        try:
            progress = await self._copier.bring(lease, order)
            took_s = self._context.clock.now() - began
            await self._context.write_under(
                lease, lambda connection: self._arrived(connection, order, progress, took_s)
            )
        except LeaseLost:
            return
        except DcpError as error:
            await self._failed(lease, order, error)
        except Exception as error:
            log.error("copy failed", image=order.copy.subject, site=order.copy.site, exc_info=True)
            self._context.unexpected.append(error)
            await self._failed(lease, order, DcpError(f"{type(error).__name__}: {error}"))
        finally:
            self._running.pop(order.copy.key, None)
            self._context.wakes.wake(SUBJECT)

    def _arrived(self, connection: Connection, order: CopyOrder, progress: Progress, took_s: float) -> None:
        now = self._context.clock.now()
        row = images.find_copy(connection, order.copy.key)
        if row is None or row.state != CopyState.COPYING:
            return
        head = images.head(connection, row.repository, row.tag) if row.tag else None
        if row.pushed_at != order.copy.pushed_at:  # pushed again meanwhile: its tag is looked at once more
            images.put_copy(connection, row, replace(row, state=CopyState.WANTED, reason="pushed-again"))
            return
        reason = "copied" if progress.sites else "there"
        sent_bytes = row.moved_bytes - order.copy.moved_bytes
        after = replace(row, state=CopyState.PRESENT, since=now, reason=reason, attempts=0, not_before=0.0)
        images.put_copy(connection, row, replace(after, there_bytes=row.size_bytes))
        if progress.sites:
            events.append(connection, now, [_copied(row, progress, took_s, sent_bytes)])
        self._acknowledge(connection, row, head, now)

    def _acknowledge(self, connection: Connection, row: ImageCopy, head: TagHead | None, now: float) -> None:
        if head is None or head.digest != row.digest or head.acknowledged_at is not None:
            return
        copies = [copy for copy in images.copies(connection, row.repository, row.tag) if copy.digest == row.digest]
        if acknowledged(copies, self._sites.sites):
            images.put_head(connection, replace(head, acknowledged_at=now))
            took_s = round(now - head.pushed_at, 3)
            words = f"every master has it, {took_s:.1f} s after its push"
            numbers: dict[str, Number] = {"took_s": took_s, "size_bytes": row.size_bytes, "digest": row.digest}
            events.append(connection, now, [Event(row.subject, "acknowledged", words, numbers=numbers)])

    async def _failed(self, lease: Lease, order: CopyOrder, error: DcpError) -> None:
        now = self._context.clock.now()

        def work(connection: Connection) -> None:
            row = images.find_copy(connection, order.copy.key)
            if row is None or row.state != CopyState.COPYING:
                return
            attempts = row.attempts + 1
            rest_s = back_off_s(attempts)
            failed = replace(row, state=CopyState.FAILED, reason=_short(error), attempts=attempts)
            images.put_copy(connection, row, replace(failed, not_before=now + rest_s))
            if attempts == 1 or isinstance(error, Rejected):
                words = f"cannot be copied to {row.site}: {error}"
                numbers: dict[str, Number] = {"site": row.site, "digest": row.digest, "attempts": attempts}
                events.append(connection, now, [Event(row.subject, "copy-failed", words, numbers=numbers)])

        try:
            await self._context.write_under(lease, work)
        except DcpError as again:
            log.warning("failed copy is not written down", image=order.copy.subject, error=str(again))
        if isinstance(error, Unreachable):
            await self._ask_around((order.copy.site, *order.sources))

    # Sites that do not answer.

    async def _ask_around(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._away and not await self._answers(name):
                now = self._context.clock.now()
                self._away[name] = _Away(ask_at=now + PROBE_S, since=now)
                log.warning("site does not answer", site=name)

    async def _probe(self) -> None:
        now = self._context.clock.now()
        for name, away in list(self._away.items()):
            if now < away.ask_at:
                continue
            if await self._answers(name):
                del self._away[name]
                self._look_at[name] = 0.0  # it may have lost what it had
                log.info("site answers again", site=name, away_s=round(now - away.since, 1))
            else:
                away.ask_at = self._context.clock.now() + PROBE_S

    async def _answers(self, name: str) -> bool:
        try:
            async with asyncio.timeout(5.0):
                await self._sites.registries[name].resolve("dcp", "probe")
        except (Unreachable, TimeoutError):
            return False
        except DcpError:
            return True
        return True

    # Comparisons.

    def _compare(self, lease: Lease) -> None:
        now = self._context.clock.now()
        for site in self._sites.sites:
            if site.name in self._away or site.name in self._looking or now < self._look_at[site.name]:
                continue
            self._look_at[site.name] = now + self._sites.limits.compare_s
            self._looking[site.name] = asyncio.create_task(self._look(lease, site.name), name=f"look at {site.name}")

    async def _look(self, lease: Lease, site: str) -> None:
        now = self._context.clock.now()
        try:
            copies = await self._context.database.read(images.copies)
            expected = {
                (copy.repository, copy.digest)
                for copy in copies
                if copy.site == site and copy.state == CopyState.PRESENT
            }
            seen = await look(self._sites.registries[site], site, now, expected)
            await self._context.write_under(lease, lambda connection: self._found(connection, seen))
        except LeaseLost:
            return
        except DcpError as error:
            log.warning("site cannot be compared", site=site, error=str(error))
            self._look_at[site] = self._context.clock.now() + min(30.0, self._sites.limits.compare_s)
            if isinstance(error, Unreachable):
                await self._ask_around((site,))
        except Exception as error:
            log.error("comparison failed", site=site, exc_info=True)
            self._context.unexpected.append(error)
        finally:
            self._looking.pop(site, None)
            self._context.wakes.wake(SUBJECT)

    def _found(self, connection: Connection, seen: Seen) -> None:
        now = self._context.clock.now()
        copies = images.copies(connection)
        known = {copy.key: copy for copy in copies}
        found = decide_comparison(seen, images.heads(connection), copies, self._sites.sites, now)
        for push in found.pushes:
            images.record_push(connection, push)
        for copy in found.copies:
            images.put_copy(connection, known.get(copy.key), copy)
        events.append(connection, now, found.events)


def _take_up(connection: Connection, push: Push, sites: ImageSites, now: float) -> None:
    head = images.head(connection, push.repository, push.tag) if push.tag else None
    known = images.copies(connection, push.repository, push.tag)
    decision = decide_push(push, head, known, sites.sites, now)
    if decision.head is not None and decision.head != head:
        images.put_head(connection, decision.head)
    by_key = {copy.key: copy for copy in known}
    for copy in decision.copies:
        images.put_copy(connection, by_key.get(copy.key), copy)
    events.append(connection, now, decision.events)


def _copied(row: ImageCopy, progress: Progress, took_s: float, sent_bytes: int) -> Event:
    origin = " and ".join(sorted(progress.sites))
    words = f"copied from {origin} to {row.site} in {took_s:.1f} s"
    numbers: dict[str, Number] = {
        "site": row.site,
        "bytes": sent_bytes,
        "took_s": round(took_s, 3),
        "digest": row.digest,
    }
    return Event(row.subject, "copied", words, after=row.digest, numbers=numbers)


def _short(error: DcpError) -> str:
    return f"{error.code}: {error.message}"[:500]
