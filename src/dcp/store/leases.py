"""Leases with fencing tokens: who may act on a subject now.

A lease is taken for a time and renewed. Its token rises whenever it is taken anew, and every write made under the
lease checks owner and token in the same transaction. That transaction holds the writers' lock, so nobody can take the
lease over between the check and the commit: a controller that was away too long changes nothing. Controllers' clocks
decide only when a lease may be taken over; a clock that is wrong costs a needless take-over, never two owners.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from dcp.kernel.errors import LeaseLost
from dcp.store.tables import controllers, leases

_columns = leases.c
_ours = (_columns.owner == bindparam("us"), _columns.expires_at > bindparam("now"))

_READ = select(_columns.owner, _columns.token, _columns.expires_at).where(_columns.subject == bindparam("subject"))
_ADD = insert(leases)
_TAKE = update(leases).where(_columns.subject == bindparam("wanted"))
_RENEW = update(leases).where(*_ours)
_RENEWED = select(_columns.subject, _columns.token).where(*_ours)
_RELEASE = update(leases).where(
    _columns.subject == bindparam("held"), _columns.owner == bindparam("us"), _columns.token == bindparam("ours")
)
_BEAT = update(controllers).where(controllers.c.id == bindparam("us"))
_LIVING = (
    select(controllers)
    .where(controllers.c.seen_at >= bindparam("since"))
    .order_by(controllers.c.started_at, controllers.c.id)
)
_FREE = {"owner": "", "expires_at": 0.0}


@dataclass(frozen=True, slots=True)
class Lease:
    """`owner` may act on `subject`; `token` fences off every earlier owner."""

    subject: str
    owner: str
    token: int


def acquire(connection: Connection, subject: str, owner: str, now: float, ttl_s: float) -> Lease | None:
    """Take the lease if it is free, expired or ours; None if another controller holds it.

    Taking again what is still ours prolongs it under the same token; once it has expired the token is a new one.
    """
    row = connection.execute(_READ, {"subject": subject}).one_or_none()
    if row is None:
        connection.execute(_ADD, {"subject": subject, "owner": owner, "token": 1, "expires_at": now + ttl_s})
        return Lease(subject, owner, 1)
    held = bool(row.owner) and row.expires_at > now
    if held and row.owner != owner:
        return None
    token = row.token if held else row.token + 1
    connection.execute(_TAKE, {"wanted": subject, "owner": owner, "token": token, "expires_at": now + ttl_s})
    return Lease(subject, owner, token)


def renew(connection: Connection, owner: str, now: float, ttl_s: float) -> frozenset[tuple[str, int]]:
    """Prolong every lease that is still ours; return them as (subject, token)."""
    connection.execute(_RENEW, {"us": owner, "now": now, "expires_at": now + ttl_s})
    rows = connection.execute(_RENEWED, {"us": owner, "now": now})
    return frozenset((row.subject, row.token) for row in rows)


def release(connection: Connection, lease: Lease) -> None:
    """Give the lease back, if it is still ours; the token stays, so that the next owner's is higher."""
    connection.execute(_RELEASE, {"held": lease.subject, "us": lease.owner, "ours": lease.token, **_FREE})


def check(connection: Connection, lease: Lease, now: float) -> None:
    """Raise LeaseLost unless the lease is ours now. Call it first in every write that a worker makes."""
    row = connection.execute(_READ, {"subject": lease.subject}).one_or_none()
    if row is None or row.owner != lease.owner or row.token != lease.token or row.expires_at <= now:
        raise LeaseLost(f"the lease on {lease.subject} is no longer ours (token {lease.token})")


def break_all(connection: Connection) -> None:
    """Free every lease. Only for a controller that holds the state directory alone: all other owners are dead."""
    connection.execute(update(leases).values(_FREE))


def held(connection: Connection, now: float) -> dict[str, tuple[str, int]]:
    """Return owner and token of every lease that is held now, by subject."""
    rows = connection.execute(select(leases).where(and_(leases.c.owner != "", leases.c.expires_at > now)))
    return {row.subject: (row.owner, row.token) for row in rows}


def heartbeat(connection: Connection, controller: str, address: str, started_at: float, now: float) -> None:
    """Note that `controller` lives."""
    changed = connection.execute(_BEAT, {"us": controller, "address": address, "seen_at": now})
    if changed.rowcount == 0:
        connection.execute(
            insert(controllers).values(id=controller, address=address, started_at=started_at, seen_at=now)
        )


def leave(connection: Connection, controller: str) -> None:
    """Forget a controller that ends in good order, and free its leases."""
    connection.execute(update(leases).where(leases.c.owner == controller).values(_FREE))
    connection.execute(delete(controllers).where(controllers.c.id == controller))


def living(connection: Connection, since: float) -> tuple[tuple[str, str, float], ...]:
    """Return (id, address, seen at) of controllers seen since `since`; older rows are removed by `forget_dead`."""
    rows = connection.execute(_LIVING, {"since": since})
    return tuple((row.id, row.address, row.seen_at) for row in rows)


def forget_dead(connection: Connection, before: float) -> None:
    """Remove controllers not seen since `before`."""
    connection.execute(delete(controllers).where(controllers.c.seen_at < before))
