"""What every database promises, as named cases: the rig and the lists; the cases stand beside, one module a subject."""

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sqlalchemy import Connection

from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.events import Event
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.orchestration.services.states import InstanceState
from dcp.store import events
from dcp.store.database import Database

PATIENCE_S = 20.0


class Rig(Protocol):
    """A database under test."""

    database: Database

    def again(self) -> Database:
        """Return another handle on the same data, as a second controller has it. Only where `shared`."""
        ...


Case = Callable[[Rig], Coroutine[Any, Any, None]]
CASES: list[Case] = []
SHARED_CASES: list[Case] = []
"""Only for databases that several controllers can open, each with threads of its own."""


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def shared_case(function: Case) -> Case:
    SHARED_CASES.append(function)
    return function


class Latch:
    """Work on the database that waits until it is let go, so that a test decides what happens meanwhile."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def wait(self, _: Connection) -> None:
        self.reached.set()
        assert self.released.wait(PATIENCE_S)


def note(words: str) -> Callable[[Connection], None]:
    """Return work that leaves one event behind."""
    return lambda connection: events.append(connection, 1.0, [Event("test", "noted", words)])


def noted(connection: Connection) -> list[str]:
    """Return what `note` left, in order."""
    return [logged.event.words for logged in events.of_subject(connection, "test", 1_000_000)]


def make_spec(name: str = "shop", *services: str) -> ApplicationSpec:
    parts = services or ("feed", "user")
    return ApplicationSpec(name, tuple(ServiceSpec(part, ("run", part), Resources(250, 64 << 20)) for part in parts))


def make_instance(instance_id: str, **changes: Any) -> Instance:
    values: dict[str, Any] = {
        "application": "shop",
        "service": "feed",
        "host_id": "rack-1",
        "spec_revision": 1,
        "state": InstanceState.PLACED,
        "plan_id": "plan-1",
        "created_at": 10.0,
        "resources": Resources(250, 64 << 20),
    }
    return Instance(instance_id, **{**values, **changes})


def make_host(host_id: str, **changes: Any) -> Host:
    values: dict[str, Any] = {
        "source": "rack",
        "kind": SourceKind.PRIVATE,
        "host_type": HostType("small", Resources(2000, 4 << 30), 0.1, (("zone", "a"),), 30.0),
        "state": HostState.REQUESTED,
        "requested_at": 10.0,
    }
    return Host(host_id, **{**values, **changes})
