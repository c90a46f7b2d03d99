"""Capacity tests: the one that runs, and what earlier ones found."""

from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dcp.kernel.errors import Stale
from dcp.orchestration.capacity.measuring import CapacityTest, Outcome
from dcp.orchestration.services.model import ServiceKey
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import capacity_tests

_columns = capacity_tests.c
_ALL = select(_columns.body, _columns.version)
_NEWEST_FIRST = _ALL.order_by(_columns.asked_at.desc(), _columns.id.desc())
_RUNNING = _ALL.where(_columns.application == bindparam("application"), _columns.outcome == Outcome.RUNNING.value)
_MEASURED = _ALL.where(
    _columns.application == bindparam("application"), _columns.outcome == Outcome.MEASURED.value
).order_by(_columns.asked_at)
_OF_SERVICE = _NEWEST_FIRST.where(
    _columns.application == bindparam("application"), _columns.service == bindparam("service")
)
_ONE = _ALL.where(_columns.id == bindparam("id"))
_CHANGE = (
    update(capacity_tests)
    .where(_columns.id == bindparam("test_id"), _columns.version == bindparam("before"))
    .values(outcome=bindparam("after"), body=bindparam("text"), version=bindparam("before") + 1)
)


def add(connection: Connection, test: CapacityTest) -> None:
    """Store a new test; an id that exists raises Stale through its constraint."""
    connection.execute(
        insert(capacity_tests).values(
            id=test.id,
            application=test.application,
            service=test.service,
            outcome=test.outcome.value,
            asked_at=test.asked_at,
            body=to_json(CapacityTest, test),
            version=test.version,
        )
    )


def change(connection: Connection, after: CapacityTest) -> CapacityTest:
    """Store the next state of a test that was read at `after.version`. Raises Stale."""
    values = {"test_id": after.id, "before": after.version, "after": after.outcome.value}
    if connection.execute(_CHANGE, {**values, "text": to_json(CapacityTest, after)}).rowcount != 1:
        raise Stale(f"{after.id} was changed meanwhile")
    return replace(after, version=after.version + 1)


def find(connection: Connection, test_id: str) -> CapacityTest | None:
    """Return one test."""
    row = connection.execute(_ONE, {"id": test_id}).one_or_none()
    return _test(row.body, row.version) if row is not None else None


def running(connection: Connection, application: str) -> CapacityTest | None:
    """Return the test that runs in an application; there is one at most."""
    row = connection.execute(_RUNNING, {"application": application}).first()
    return _test(row.body, row.version) if row is not None else None


def running_of(connection: Connection, key: ServiceKey) -> CapacityTest | None:
    """Return the test of one service, if it runs."""
    test = running(connection, key.application)
    return test if test is not None and test.service == key.name else None


def measured(connection: Connection, application: str) -> dict[str, CapacityTest]:
    """Return, by service, the newest test that measured it."""
    rows = connection.execute(_MEASURED, {"application": application})
    return {test.service: test for test in (_test(row.body, row.version) for row in rows)}


def newest(connection: Connection, limit: int) -> tuple[CapacityTest, ...]:
    """Return the last tests of all, newest first."""
    return tuple(_test(row.body, row.version) for row in connection.execute(_NEWEST_FIRST.limit(limit)))


def last_of(connection: Connection, key: ServiceKey) -> CapacityTest | None:
    """Return the last test of a service, ended or not."""
    row = connection.execute(_OF_SERVICE, {"application": key.application, "service": key.name}).first()
    return _test(row.body, row.version) if row is not None else None


def prune(connection: Connection, key: ServiceKey, keep: int) -> None:
    """Drop all but the last tests of a service, and the one that measured it last."""
    rows = connection.execute(_OF_SERVICE, {"application": key.application, "service": key.name}).all()
    tests = [_test(row.body, row.version) for row in rows]
    kept = {one.id for one in tests[:keep]}
    kept |= {one.id for one in [one for one in tests if one.outcome is Outcome.MEASURED][:1]}
    for one in tests:
        if one.id not in kept:
            connection.execute(delete(capacity_tests).where(_columns.id == one.id))


def forget(connection: Connection, application: str) -> None:
    """Drop the tests of an application."""
    connection.execute(delete(capacity_tests).where(_columns.application == application))


def _test(body: str, version: int) -> CapacityTest:
    test: CapacityTest = from_known_json(CapacityTest, body)
    return replace(test, version=version)
