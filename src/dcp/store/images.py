"""Pushes, what tags mean, and which site has which image."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, true, update

from dcp.images.access.model import PUSH, ImagePush
from dcp.images.replication.model import COPIER, ImageCopy, Push, TagHead
from dcp.images.states import CopyState, advance_copy
from dcp.kernel.errors import Stale
from dcp.store import counters, pushes
from dcp.store.pushes import LoggedPush
from dcp.store.tables import image_copies, image_pushes, image_tags

_copy, _tag, _push = image_copies.c, image_tags.c, image_pushes.c
_THIS_COPY = (
    _copy.repository == bindparam("old_repository"),
    _copy.tag == bindparam("old_tag"),
    _copy.digest == bindparam("old_digest"),
    _copy.site == bindparam("old_site"),
    _copy.version == bindparam("old_version"),
)
_IN_ORDER = (_copy.repository, _copy.tag, _copy.pushed_at, _copy.digest, _copy.site)
_NOT_PRESENT = [str(state) for state in CopyState if state != CopyState.PRESENT]
_TOO_MANY = 10_000
"""More values in one statement are refused by the databases; then all rows are read and sorted out here."""
HEARD = "image-pushes"
"""Counter: the last row of what registries told that replication took up."""
FOUND = "comparison "
"""Pushes that a comparison found have ids that begin so."""


def among(column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a column is one of `values`, or no condition if they are too many for a statement."""
    return column.in_(sorted(values)) if len(values) <= _TOO_MANY else true()


def record_push(connection: Connection, push: Push) -> None:
    """Keep a push that a comparison found. Replication takes it up when its worker looks."""
    name = f"{FOUND}{push.repository}:{push.tag}@{push.digest} {push.pushed_at:.6f}"
    told = ImagePush(name, push.site, push.repository, PUSH, push.pushed_at, push.tag, push.digest, push.pushed_by)
    pushes.add(connection, [told])


def unheard_pushes(connection: Connection, limit: int, own: frozenset[str]) -> tuple[tuple[Push, ...], int]:
    """Return the pushes among the next rows that replication has not taken up, and the number of the last row.

    `own`: accounts that dcp copies with; registries tell of its copies too, and they are no pushes.
    """
    last = counters.peek(connection, HEARD)
    rows = pushes.after(connection, last, limit)
    return tuple(_read_push(row) for row in rows if _counts(row, own)), rows[-1].seq if rows else last


def anything_unheard(connection: Connection) -> bool:
    """Return whether registries told anything that replication has not looked at."""
    return bool(pushes.after(connection, counters.peek(connection, HEARD), 1))


def heard(connection: Connection, seq: int) -> None:
    """Note that every row up to `seq` was taken up."""
    last = counters.peek(connection, HEARD)
    counters.take(connection, HEARD, last, seq - last)


def pushes_of(
    connection: Connection, repository: str, limit: int, own: frozenset[str] = frozenset()
) -> tuple[Push, ...]:
    """Return the last pushes of a repository, newest first."""
    rows = pushes.newest(connection, limit, repository)
    return tuple(_read_push(row) for row in reversed(rows) if _counts(row, own))


