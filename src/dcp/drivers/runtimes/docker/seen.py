"""What is known of one container of ours, from a listing, an inspection or an event. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dcp.orchestration.services.model import HealthCheck, Observation

OWNER = "dcp.owner"
INSTANCE = "dcp.instance"
HOST = "dcp.host"
APPLICATION = "dcp.application"
SERVICE = "dcp.service"
ORDER = "dcp.order"
PORT = "dcp.port"
HOST_PORT = "dcp.host-port"
ADDRESS = "dcp.address"
HEALTH = "dcp.health"

_EXITED = re.compile(r"^(?:Exited|Dead)? ?\((-?\d+)\)")


class Phase(StrEnum):
    """How far a container is. It only ever goes forward, as nothing of ours is started twice."""

    CREATED = "created"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Seen:
    """One container."""

    container_id: str
    labels: Mapping[str, str]
    phase: Phase
    exit_code: int | None = None

    @property
    def instance_id(self) -> str:
        return self.labels.get(INSTANCE, "")

    @property
    def port(self) -> int:
        """Where it is reached, on its address."""
        return int(self.labels.get(PORT, "0"))

    @property
    def host_port(self) -> int:
        """The port of the host that it occupies; 0: none."""
        return int(self.labels.get(HOST_PORT, "0"))

    @property
    def health(self) -> HealthCheck | None:
        text = self.labels.get(HEALTH, "")
        return read_health(text) if text else None

    def observation(self, host_address: str) -> Observation:
        return Observation(
            instance_id=self.instance_id,
            running=self.phase is Phase.RUNNING,
            address=self.address(host_address),
            port=self.port,
            exit_code=self.exit_code if self.phase is Phase.ENDED else None,
            labels=(
                ("host", self.labels.get(HOST, "")),
                ("service", f"{self.labels.get(APPLICATION, '')}/{self.labels.get(SERVICE, '')}"),
            ),
        )

    def address(self, host_address: str) -> str:
        """Return its own address on the site's network, or its host's."""
        return self.labels.get(ADDRESS, "") or host_address


def of_listing(item: Mapping[str, Any]) -> Seen:
    """Read an item of `GET /containers/json`."""
    phase = _phase(item["State"])
    match = _EXITED.match(item.get("Status", "")) if phase is Phase.ENDED else None
    return Seen(item["Id"], item.get("Labels") or {}, phase, int(match.group(1)) if match else None)


def of_inspection(item: Mapping[str, Any]) -> Seen:
    """Read `GET /containers/ID/json`."""
    phase = _phase(item["State"]["Status"])
    code = int(item["State"]["ExitCode"]) if phase is Phase.ENDED else None
    return Seen(item["Id"], item["Config"].get("Labels") or {}, phase, code)


def write_health(health: HealthCheck) -> str:
    """Return a health check as a label, from which a restarted controller takes it."""
    return json.dumps([list(health.command), health.http_path, health.timeout_s])


def read_health(text: str) -> HealthCheck:
    command, http_path, timeout_s = json.loads(text)
    return HealthCheck(command=tuple(command), http_path=http_path, timeout_s=timeout_s)


def _phase(state: str) -> Phase:
    if state == "created":
        return Phase.CREATED
    return Phase.ENDED if state in ("exited", "dead", "removing") else Phase.RUNNING
