"""Runs the capacity test of one service, inside the service's worker: read, decide, write, then weigh.

Weights are given only under the lease that the test carries. A worker that finds a test of another lease ends it and
weighs all alike, so a controller that dies in a test is mended by the next one. What cannot be read ends the test too.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.capacity.begin import begin, ended_event
from dcp.engine.context import Context, log
from dcp.kernel.errors import Conflict, DriverError
from dcp.kernel.events import Event
from dcp.orchestration.capacity.measured import result_of
from dcp.orchestration.capacity.measuring import CapacityTest, Look, Outcome, decide_step, stop, weights_of
from dcp.orchestration.capacity.units import sample_between
from dcp.orchestration.scaling.model import Direction
from dcp.orchestration.services.model import Instance, ServiceKey, ServiceSpec
from dcp.orchestration.services.quiet_hours import QuietHours
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.traffic.model import Traffic
from dcp.store import capacity_tests, events
from dcp.store.applications import Application, ServiceRow
from dcp.store.leases import Lease

TRY_EVERY_S = 60.0
RETRY_S = 3600.0
"""After a test that found nothing, or once what was found counts no more."""
LOOKS_PER_WINDOW = 10
"""Requests that fail, and an application that changes, are seen within a tenth of a window."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger says of a service's test. `trouble`: a stable code and words, where it must not go on."""

    test: CapacityTest | None = None
    trouble: tuple[str, str] | None = None
    due: QuietHours | None = None
    """They are here, and it is to be measured."""


class CapacityTests:
    """The tests of one service, one after the other."""

    def __init__(self, context: Context, key: ServiceKey) -> None:
        self._context = context
        self._key = key
        self._before: tuple[float, Traffic] | None = None
        """The counters when the present weights were decided; the balancer has them a moment later."""
        self._try_at = 0.0

    def load(
        self,
        connection: Connection,
        application: Application | None,
        live: tuple[Instance, ...],
        rows: tuple[ServiceRow, ...],
    ) -> Seen:
        """Read what a step needs."""
        test = capacity_tests.running_of(connection, self._key)
        if test is not None:
            return Seen(test, _trouble(application, test, live, rows))
        spec = application.spec.find(self._key.name) if application else None
        return Seen(due=_due(connection, self._key, spec, self._context.clock.now()))

    async def step(self, lease: Lease, seen: Seen) -> Mapping[str, int]:
        """Take one look and write what follows; return what each instance weighs now. {}: all weigh alike."""
        test = seen.test
        if test is None:
            self._before = None
            if seen.due is not None:
                await self._begin(lease, seen.due)
            return {}
        if test.fence != lease.token:
            await self._take_over(lease, test)
            return {}
        after = await self._look(test, seen.trouble)
        if after is not test:
            await self._write(lease, after, _told(test, after))
            if after.outcome is Outcome.MEASURED:
                self._context.wakes.wake(f"application/{self._key.application}")
        return weights_of(after, lease.token)

    def next_look_s(self, seen: Seen) -> float:
        """Return when a test is to be looked at again; infinite where none runs."""
        return seen.test.window_s / LOOKS_PER_WINDOW if seen.test is not None else math.inf

    async def _look(self, test: CapacityTest, trouble: tuple[str, str] | None) -> CapacityTest:
        """Return the test after what the balancer counted since it took the present weights over."""
        try:
            counted = (await self._context.balancer.traffic()).get(self._key)
        except DriverError as error:
            log.warning("no metrics", error=str(error))
            counted = None
        now = self._context.clock.now()
        if trouble is not None or counted is None:
            return decide_step(test, Look(now, None, trouble))
        if self._before is None:
            self._before = (now, counted)
            return test
        began_at, before = self._before
        sample = sample_between(before, counted, now, now - began_at)
        if sample is None and now - began_at < test.window_s:
            return test
        after = decide_step(test, Look(now, sample))
        if after is not test:
            self._before = (now, counted)
        return after

    async def _take_over(self, lease: Lease, test: CapacityTest) -> None:
        """Make a new test ours; end one that was another worker's."""
        self._before = None
        if not test.fence:
            await self._write(lease, replace(test, fence=lease.token), ())
            return
        words = "its controller is gone; all instances weigh alike again"
        ended = stop(test, self._context.clock.now(), "interrupted", words)
        await self._write(lease, ended, (ended_event(ended),))

    async def _begin(self, lease: Lease, hours: QuietHours) -> None:
        """Begin a test in quiet hours; where all is not calm it is tried again later."""
        now = self._context.clock.now()
        if now < self._try_at:
            return
        self._try_at = now + TRY_EVERY_S

        def work(connection: Connection) -> None:
            begin(connection, self._key, now, hours.per_class, hours.window_s, f"quiet hours {hours.when}")

        with suppress(Conflict):
            await self._context.write_under(lease, work)

    async def _write(self, lease: Lease, after: CapacityTest, told: tuple[Event, ...]) -> None:
        now = self._context.clock.now()

        def work(connection: Connection) -> None:
            capacity_tests.change(connection, after)
            events.append(connection, now, told)

        await self._context.write_under(lease, work)


