"""Begins and ends capacity tests. The worker of the service runs them; from here only its row is written.

A test begins only where all is calm: every instance that is wanted serves, nobody froze the application, and no other
test runs in it.
"""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.kernel.errors import Conflict, InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.orchestration.capacity.measuring import CapacityTest, Outcome, Subject, stop
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.orchestration.services.quiet_hours import LONGEST_WINDOW_S, MOST_PER_CLASS
from dcp.orchestration.services.states import InstanceState
from dcp.store import applications, capacity_tests, counters, events, hosts, instances

COUNTER = "capacity"
KEPT = 20
"""Tests of a service that are remembered."""
BY_A_PERSON = "a person asked for it"


@dataclass(frozen=True, slots=True)
class TestAsked:
    """Measure so many instances on each type of host, so long for each step. `window_s` None: one sample's time."""

    service: ServiceKey
    per_class: int = 3
    window_s: float | None = None


async def begin_test(context: Context, asked: TestAsked) -> CapacityTest:
    """Begin a test; return it. Raises NotFound, InvalidInput with every problem, or Conflict where all is not calm."""
    window_s = context.settings.timing.sample_s if asked.window_s is None else asked.window_s
    if problems := _problems(asked.per_class, window_s):
        raise InvalidInput(problems, subject="capacity test")
    now = context.clock.now()
    test = await context.database.write(
        lambda connection: begin(connection, asked.service, now, asked.per_class, window_s, BY_A_PERSON)
    )
    context.wakes.wake(f"service/{asked.service}")
    return test


async def cancel_test(context: Context, test_id: str) -> CapacityTest:
    """End a test before its time; the worker then restores. One that has ended stays as it is. Raises NotFound."""
    now = context.clock.now()

    def work(connection: Connection) -> CapacityTest:
        test = capacity_tests.find(connection, test_id)
        if test is None:
            raise NotFound(f"there is no capacity test {test_id}", hint="see `dcp capacity`")
        if test.outcome is not Outcome.RUNNING:
            return test
        ended = capacity_tests.change(connection, stop(test, now, "cancelled", "a person ended it"))
        events.append(connection, now, [ended_event(ended)])
        return ended

    test = await context.database.write(work)
    context.wakes.wake(f"service/{ServiceKey(test.application, test.service)}")
    return test


def begin(
    connection: Connection, key: ServiceKey, now: float, per_class: int, window_s: float, why: str
) -> CapacityTest:
    """Write a new test with its event. Raises NotFound, or Conflict where all is not calm."""
    application = applications.find(connection, key.application)
    rows = {row.key: row for row in applications.service_rows(connection, key.application)}
    if application is None or key not in rows or key.name not in {one.name for one in application.spec.services}:
        raise NotFound(f"there is no service {key}", hint="see `dcp services`")
    if application.removing or application.frozen:
        raise Conflict(f"{key.application} is {'being removed' if application.removing else 'frozen'}")
    running = capacity_tests.running(connection, key.application)
    if running is not None:
        raise Conflict(f"{running.id} runs in {key.application}", hint=f"wait, or dcp capacity cancel {running.id}")
    members = _members(connection, key, rows[key].scaling.target)
    last = counters.advance(connection, COUNTER, 1)
    test = CapacityTest(
        id=f"capacity-{last + 1}",
        application=key.application,
        service=key.name,
        spec=application.spec.service(key.name),
        members=tuple(one.id for one in members),
        subjects=_subjects(connection, members, per_class),
        target=rows[key].scaling.target,
        window_s=window_s,
        asked_at=now,
    )
    capacity_tests.prune(connection, key, KEPT - 1)
    capacity_tests.add(connection, test)
    words = f"{test.id} begins with {', '.join(one.instance_id for one in test.subjects)}: {why}"
    events.append(connection, now, [Event(f"service/{key}", "capacity-test-began", words, after=test.id)])
    return test


def ended_event(test: CapacityTest) -> Event:
    """Return what to tell of a test that has ended."""
    reason = "capacity-measured" if test.outcome is Outcome.MEASURED else f"capacity-test-{test.outcome.value}"
    subject = f"service/{ServiceKey(test.application, test.service)}"
    return Event(subject, reason, f"{test.id}: {test.words}", before=test.id, after=test.reason)


def _members(connection: Connection, key: ServiceKey, target: int) -> tuple[Instance, ...]:
    live = instances.live(connection, key.application, key.name)
    serving = tuple(one for one in live if one.state is InstanceState.SERVING and one.serving_at is not None)
    if len(serving) != target or len(live) != target:
        words = f"{len(serving)} of {target} instances of {key} serve, {len(live)} are there"
        raise Conflict(words, hint="wait until it has settled")
    if target < 2:
        raise Conflict(f"{key} has one instance: it has all the requests already", hint=f"dcp place {key.name}=2")
    return serving


def _subjects(connection: Connection, members: tuple[Instance, ...], per_class: int) -> tuple[Subject, ...]:
    known = hosts.kept(connection).by_id
    by_class: dict[str, list[str]] = defaultdict(list)
    for one in members:
        by_class[known[one.host_id].host_type.name].append(one.id)
    chosen = ((one, hardware) for hardware in sorted(by_class) for one in by_class[hardware][:per_class])
    return tuple(Subject(*one) for one in chosen)


def _problems(per_class: int, window_s: float) -> tuple[Problem, ...]:
    found = []
    if not 1 <= per_class <= MOST_PER_CLASS:
        found.append(Problem("per_class", f"{per_class} is not from 1 to {MOST_PER_CLASS}", "such as 3"))
    if not 0 < window_s <= LONGEST_WINDOW_S:
        found.append(Problem("window_s", f"{window_s:g} s is not above 0 and an hour at most", "such as 60"))
    return tuple(found)
