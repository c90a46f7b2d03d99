"""Machines that people have added, who has each, and which machines are set aside."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, literal, select, update

from dcp.hosts.adding.model import SOURCE, AddedMachine, Reach, SetAside
from dcp.hosts.model import HostType
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Stale
from dcp.store.codec import from_known_json, to_json
from dcp.store.database import Database
from dcp.store.tables import machines, set_aside

_columns = machines.c
_aside = set_aside.c
_ADD = insert(machines)
_ALL = select(machines).order_by(_columns.address)
_OF_HOSTS = _ALL.where(_columns.host_id.in_(bindparam("some", expanding=True)))
_ANY = select(exists().where(_columns.address != literal("")))
_CHANGE = update(machines).where(
    _columns.address == bindparam("old_address"), _columns.version == bindparam("old_version")
)
_DROP = delete(machines).where(
    _columns.address == bindparam("old_address"), _columns.version == bindparam("old_version")
)
_ASIDE = select(set_aside).order_by(_aside.source, _aside.address)
_TAKE_BACK = delete(set_aside).where(
    _aside.source == bindparam("old_source"), _aside.address == bindparam("old_address")
)


class StoredMachines:
    """The rows of added machines over a database; see `MachineRows`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def every(self) -> tuple[AddedMachine, ...]:
        return await self._database.read(every)

    async def aside(self) -> frozenset[str]:
        return await aside_of(self._database, SOURCE)

    async def reaches(self) -> Mapping[str, Reach]:
        """Return how each is reached, by address."""
        return {one.address: one.reach for one in await self.every()}

    async def take(self, host_id: str, type_name: str, answering: Iterable[str]) -> bool:
        order = tuple(answering)
        return await self._database.write(lambda connection: take(connection, host_id, type_name, order))

    async def give_back(self, host_ids: Collection[str]) -> tuple[AddedMachine, ...]:
        now = self._clock.now()
        return await self._database.write(lambda connection: give_back(connection, host_ids, now))


async def aside_of(database: Database, source: str) -> frozenset[str]:
    """Return the addresses of a source that are set aside."""
    found = await database.read(aside)
    return frozenset(one.address for one in found if one.source == source)


def every(connection: Connection) -> tuple[AddedMachine, ...]:
    """Return all added machines, in order of address."""
    return tuple(_machine(row) for row in connection.execute(_ALL))


def there_are(connection: Connection) -> bool:
    """Return whether any machine was added."""
    return bool(connection.execute(_ANY).scalar_one())


def add(connection: Connection, new: Iterable[AddedMachine]) -> None:
    """Insert machines; an address that exists raises Stale through its constraint."""
    if rows := [_values(one) for one in new]:
        connection.execute(_ADD, rows)


def change(connection: Connection, before: AddedMachine, after: AddedMachine) -> AddedMachine:
    """Write `after` over `before`. Raises Stale if the row is no longer at its version."""
    stored = replace(after, reach=before.reach, version=before.version + 1)
    guard = {"old_address": before.address, "old_version": before.version}
    if connection.execute(_CHANGE, {**_values(stored), **guard}).rowcount != 1:
        raise _stale(before)
    return stored


def drop(connection: Connection, machine: AddedMachine) -> None:
    """Forget a machine, also that it was set aside. Raises Stale if the row is no longer at its version."""
    guard = {"old_address": machine.address, "old_version": machine.version}
    if connection.execute(_DROP, guard).rowcount != 1:
        raise _stale(machine)
    no_longer_aside(connection, [(SOURCE, machine.address)])


def take(connection: Connection, host_id: str, type_name: str, answering: tuple[str, ...]) -> bool:
    """Lend the first free machine of `answering` that has the type; True also where the host has one already."""
    known = {one.address: one for one in every(connection)}
    if any(one.host_id == host_id for one in known.values()):
        return True
    barred = {one.address for one in aside(connection) if one.source == SOURCE}
    for address in answering:
        machine = known.get(address)
        if machine is None or machine.host_id or machine.leave_by is not None or address in barred:
            continue
        if machine.host_type.name == type_name:
            change(connection, machine, replace(machine, host_id=host_id))
            return True
    return False


def give_back(connection: Connection, host_ids: Collection[str], now: float) -> tuple[AddedMachine, ...]:
    """Free the machines of hosts; those that a person has removed are forgotten and returned."""
    found = [_machine(row) for row in connection.execute(_OF_HOSTS, {"some": sorted(host_ids)})]
    left = tuple(one for one in found if one.leave_by is not None)
    for one in left:
        drop(connection, one)
    for one in found:
        if one.leave_by is None:
            change(connection, one, replace(one, host_id="", back_at=now))
    return left


def aside(connection: Connection) -> tuple[SetAside, ...]:
    """Return the machines of all sources that are set aside."""
    return tuple(SetAside(row.source, row.address, row.at, row.words) for row in connection.execute(_ASIDE))


def put_aside(connection: Connection, new: Iterable[SetAside]) -> None:
    """Offer machines no more; an older reason is written over."""
    kept = {(one.source, one.address): one for one in new}
    no_longer_aside(connection, kept)
    if kept:
        values = [
            {"source": one.source, "address": one.address, "at": one.at, "words": one.words} for one in kept.values()
        ]
        connection.execute(insert(set_aside), values)


def no_longer_aside(connection: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Offer machines again, each named by source and address."""
    if guards := [{"old_source": source, "old_address": address} for source, address in keys]:
        connection.execute(_TAKE_BACK, guards)


def _stale(machine: AddedMachine) -> Stale:
    return Stale(f"machine {machine.address} was changed by somebody else meanwhile")


def _values(one: AddedMachine) -> dict[str, object]:
    return {
        "address": one.address,
        "ssh_user": one.reach.user,
        "ssh_port": one.reach.port,
        "ssh_key": one.reach.key,
        "engine": one.engine,
        "cluster": one.cluster,
        "host_type": to_json(HostType, one.host_type),
        "identity": one.identity,
        "added_at": one.added_at,
        "host_id": one.host_id,
        "back_at": one.back_at,
        "leave_by": one.leave_by,
        "version": one.version,
    }


def _machine(row: Row[Any]) -> AddedMachine:
    return AddedMachine(
        reach=Reach(row.address, row.ssh_user, row.ssh_port, row.ssh_key),
        engine=row.engine,
        cluster=row.cluster,
        host_type=from_known_json(HostType, row.host_type),
        identity=row.identity,
        added_at=row.added_at,
        host_id=row.host_id,
        back_at=row.back_at,
        leave_by=row.leave_by,
        version=row.version,
    )
