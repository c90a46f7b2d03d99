"""What the proxies of the edge are told, kept for all controllers.

Every change locks the one row of `edge` first, so that changes are ordered and a proxy is counted only if nothing
changed since the revision that it has taken over. A proxy that comes or goes leaves its event in the same transaction.
"""

from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from dcp.kernel.clock import Clock
from dcp.kernel.errors import LeaseLost
from dcp.kernel.events import Event
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeProxy, EdgeState, Told
from dcp.orchestration.traffic.model import Endpoint, Route
from dcp.store import events
from dcp.store.codec import from_json, from_known_json, to_json
from dcp.store.database import Database
from dcp.store.tables import edge, edge_endpoints, edge_proxies

_NAME = "edge"
_ENDPOINTS = tuple[Endpoint, ...]
_ROUTES = tuple[Route, ...]
_RAISE = update(edge).values(revision=edge.c.revision + 1)
_LOCK_AT = update(edge).where(edge.c.revision == bindparam("at")).values(revision=edge.c.revision)
_TOLD = select(edge_endpoints).where(edge_endpoints.c.service == bindparam("key"))
_CHANGED = select(edge_endpoints).where(edge_endpoints.c.revision > bindparam("since"))


class StoredEdge:
    """The ledger of the edge over a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def revision(self) -> int:
        return await self._database.read(_revision)

    async def counted(self) -> frozenset[str]:
        return frozenset(proxy.node for proxy in await self._database.read(proxies) if proxy.counted)

    async def load(self, known: EdgeState | None = None) -> EdgeState:
        return await self._database.read(lambda connection: load(connection, known or EdgeState()))

    async def set_routes(self, routes: tuple[Route, ...]) -> int:
        return await self._database.write(lambda connection: _set(connection, routes=to_json(_ROUTES, routes)))

    async def set_stopped(self, stopped: bool) -> int:
        return await self._database.write(lambda connection: _set(connection, stopped=stopped))

    async def set_endpoints(self, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> int:
        return await self._database.write(lambda connection: _set_endpoints(connection, service, endpoints, fence))

    async def count(self, node: str, revision: int) -> bool:
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            if not _lock_at(connection, revision):
                return False
            _change(connection, node, True, "", now)
            return True

        return await self._database.write(work)

    async def discount(self, node: str, words: str) -> None:
        now = self._clock.now()
        await self._database.write(lambda connection: _change(connection, node, False, words, now))


def load(connection: Connection, known: EdgeState) -> EdgeState:
    """Return all of it. Rows of endpoints are never deleted: they hold fences."""
    row = connection.execute(select(edge)).one_or_none()
    if row is None:
        return EdgeState(proxies=proxies(connection))
    changed = connection.execute(_CHANGED, {"since": known.revision if known.revision <= row.revision else 0})
    return EdgeState(
        revision=row.revision,
        stopped=row.stopped,
        routes=from_known_json(_ROUTES, row.routes),
        endpoints={**known.endpoints, **{ServiceKey.parse(one.service): _told(one) for one in changed}},
        proxies=proxies(connection),
    )


def proxies(connection: Connection) -> tuple[EdgeProxy, ...]:
    """Return the proxies that were ever counted, or seen away, by name."""
    rows = connection.execute(select(edge_proxies).order_by(edge_proxies.c.node))
    return tuple(EdgeProxy(row.node, row.counted, row.changed_at, row.words) for row in rows)


def find_proxy(connection: Connection, node: str) -> EdgeProxy | None:
    """Return one proxy."""
    return next((proxy for proxy in proxies(connection) if proxy.node == node), None)


def _change(connection: Connection, node: str, counted: bool, words: str, now: float) -> None:
    before = find_proxy(connection, node)
    if before is not None and before.counted == counted:
        return
    values = {"counted": counted, "changed_at": now, "words": words}
    if before is None:
        connection.execute(insert(edge_proxies).values(node=node, **values))
    else:
        connection.execute(update(edge_proxies).where(edge_proxies.c.node == node).values(**values))
    if counted:
        event = Event(f"proxy/{node}", "proxy-back", "has the present state; it is counted on", "away", "counted")
    else:
        event = Event(f"proxy/{node}", "proxy-away", f"is not waited for any more: {words}", "counted", "away")
    events.append(connection, now, [event])


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(edge.c.revision)).scalar_one_or_none() or 0)


def _set(connection: Connection, **values: Any) -> int:
    row = connection.execute(select(edge)).one_or_none()
    if row is not None and all(getattr(row, name) == value for name, value in values.items()):
        return int(row.revision)
    revision = _raise_revision(connection)
    connection.execute(update(edge).values(**values))
    return revision


def _lock_at(connection: Connection, revision: int) -> bool:
    """Keep others from changing anything; False if somebody has since `revision`."""
    if revision == 0 and connection.execute(select(edge)).one_or_none() is None:
        connection.execute(insert(edge).values(**_nothing(0)))
    return connection.execute(_LOCK_AT, {"at": revision}).rowcount == 1


def _nothing(revision: int) -> dict[str, Any]:
    return {"name": _NAME, "revision": revision, "routes": to_json(_ROUTES, ()), "stopped": False}


def _raise_revision(connection: Connection) -> int:
    """Lock the row and return the next revision, which is written."""
    if connection.execute(_RAISE).rowcount == 0:
        connection.execute(insert(edge).values(**_nothing(1)))
    return _revision(connection)


def _set_endpoints(connection: Connection, service: ServiceKey, endpoints: tuple[Endpoint, ...], fence: int) -> int:
    key = str(service)
    before = _known(connection, key)
    if before is not None and before.fence == fence and before.endpoints == endpoints:
        return before.revision
    revision = _raise_revision(connection)
    before = _known(connection, key)  # again, now that nobody else can change it
    if before is not None and fence < before.fence:
        raise LeaseLost(f"endpoints of {service}: token {fence} is older than {before.fence}")
    values = {"fence": fence, "revision": revision, "endpoints": to_json(_ENDPOINTS, endpoints)}
    if before is None:
        connection.execute(insert(edge_endpoints).values(service=key, **values))
    else:
        connection.execute(update(edge_endpoints).where(edge_endpoints.c.service == key).values(**values))
    return revision


def _known(connection: Connection, key: str) -> Told | None:
    row = connection.execute(_TOLD, {"key": key}).one_or_none()
    return _told(row) if row is not None else None


def _told(row: Any) -> Told:
    return Told(row.revision, row.fence, from_json(_ENDPOINTS, row.endpoints))
