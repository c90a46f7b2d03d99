"""Runs the health checks of one service's instances when they are due and remembers what they said."""

import asyncio
from collections.abc import Mapping

from dcp.engine.context import Context
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.decide import Health, is_due
from dcp.orchestration.services.model import HealthCheck, Instance, Observation, ServiceSpec
from dcp.orchestration.services.states import InstanceState

CHECKED = frozenset({InstanceState.STARTING, InstanceState.HELD, InstanceState.SERVING})
FIRST_CHECKS_S = 0.2
"""Until an instance was healthy once it is checked this often, however long its interval: it is waited for."""


class HealthChecks:
    """Last results by instance; lost with the controller and made again by the next one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._results: dict[str, Health] = {}
        self._checked_at: dict[str, float] = {}
        self._counted_at: dict[str, float] = {}

    def of(self, instance_id: str) -> Health | None:
        """Return what the last check said; None before the first."""
        return self._results.get(instance_id)

    def forget(self, instance_id: str) -> None:
        """Drop what is known of an ended instance."""
        self._results.pop(instance_id, None)
        self._checked_at.pop(instance_id, None)
        self._counted_at.pop(instance_id, None)

    async def run_due(
        self,
        own: tuple[Instance, ...],
        specs: Mapping[int, ServiceSpec],
        observations: Mapping[str, Observation | None],
    ) -> None:
        """Run every check that is due, beside each other."""
        due: list[tuple[Instance, HealthCheck | None]] = []
        for instance in own:
            seen = observations.get(instance.id)
            if instance.state in CHECKED and seen is not None and seen.running:
                check = specs[instance.spec_revision].health
                if self._is_due(instance, check):
                    due.append((instance, check))
        await asyncio.gather(*(self._check(instance, check) for instance, check in due))

    def _is_due(self, instance: Instance, check: HealthCheck | None) -> bool:
        last_at, now = self._checked_at.get(instance.id), self._context.clock.now()
        before = self._results.get(instance.id)
        if before is None or (not before.healthy and instance.state == InstanceState.STARTING):
            return last_at is None or now - last_at >= FIRST_CHECKS_S
        return is_due(check, last_at, now)

    async def _check(self, instance: Instance, check: HealthCheck | None) -> None:
        try:
            words = await self._context.runtime.check(instance.id)
        except DriverError as error:
            words = str(error)
        now = self._context.clock.now()
        self._checked_at[instance.id] = now
        if not words:
            self._results[instance.id] = Health(healthy=True)
            return
        before = self._results.get(instance.id)
        failures = before.failures if before else 0
        if self._counts(instance, check, now):
            self._counted_at[instance.id] = now
            failures += 1
        self._results[instance.id] = Health(healthy=False, failures=failures, words=words)

    def _counts(self, instance: Instance, check: HealthCheck | None, now: float) -> bool:
        """A failure counts once an interval, and not in the start period."""
        if instance.state == InstanceState.STARTING and now - instance.changed_at < _start_period_s(check):
            return False
        counted_at = self._counted_at.get(instance.id)
        return counted_at is None or now - counted_at >= (check.interval_s if check else 1.0)


def _start_period_s(check: HealthCheck | None) -> float:
    return check.start_period_s if check else 0.0
