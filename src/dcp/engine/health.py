"""Runs the health checks of one service's instances when they are due and remembers what they said.

Each check is a task of its own, one at most for an instance, so that one that hangs until its time-out delays nothing
else. A finished check wakes the service's worker.
"""

import asyncio
import math
from collections.abc import Mapping, Set
from functools import partial

from dcp.engine.context import Context, log
from dcp.kernel.errors import DriverError, Unreachable
from dcp.orchestration.services.decide import Health
from dcp.orchestration.services.model import HealthCheck, Instance, Observation, ServiceSpec
from dcp.orchestration.services.states import InstanceState

CHECKED = frozenset({InstanceState.STARTING, InstanceState.HELD, InstanceState.SERVING})
INTERVAL_S = 1.0
"""Between checks of an instance whose service says nothing of them."""
FIRST_CHECKS_S = 0.2
"""Until an instance was healthy once it is checked this often, however long its interval: it is waited for."""


class HealthChecks:
    """Last results by instance; lost with the controller and made again by the next one."""

    def __init__(self, context: Context, subject: str) -> None:
        self._context = context
        self._subject = subject
        self._results: dict[str, Health] = {}
        self._doubtful: set[str] = set()
        self._checked_at: dict[str, float] = {}
        self._counted_at: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def of(self, instance_id: str) -> Health | None:
        """Return what the last check said; None before the first."""
        return self._results.get(instance_id)

    @property
    def doubtful(self) -> Set[str]:
        """Return the instances whose last check failed."""
        return self._doubtful

    def due_at(self, instance: Instance, check: HealthCheck | None) -> float:
        """Return when the next check of the instance is to begin; never, while one is under way."""
        if instance.id in self._running:
            return math.inf
        last_at, before = self._checked_at.get(instance.id), self._results.get(instance.id)
        if last_at is None:
            return -math.inf
        waited_for = before is None or (not before.healthy and instance.state == InstanceState.STARTING)
        return last_at + (FIRST_CHECKS_S if waited_for else _interval_s(check))

    def forget(self, instance_id: str) -> None:
        """Drop what is known of an ended instance."""
        for known in (self._results, self._checked_at, self._counted_at):
            known.pop(instance_id, None)
        self._doubtful.discard(instance_id)
        if task := self._running.pop(instance_id, None):
            task.cancel()

    def begin_due(
        self,
        own: tuple[Instance, ...],
        specs: Mapping[int, ServiceSpec],
        observations: Mapping[str, Observation | None],
    ) -> None:
        """Begin every check that is due and not under way."""
        now = self._context.clock.now()
        for instance in own:
            seen = observations.get(instance.id)
            if instance.state not in CHECKED or seen is None or not seen.running:
                continue
            check = specs[instance.spec_revision].health
            if self.due_at(instance, check) <= now:
                task = asyncio.create_task(self._check(instance, check), name=f"check:{instance.id}")
                self._running[instance.id] = task
                task.add_done_callback(partial(self._done, instance.id))

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, instance_id: str, task: asyncio.Task[None]) -> None:
        if self._running.get(instance_id) is task:
            del self._running[instance_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("check failed", instance=instance_id, error=repr(task.exception()))

    async def _check(self, instance: Instance, check: HealthCheck | None) -> None:
        try:
            words = await self._context.runtimes.of(instance.host_id).check(instance.id)
        except Unreachable:
            # Its host cannot be asked, so what was known of it stays what is known of it.
            self._checked_at[instance.id] = self._context.clock.now()
            return
        except DriverError as error:
            words = str(error)
        now = self._context.clock.now()
        before = self._results.get(instance.id)
        self._checked_at[instance.id] = now
        failures = before.failures if before and words else 0
        if words and self._counts(instance, check, now):
            self._counted_at[instance.id] = now
            failures += 1
        self._results[instance.id] = Health(healthy=not words, failures=failures, words=words)
        (self._doubtful.add if words else self._doubtful.discard)(instance.id)
        if before is None or before.healthy != (not words) or failures:
            self._context.wakes.wake(self._subject)

    def _counts(self, instance: Instance, check: HealthCheck | None, now: float) -> bool:
        """A failure counts once an interval, and not in the start period."""
        if instance.state == InstanceState.STARTING and now - instance.changed_at < _start_period_s(check):
            return False
        counted_at = self._counted_at.get(instance.id)
        return counted_at is None or now - counted_at >= _interval_s(check)


def _start_period_s(check: HealthCheck | None) -> float:
    return check.start_period_s if check else 0.0


def _interval_s(check: HealthCheck | None) -> float:
    return check.interval_s if check else INTERVAL_S