def origins(connection: Connection, contents: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the site that each (repository, digest) was last pushed to."""
    wanted = set(contents)
    digests = sorted({digest for _, digest in wanted})
    query = (
        select(_push.repository, _push.digest, _push.site)
        .where(_push.digest.in_(digests), _push.action == PUSH)
        .order_by(_push.seq)
    )
    found = {(row.repository, row.digest): row.site for row in connection.execute(query)}
    return {content: site for content, site in found.items() if content in wanted}


def head(connection: Connection, repository: str, tag: str) -> TagHead | None:
    """Return what a tag means."""
    query = select(image_tags).where(_tag.repository == repository, _tag.tag == tag)
    row = connection.execute(query).first()
    return _read_head(row) if row else None


def heads(connection: Connection, repository: str = "") -> tuple[TagHead, ...]:
    """Return what every tag means, or every tag of one repository."""
    query = select(image_tags).order_by(_tag.repository, _tag.tag)
    if repository:
        query = query.where(_tag.repository == repository)
    return tuple(_read_head(row) for row in connection.execute(query))


def put_head(connection: Connection, after: TagHead) -> None:
    """Write what a tag means; `version` is the one it was read with, 0 for a new tag. Raises Stale."""
    values = {
        "digest": after.digest,
        "site": after.site,
        "pushed_at": after.pushed_at,
        "pushed_by": after.pushed_by,
        "acknowledged_at": after.acknowledged_at,
        "version": after.version + 1,
    }
    if after.version == 0:
        connection.execute(insert(image_tags).values(repository=after.repository, tag=after.tag, **values))
        return
    same = (_tag.repository == after.repository, _tag.tag == after.tag, _tag.version == after.version)
    if connection.execute(update(image_tags).where(*same).values(**values)).rowcount != 1:
        raise Stale(f"tag {after.repository}:{after.tag} was moved by somebody else meanwhile")


def drop_head(connection: Connection, gone: TagHead) -> None:
    """Forget a tag that nobody has any more."""
    connection.execute(delete(image_tags).where(_tag.repository == gone.repository, _tag.tag == gone.tag))


def copies(connection: Connection, repository: str | None = None, tag: str | None = None) -> tuple[ImageCopy, ...]:
    """Return every site's copies, or those of one repository, or of one tag of it."""
    query = select(image_copies).order_by(*_IN_ORDER)
    if repository is not None:
        query = query.where(_copy.repository == repository)
    if tag is not None:
        query = query.where(_copy.tag == tag)
    return tuple(_read_copy(row) for row in connection.execute(query))


def lacking(connection: Connection, now: float, sites: Iterable[str], limit: int) -> tuple[ImageCopy, ...]:
    """Return the newest `limit` copies of each site that are not present and whose rest is over."""
    found: list[ImageCopy] = []
    for site in sites:
        query = (
            select(image_copies)
            .where(_copy.state.in_(_NOT_PRESENT), _copy.not_before <= now, _copy.site == site)
            .order_by(_copy.pushed_at.desc(), *_IN_ORDER)
            .limit(limit)
        )
        found += (_read_copy(row) for row in connection.execute(query))
    return tuple(found)


def find_copy(connection: Connection, key: tuple[str, str, str, str]) -> ImageCopy | None:
    """Return one site's copy."""
    repository, tag, digest, site = key
    query = select(image_copies).where(
        _copy.repository == repository, _copy.tag == tag, _copy.digest == digest, _copy.site == site
    )
    row = connection.execute(query).first()
    return _read_copy(row) if row else None


def holders(connection: Connection, contents: Iterable[tuple[str, str]]) -> dict[tuple[str, str], frozenset[str]]:
    """Return the sites that have each (repository, digest) whole."""
    wanted = set(contents)
    query = select(_copy.repository, _copy.digest, _copy.site).where(
        among(_copy.digest, {digest for _, digest in wanted}), _copy.state == str(CopyState.PRESENT)
    )
    found: dict[tuple[str, str], set[str]] = {}
    for row in connection.execute(query):
        if (row.repository, row.digest) in wanted:
            found.setdefault((row.repository, row.digest), set()).add(row.site)
    return {content: frozenset(sites) for content, sites in found.items()}


def put_copy(connection: Connection, before: ImageCopy | None, after: ImageCopy) -> ImageCopy:
    """Write `after` over `before` (None: a new row). Refuses a step the table does not allow; raises Stale."""
    if before is None:
        stored = replace(after, version=1)
        connection.execute(insert(image_copies).values(**_copy_values(stored)))
        return stored
    if after.state != before.state:
        advance_copy(before.state, after.state)
    stored = replace(after, version=before.version + 1)
    if (
        connection.execute(
            update(image_copies).where(*_THIS_COPY).values(**_copy_values(stored)), _old(before)
        ).rowcount
        != 1
    ):
        raise Stale(f"the copy of {before.subject} at {before.site} was changed by somebody else meanwhile")
    return stored


def note_progress(
    connection: Connection, key: tuple[str, str, str, str], size_bytes: int, there_bytes: int, moved_bytes: int
) -> None:
    """Write down how far a copy is. It decides nothing, so it leaves the version as it is."""
    repository, tag, digest, site = key
    same = (_copy.repository == repository, _copy.tag == tag, _copy.digest == digest, _copy.site == site)
    values = {"size_bytes": size_bytes, "there_bytes": there_bytes, "moved_bytes": moved_bytes}
    connection.execute(update(image_copies).where(*same).values(**values))


def put_back_off(connection: Connection, copy: ImageCopy, attempts: int, not_before: float) -> None:
    """Let a copy rest in its state. Raises Stale."""
    put_copy(connection, copy, replace(copy, attempts=attempts, not_before=not_before))


def has_digest(connection: Connection, digest: str) -> bool:
    """Return whether any site has, or shall have, this content."""
    return connection.execute(select(_copy.digest).where(_copy.digest == digest).limit(1)).first() is not None


def drop_copy(connection: Connection, gone: ImageCopy) -> None:
    """Forget a copy that was taken out. Raises Stale if it was changed meanwhile."""
    if connection.execute(delete(image_copies).where(*_THIS_COPY), _old(gone)).rowcount != 1:
        raise Stale(f"the copy of {gone.subject} at {gone.site} was changed by somebody else meanwhile")


def drop_sites(connection: Connection, kept: Iterable[str]) -> int:
    """Forget the copies of sites that are not configured any more; return how many."""
    return connection.execute(delete(image_copies).where(_copy.site.not_in(sorted(kept)))).rowcount


def _old(copy: ImageCopy) -> dict[str, Any]:
    return {
        "old_repository": copy.repository,
        "old_tag": copy.tag,
        "old_digest": copy.digest,
        "old_site": copy.site,
        "old_version": copy.version,
    }


def _copy_values(copy: ImageCopy) -> dict[str, Any]:
    return {
        "repository": copy.repository,
        "tag": copy.tag,
        "digest": copy.digest,
        "site": copy.site,
        "state": str(copy.state),
        "pushed_at": copy.pushed_at,
        "since": copy.since,
        "size_bytes": copy.size_bytes,
        "moved_bytes": copy.moved_bytes,
        "there_bytes": copy.there_bytes,
        "reason": copy.reason,
        "attempts": copy.attempts,
        "not_before": copy.not_before,
        "version": copy.version,
    }


def _read_copy(row: Row[Any]) -> ImageCopy:
    values = dict(row._mapping)
    return ImageCopy(**{**values, "state": CopyState(values["state"])})


def _read_head(row: Row[Any]) -> TagHead:
    return TagHead(**dict(row._mapping))


def _counts(row: LoggedPush, own: frozenset[str]) -> bool:
    told = row.push
    return told.action == PUSH and bool(told.digest) and told.actor != COPIER and told.actor not in own


def _read_push(row: LoggedPush) -> Push:
    told = row.push
    found_by = "comparison" if told.id.startswith(FOUND) else "event"
    return Push(told.site, told.repository, told.tag, told.digest, told.at, told.actor, found_by, row.seq)
