"""What must hold after every event, whatever is done to the controller and the world.

Safety is checked at once, where it would break: after each committed write, at each change of endpoints, at each real
start. A violation is kept and raised; the run that finds one stops. Liveness is checked apart, at the end.
"""

from dataclasses import dataclass, field
from typing import NoReturn

from sqlalchemy import Connection

from dcp.hosts.model import HostType
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.traffic.model import Endpoint
from dcp.store import applications
from dcp.store import instances as instance_rows
from dcp.store.codec import from_known_json

# Plain SQL: these run after every write of every seed.
USED_BY_HOST = (
    "SELECT host_id, sum(cpu_millis), sum(memory_bytes) FROM instances WHERE ended_at IS NULL GROUP BY host_id"
)
LOST_TOO_EARLY = (
    "SELECT i.id FROM instances i JOIN hosts h ON h.id = i.host_id"
    " WHERE i.state = 'lost' AND h.state IN ('ready', 'unreachable', 'cordoned', 'draining')"
)
FAILED_ON = "SELECT id, reason FROM instances WHERE state = 'failed' AND host_id = ? AND changed_at > ?"
SERVING = "SELECT id FROM instances WHERE state = 'serving'"


FOUND_BEFORE_SILENCE = frozenset({"start-failed", "start-rejected"})
"""Answers of the engine itself, which may be written a moment after it fell silent."""


class Violation(AssertionError):
    """A property that must always hold did not."""


@dataclass(slots=True)
class Invariants:
    """Remembers what was seen, so that each check costs little."""

    private_hosts: int
    checks: int = 0
    broken: list[str] = field(default_factory=list)
    silent: dict[str, float] = field(default_factory=dict)
    """Hosts whose engine does not answer now, and since when."""
    _types: dict[str, HostType] = field(default_factory=dict)
    _seen_serving: set[str] = field(default_factory=set)
    _stop_asked: set[str] = field(default_factory=set)

    def after_write(self, connection: Connection) -> None:
        """No host over-committed, no instance given up before its host, no cloud host while a private one is free."""
        self.checks += 1
        self._learn_hosts(connection)
        for host_id, cpu_millis, memory_bytes in connection.exec_driver_sql(USED_BY_HOST).all():
            total = self._types[host_id].resources
            if cpu_millis > total.cpu_millis or memory_bytes > total.memory_bytes:
                self._break(f"host {host_id} is over-committed: {cpu_millis} of {total.cpu_millis} millis")
        for (instance_id,) in connection.exec_driver_sql(LOST_TOO_EARLY).all():
            self._break(f"{instance_id} is given up while its host is not")
        for silent in self.silent.items():
            for instance_id, reason in connection.exec_driver_sql(FAILED_ON, silent).all():
                if reason not in FOUND_BEFORE_SILENCE:
                    self._break(f"{instance_id} is said to have {reason} while its host cannot be asked")
        for (instance_id,) in connection.exec_driver_sql(SERVING).all():
            if instance_id not in self._seen_serving:
                self._seen_serving.add(instance_id)
                instance = instance_rows.find(connection, instance_id)
                assert instance is not None
                self.gate_passed(connection, instance)

    def _learn_hosts(self, connection: Connection) -> None:
        known = connection.exec_driver_sql("SELECT count(*) FROM hosts").scalar_one()
        if known == len(self._types):
            return
        rows = connection.exec_driver_sql("SELECT id, kind, state, host_type FROM hosts").all()
        taken = sum(1 for row in rows if row.kind == "private" and row.state != str(HostState.RELEASED))
        for row in rows:
            if row.id in self._types:
                continue
            self._types[row.id] = from_known_json(HostType, row.host_type)
            if row.kind == "cloud" and taken < self.private_hosts:
                self._break(f"{row.id} was asked for while {self.private_hosts - taken} private hosts are free")

    def gate_passed(self, connection: Connection, instance: Instance) -> None:
        """An instance that begins to serve does so with its gate open at that very write."""
        self.checks += 1
        serving = instance_rows.serving_counts(connection, instance.application)
        rows = {row.key.name: row for row in applications.service_rows(connection, instance.application)}
        for condition in instance.gate:
            row = rows.get(condition.service)
            wanted = min(condition.serving_at_least, max(1, row.attainable)) if row else 0
            if serving.get(condition.service, 0) < wanted:
                self._break(f"{instance.id} passes its gate while {condition.service} serves {serving} of {wanted}")

    def endpoints_set(self, connection: Connection, endpoints: tuple[Endpoint, ...]) -> None:
        """Only what the ledger lets serve takes traffic, and nothing that was asked to stop."""
        self.checks += 1
        for endpoint in endpoints:
            if endpoint.draining:
                continue
            if endpoint.instance_id in self._stop_asked:
                self._break(f"{endpoint.instance_id} gets traffic after it was asked to stop")
            instance = instance_rows.find(connection, endpoint.instance_id)
            if instance is None or (instance.state != InstanceState.SERVING and instance.serving_at is None):
                self._break(f"{endpoint.instance_id} gets traffic, the ledger has it as {instance}")

    def stopping(self, instance_id: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Nothing is stopped while the balancer still has it."""
        self.checks += 1
        self._stop_asked.add(instance_id)
        if any(endpoint.instance_id == instance_id for endpoint in endpoints):
            self._break(f"{instance_id} is stopped while it is an endpoint")

    def started(self, instance_id: str, starts: int) -> None:
        """No instance is started twice."""
        self.checks += 1
        if starts > 1:
            self._break(f"{instance_id} was started {starts} times")

    def _break(self, words: str) -> NoReturn:
        self.broken.append(words)
        raise Violation(words)
