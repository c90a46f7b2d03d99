"""What was measured, and what is being measured."""

from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.orchestration.capacity.measured import Measured, result_of
from dcp.orchestration.capacity.measuring import CapacityTest, Outcome, share_of
from dcp.orchestration.services.model import Capacity, ServiceKey
from dcp.store import applications, capacity_tests


@dataclass(frozen=True, slots=True)
class ServiceCapacity:
    """What one instance of a service carries. `measured` None: it never was; `used`: what plans count on."""

    application: str
    service: str
    declared: Capacity | None
    measured: Measured | None
    used: Capacity | None

    @property
    def words(self) -> str:
        """Say what plans count on, and where that is from."""
        if self.used is None:
            return "capacity: neither declared nor measured"
        what = f"capacity: {self.used.requests_per_s:,.1f} requests/s, {self.used.units_per_s:,.1f} units/s an instance"
        if self.measured is None:
            return f"{what}, as declared"
        if self.measured.stale:
            return f"{what}, as declared: {self.measured.test} measured another image or other settings"
        left_out = f"; left out: {', '.join(self.measured.outliers)}" if self.measured.outliers else ""
        return f"{what}, as {self.measured.test} measured{left_out}"


@dataclass(frozen=True, slots=True)
class TestSummary:
    """One test in short. `share` is what the balancer gives to the instance that is measured now."""

    id: str
    application: str
    service: str
    outcome: Outcome
    asked_at: float
    ended_at: float | None
    words: str
    rounds: int
    of: int
    share: float | None

    @classmethod
    def of_test(cls, test: CapacityTest) -> "TestSummary":
        return cls(
            id=test.id,
            application=test.application,
            service=test.service,
            outcome=test.outcome,
            asked_at=test.asked_at,
            ended_at=test.ended_at,
            words=test.words,
            rounds=len(test.found),
            of=len(test.subjects),
            share=share_of(test) if test.outcome is Outcome.RUNNING else None,
        )


def capacities(connection: Connection, only: ServiceKey | None = None) -> tuple[ServiceCapacity, ...]:
    """Return what every service that is scaled or was measured carries, or only one; by application and name."""
    found = []
    for name in applications.names(connection) if only is None else (only.application,):
        application = applications.find(connection, name)
        tests = capacity_tests.measured(connection, name)
        for spec in application.spec.services if application else ():
            if only is not None and spec.name != only.name:
                continue
            test = tests.get(spec.name)
            measured = result_of(test, spec) if test else None
            if spec.capacity is None and measured is None and spec.elastic is None:
                continue
            used = spec.capacity if measured is None or measured.stale else measured.capacity
            found.append(ServiceCapacity(name, spec.name, spec.capacity, measured, used))
    return tuple(found)


def newest_tests(connection: Connection, limit: int) -> tuple[TestSummary, ...]:
    """Return the last tests, newest first."""
    return tuple(TestSummary.of_test(one) for one in capacity_tests.newest(connection, limit))
