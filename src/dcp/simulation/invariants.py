"""What must hold after every event, whatever is done to the controller and the world.

Safety is checked at once, where it would break: after each committed write, at each change of endpoints, at each real
start. A violation is kept and raised; the run that finds one stops. Liveness is checked apart, at the end.
"""

from dataclasses import dataclass, field
from typing import NoReturn

from sqlalchemy import Connection, func, select

from dcp.hosts.model import HostType
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.traffic.model import Endpoint
from dcp.store import instances as instance_rows
from dcp.store.codec import from_json
from dcp.store.tables import hosts, instances, services


class Violation(AssertionError):
    """A property that must always hold did not."""


@dataclass(slots=True)
class Invariants:
    """Remembers what was seen, so that each check costs little."""

    private_hosts: int
    checks: int = 0
    broken: list[str] = field(default_factory=list)
    _types: dict[str, HostType] = field(default_factory=dict)
    _seen_serving: set[str] = field(default_factory=set)
    _stop_asked: set[str] = field(default_factory=set)
    _sources: dict[str, str] = field(default_factory=dict)

    def after_write(self, connection: Connection) -> None:
        """No host is over-committed, and a cloud host is asked for only while the private pool is taken."""
        self.checks += 1
        live = instances.c.ended_at.is_(None)
        used = connection.execute(
            select(instances.c.host_id, func.sum(instances.c.cpu_millis), func.sum(instances.c.memory_bytes))
            .where(live)
            .group_by(instances.c.host_id)
        ).all()
        self._learn_hosts(connection)
        for host_id, cpu_millis, memory_bytes in used:
            total = self._types[host_id].resources
            if cpu_millis > total.cpu_millis or memory_bytes > total.memory_bytes:
                self._break(f"host {host_id} is over-committed: {cpu_millis} of {total.cpu_millis} millis")

    def _learn_hosts(self, connection: Connection) -> None:
        known = connection.execute(select(func.count()).select_from(hosts)).scalar_one()
        if known == len(self._types):
            return
        rows = connection.execute(select(hosts.c.id, hosts.c.kind, hosts.c.state, hosts.c.host_type)).all()
        taken = sum(1 for row in rows if row.kind == "private" and row.state != str(HostState.RELEASED))
        for row in rows:
            if row.id in self._types:
                continue
            self._types[row.id] = from_json(HostType, row.host_type)
            if row.kind == "cloud" and taken < self.private_hosts:
                self._break(f"{row.id} was asked for while {self.private_hosts - taken} private hosts are free")

    def endpoints_set(self, connection: Connection, key: ServiceKey, endpoints: tuple[Endpoint, ...]) -> None:
        """No instance takes traffic before its gate, and none after it was asked to stop."""
        self.checks += 1
        for endpoint in endpoints:
            if endpoint.draining:
                continue
            if endpoint.instance_id in self._stop_asked:
                self._break(f"{endpoint.instance_id} gets traffic after it was asked to stop")
            if endpoint.instance_id not in self._seen_serving:
                self._seen_serving.add(endpoint.instance_id)
                self._gate_was_open(connection, key, endpoint.instance_id)

    def _gate_was_open(self, connection: Connection, key: ServiceKey, instance_id: str) -> None:
        instance = instance_rows.find(connection, instance_id)
        if instance is None or instance.state != InstanceState.SERVING:
            self._break(f"{instance_id} gets traffic, the ledger says {instance.state if instance else 'nothing'}")
        for condition in instance.gate:
            serving = instance_rows.serving_counts(connection, key.application).get(condition.service, 0)
            wanted = min(condition.serving_at_least, self._target(connection, key.application, condition.service))
            coming = instance_rows.wanted_counts(connection, key.application).get(condition.service, 0)
            if serving < min(wanted, max(1, coming)):
                self._break(f"{instance_id} gets traffic while {condition.service} serves {serving} of {wanted}")

    def _target(self, connection: Connection, application: str, service: str) -> int:
        from_row = select(services.c.scaling).where(services.c.key == f"{application}/{service}")
        text = connection.execute(from_row).scalar_one_or_none()
        return int(from_json(dict, text)["target"]) if text else 0

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
