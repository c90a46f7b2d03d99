"""Takes collected images out of the registries: one site after the other, followers first, slowly.

A row that is to be removed says so in the ledger before anything is deleted, and goes after; so a crash repeats a
deletion at most, and a push in between turns the row round.
"""

import asyncio
from collections.abc import Iterable

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.images.sites import ImageSites
from dcp.images.model import SiteRole
from dcp.images.replication.decide import back_off_s
from dcp.images.replication.model import ImageCopy
from dcp.images.states import CopyState
from dcp.kernel.errors import DcpError, LeaseLost
from dcp.kernel.events import Event, Number
from dcp.store import events, image_content, images
from dcp.store.leases import Lease


class Remover:
    """Deletions of one worker, under its lease; one pass at a time."""

    def __init__(self, context: Context, sites: ImageSites) -> None:
        self._context = context
        self._sites = sites
        self._task: asyncio.Task[None] | None = None

    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """Return what is under way."""
        return () if self._task is None else (self._task,)

    def begin(self, lease: Lease, copies: Iterable[ImageCopy], away: frozenset[str]) -> bool:
        """Go on with removing unless it is under way; return whether there is anything to do."""
        if self._task is not None and not self._task.done():
            return True
        now = self._context.clock.now()
        due = [
            copy
            for copy in copies
            if copy.state == CopyState.REMOVING and copy.site not in away and now >= copy.not_before
        ]
        due.sort(key=lambda copy: (copy.repository, copy.digest, self._is_master(copy.site), copy.site, copy.tag))
        self._task = asyncio.create_task(self._pass(lease, due), name="remove images") if due else None
        return self._task is not None

    def _is_master(self, name: str) -> bool:
        site = self._sites.site(name)
        return site is not None and site.role == SiteRole.MASTER

    async def _pass(self, lease: Lease, due: list[ImageCopy]) -> None:
        pause_s = 1.0 / self._sites.limits.deletes_per_s
        for copy in due:
            try:
                if await self._remove(lease, copy):
                    await self._context.clock.sleep(pause_s)
            except LeaseLost:
                return
            except DcpError as error:
                await self._rest(lease, copy, error)

    async def _remove(self, lease: Lease, copy: ImageCopy) -> bool:
        """Delete one copy; return whether the registry was asked."""
        needed = await self._context.write_under(lease, lambda connection: self._needed(connection, copy))
        if needed is None:
            return False
        if not needed:
            await self._sites.registries[copy.site].delete_manifest(copy.repository, copy.digest)
        await self._context.write_under(lease, lambda connection: self._gone(connection, copy, asked=not needed))
        return not needed

    def _needed(self, connection: Connection, copy: ImageCopy) -> bool | None:
        """Return whether another tag needs the same content there; None if this row is not to be removed any more."""
        row = images.find_copy(connection, copy.key)
        if row is None or row.state != CopyState.REMOVING:
            return None
        return any(
            other.digest == copy.digest and other.site == copy.site and other.state != CopyState.REMOVING
            for other in images.copies(connection, copy.repository)
        )

    def _gone(self, connection: Connection, copy: ImageCopy, *, asked: bool) -> None:
        row = images.find_copy(connection, copy.key)
        if row is None or row.state != CopyState.REMOVING:
            return
        images.drop_copy(connection, row)
        left = images.copies(connection, copy.repository, copy.tag)
        head = images.head(connection, copy.repository, copy.tag) if copy.tag else None
        if head is not None and not any(other.digest == head.digest for other in left):
            images.drop_head(connection, head)
        if not images.has_digest(connection, copy.digest):
            image_content.forget_manifests(connection, [copy.digest])
        if asked:
            words = f"taken out of {copy.site}: {row.reason}"
            numbers: dict[str, Number] = {"site": copy.site, "digest": copy.digest, "size_bytes": row.size_bytes}
            event = Event(copy.subject, "collected", words, before=copy.digest, numbers=numbers)
            events.append(connection, self._context.clock.now(), [event])

    async def _rest(self, lease: Lease, copy: ImageCopy, error: DcpError) -> None:
        log.warning("image cannot be removed", image=copy.subject, site=copy.site, error=str(error))
        now = self._context.clock.now()

        def work(connection: Connection) -> None:
            row = images.find_copy(connection, copy.key)
            if row is not None and row.state == CopyState.REMOVING:
                images.put_back_off(connection, row, row.attempts + 1, now + back_off_s(row.attempts + 1))

        try:
            await self._context.write_under(lease, work)
        except DcpError as again:
            log.warning("failed removal is not written down", image=copy.subject, error=str(again))
