"""What the registries told: pushes and deletions one by one, pulls only by their last.

A registry tells again until it is heard, so the same notification twice is one row. Pulls come by the thousand when
services grow; a pull of the same image by the same account only moves the time of the one before.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from dcp.images.access.model import PULL, ImagePush
from dcp.store.tables import image_pushes

_columns = image_pushes.c
_KNOWN = select(_columns.seq).where(_columns.site == bindparam("its_site"), _columns.id == bindparam("its_id"))
_ADD = insert(image_pushes)
_PULL_AGAIN = update(image_pushes).where(
    _columns.action == PULL,
    _columns.site == bindparam("its_site"),
    _columns.repository == bindparam("its_repository"),
    _columns.tag == bindparam("its_tag"),
    _columns.digest == bindparam("its_digest"),
    _columns.actor == bindparam("its_actor"),
)
_AFTER = select(image_pushes).where(_columns.seq > bindparam("last")).order_by(_columns.seq).limit(bindparam("limit"))
_NEWEST = select(image_pushes).order_by(_columns.seq.desc()).limit(bindparam("limit"))
_NEWEST_OF_REPOSITORY = _NEWEST.where(_columns.repository == bindparam("repository"))
_PRUNE = delete(image_pushes).where(_columns.at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class LoggedPush:
    """A push, pull or deletion with its place in the history."""

    seq: int
    push: ImagePush


def add(connection: Connection, new: Iterable[ImagePush]) -> tuple[ImagePush, ...]:
    """Add what is not known yet; return the pushes and deletions among it."""
    changed: list[ImagePush] = []
    for push in new:
        keys = {"site": push.site, "id": push.id}
        if connection.execute(_KNOWN, {f"its_{name}": value for name, value in keys.items()}).first() is not None:
            continue
        if push.action == PULL:
            if not _pulled_again(connection, push):
                connection.execute(_ADD, asdict(push))
            continue
        connection.execute(_ADD, asdict(push))
        changed.append(push)
    return tuple(changed)


def after(connection: Connection, seq: int, limit: int) -> tuple[LoggedPush, ...]:
    """Return up to `limit` rows after `seq`, oldest first: how a reader follows. A pull that moved is not shown again.

    Numbers rise in the order of commits.
    """
    return tuple(_logged(row) for row in connection.execute(_AFTER, {"last": seq, "limit": limit}))


def newest(connection: Connection, limit: int, repository: str = "") -> tuple[LoggedPush, ...]:
    """Return the last `limit` rows, of one repository if it is named, oldest first."""
    if repository:
        rows = connection.execute(_NEWEST_OF_REPOSITORY, {"limit": limit, "repository": repository}).all()
    else:
        rows = connection.execute(_NEWEST, {"limit": limit}).all()
    return tuple(_logged(row) for row in reversed(rows))


def prune(connection: Connection, before: float) -> int:
    """Drop what happened before a time; return how many rows."""
    return connection.execute(_PRUNE, {"before": before}).rowcount


def _pulled_again(connection: Connection, push: ImagePush) -> bool:
    same = ("site", "repository", "tag", "digest", "actor")
    guard = {f"its_{name}": getattr(push, name) for name in same}
    return connection.execute(_PULL_AGAIN, {"at": push.at, "id": push.id, **guard}).rowcount > 0


def _logged(row: Row[Any]) -> LoggedPush:
    return LoggedPush(
        row.seq,
        ImagePush(
            id=row.id,
            site=row.site,
            repository=row.repository,
            action=row.action,
            at=row.at,
            tag=row.tag,
            digest=row.digest,
            actor=row.actor,
            media_type=row.media_type,
            size_bytes=row.size_bytes,
        ),
    )