def _told(before: CapacityTest, after: CapacityTest) -> tuple[Event, ...]:
    """Return what to tell of a step: the result of a round, the end."""
    subject = f"service/{ServiceKey(after.application, after.service)}"
    found = []
    for one in after.found[len(before.found) :]:
        least = "" if one.reached else "at least "
        words = f"{after.id}: {one.instance_id} carries {least}{one.requests_per_s:.1f} requests/s"
        numbers = {"requests_per_s": round(one.requests_per_s, 2), "units_per_s": round(one.units_per_s, 2)}
        found.append(Event(subject, "capacity-found", words, after=one.instance_id, numbers=numbers))
    return tuple(found) if after.outcome is Outcome.RUNNING else (*found, ended_event(after))


def _trouble(
    application: Application | None, test: CapacityTest, live: tuple[Instance, ...], rows: tuple[ServiceRow, ...]
) -> tuple[str, str] | None:
    """Return why the test must not go on: somebody else changes what it measures, or a dependency has no room."""
    if application is None or application.removing:
        return "removing", f"{test.application} is being removed"
    if application.frozen:
        return "frozen", f"{test.application} was frozen: {application.frozen}"
    specs = {one.name: one for one in application.spec.services}
    if specs.get(test.service) != test.spec:
        return "applied", "another specification was applied"
    by_name = {row.key.name: row for row in rows}
    if by_name[test.service].scaling.target != test.target:
        return "scaled", f"its target is {by_name[test.service].scaling.target:,} now, not {test.target:,}"
    if {one.id for one in live if one.state is InstanceState.SERVING} != set(test.members) or len(live) != test.target:
        return "instances-changed", "other instances serve than when it began"
    for name in sorted(_below(specs, test.service)):
        words = _no_room(specs[name], by_name.get(name))
        if words:
            return "dependency", f"{name} {words}"
    return None


def _below(specs: Mapping[str, ServiceSpec], name: str) -> frozenset[str]:
    """Return every service that `name` needs, directly or not."""
    found: set[str] = set()
    open_ones = [name]
    while open_ones:
        new = [one for one in specs[open_ones.pop()].dependencies() if one in specs and one not in found]
        found.update(new)
        open_ones += new
    return frozenset(found - {name})


def _no_room(spec: ServiceSpec, row: ServiceRow | None) -> str:
    """Return why a dependency must not be given trouble now; empty: it has room, or nothing is measured there."""
    if row is None or row.decision is None or spec.elastic is None:
        return ""
    decision = row.decision
    if decision.reason == "metrics-missing":
        return "has no metrics"
    level = decision.numbers.get("level")
    if isinstance(level, float | int) and level < spec.elastic.fatal_level:
        return f"is at a water level of {level:g}, below its fatal {spec.elastic.fatal_level:g}"
    return "is growing" if decision.direction is Direction.GROW else ""


def _due(connection: Connection, key: ServiceKey, spec: ServiceSpec | None, now: float) -> QuietHours | None:
    """Return the quiet hours of a service that is to be measured now."""
    hours = spec.quiet_hours if spec else None
    if hours is None or not hours.when.is_due(now):
        return None
    last = capacity_tests.last_of(connection, key)
    if last is None:
        return hours
    result = result_of(last, spec)
    wait_s = RETRY_S if result is None or result.stale else hours.every_s
    return hours if now - last.asked_at >= wait_s else None
