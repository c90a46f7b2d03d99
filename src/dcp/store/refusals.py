"""What sources refused lately, with an end: the memory that keeps dcp from asking in vain."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, select

from dcp.hosts.refusals import RefusalKind, Refused
from dcp.store.tables import refusals

_columns = refusals.c
_DROP_SAME = delete(refusals).where(
    _columns.source == bindparam("b_source"),
    _columns.type_name == bindparam("b_type_name"),
    _columns.variant == bindparam("b_variant"),
    _columns.kind == bindparam("b_kind"),
)
_ADD = insert(refusals)
_LIVE = select(refusals).where(_columns.until > bindparam("now")).order_by(_columns.until, _columns.source)
_EXPIRE = delete(refusals).where(_columns.until <= bindparam("now"))


def remember(connection: Connection, new: Iterable[Refused]) -> None:
    """Write refusals over older ones of the same source, type, variant and kind."""
    kept = {(one.source, one.type_name, one.variant, one.kind): one for one in new}
    if not kept:
        return
    keys = [
        {"b_source": one.source, "b_type_name": one.type_name, "b_variant": one.variant, "b_kind": str(one.kind)}
        for one in kept.values()
    ]
    connection.execute(_DROP_SAME, keys)
    connection.execute(_ADD, [_values(one) for one in kept.values()])


def live(connection: Connection, now: float) -> tuple[Refused, ...]:
    """Return what still holds, the first to end first."""
    return tuple(
        Refused(row.source, row.type_name, row.variant, RefusalKind(row.kind), row.words, row.at, row.until)
        for row in connection.execute(_LIVE, {"now": now})
    )


def expire(connection: Connection, now: float) -> None:
    """Drop what no longer holds."""
    connection.execute(_EXPIRE, {"now": now})


def _values(one: Refused) -> dict[str, object]:
    return {
        "source": one.source,
        "type_name": one.type_name,
        "variant": one.variant,
        "kind": str(one.kind),
        "words": one.words,
        "at": one.at,
        "until": one.until,
    }
