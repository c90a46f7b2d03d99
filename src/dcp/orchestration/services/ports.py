"""What dcp asks of the runtime of a host: the engine that starts and stops instances there, and of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dcp.orchestration.services.container import Secret
from dcp.orchestration.services.model import Observation, StartOrder


@dataclass(frozen=True, slots=True)
class RuntimeAbilities:
    """What this runtime can enforce on this machine. `why_not` says in words what is missing, "" if nothing is."""

    cpu_limit: bool
    memory_limit: bool
    why_not: str = ""
    containers: bool = False
    """It runs images and honours every part of `ContainerSpec`."""


class FeatureSwitches(Protocol):
    """Tells instances which of their features are off."""

    async def tell(self, address: str, port: int, path: str, off: tuple[str, ...]) -> None:
        """Tell one instance all that is off. Telling it again changes nothing. Raises DriverError."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class Runtime(Protocol):
    """Starts, watches and stops the instances of one host. Every call may raise DriverError; identifiers are ours.

    Unreachable means that nothing is known: the caller concludes nothing from it, and asks again.

    What was started outlives the controller: a runtime made anew over the same state finds every instance again.
    What another controller's runtime did is seen by this one a moment later at most, its own doings at once.
    """

    def abilities(self) -> RuntimeAbilities:
        """Return what can be enforced here."""
        ...

    async def start(self, order: StartOrder) -> Observation:
        """Start the instance once. Starting an id that was ever started changes nothing and returns what is seen.

        Returns within 5 s, before the instance is healthy; where a host starts only so many at once, within 5 s of
        its turn. Rejected: the command cannot be run at all.
        Crashing in the middle and starting the same id again never leaves two.
        """
        ...

    async def stop(self, instance_id: str, grace_s: float) -> None:
        """Send the stop signal, wait up to `grace_s`, then kill the whole group. Returns when it is gone.

        What is absent or has ended is success.
        """
        ...

    async def observe(self, instance_id: str) -> Observation | None:
        """Return what is seen of one instance; None if this runtime never started it or has forgotten it."""
        ...

    async def list_all(self) -> tuple[Observation, ...]:
        """Return every instance that was started and not forgotten, ended ones included. Complete, or an error."""
        ...

    async def check(self, instance_id: str) -> str:
        """Run the health check once; return "" if healthy, else what is wrong in a few words. Bounded by its time-out.

        Without a health check a running instance is healthy. Unreachable where a failure may be the way's, not its.
        """
        ...

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that the instance wrote; empty if there are none."""
        ...

    async def forget(self, instance_id: str) -> None:
        """Drop the record of an ended instance (its log stays readable until the runtime rotates it away)."""
        ...


@dataclass(frozen=True, slots=True)
class HostEngine:
    """A host of the ledger, as a runtime needs it."""

    host_id: str
    engine: str
    """URL of its container engine, see `Host.engine`."""
    address: str
    """Where its instances are reached from the balancer."""
    site: str = ""


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether the engine of a host answers, and since when it does or does not."""

    answers: bool
    since: float
    words: str = ""
    """What was wrong when it was last asked."""


class Runtimes(Protocol):
    """The runtimes of all hosts."""

    def abilities(self) -> RuntimeAbilities:
        """Return what can be enforced on every host."""
        ...

    def of(self, host_id: str) -> Runtime:
        """Return the runtime of a host. One that was never attached raises Unreachable from every verb."""
        ...

    def each(self) -> tuple[tuple[str, Runtime], ...]:
        """Return every runtime once, with its host's id ("" where one runtime serves all hosts of this machine)."""
        ...

    async def attach(self, hosts: tuple[HostEngine, ...]) -> None:
        """Keep sessions with exactly these hosts. Idempotent, returns at once: sessions are opened behind it."""
        ...

    def engines(self) -> Mapping[str, EngineState]:
        """Return the state of every attached engine that was asked at least once; empty where there are none."""
        ...


class OneRuntime:
    """`Runtimes` of a runtime that serves every host itself, because all are slices of this machine."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def abilities(self) -> RuntimeAbilities:
        return self.runtime.abilities()

    def of(self, host_id: str) -> Runtime:
        return self.runtime

    def each(self) -> tuple[tuple[str, Runtime], ...]:
        return (("", self.runtime),)

    async def attach(self, hosts: tuple[HostEngine, ...]) -> None:
        """No sessions are needed."""

    def engines(self) -> Mapping[str, EngineState]:
        return {}


@dataclass(frozen=True, slots=True)
class HostImage:
    """An image that a host has: its references with digest (`name@sha256:...`), and its size unpacked."""

    references: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PullOrder:
    """Bring `image` (`name@sha256:...` of the one registry name) to a host, from `registry` (`address:port`)."""

    image: str
    registry: str = ""
    """Where to pull from: a mirror or a site's own copy; empty: as the image's name says."""
    username: str = ""
    password: Secret = Secret("")
    insecure: bool = False
    """`registry` speaks plain HTTP; the engine must have been told to accept that."""


@runtime_checkable
class ImageRuntime(Protocol):
    """A runtime whose host must have the image before an instance starts. Not every runtime has images."""

    async def images(self) -> tuple[HostImage, ...]:
        """Return every image that the host has."""
        ...

    async def pull(self, order: PullOrder) -> int:
        """Bring the image there and return the bytes that were transferred. One that is there costs nothing.

        Afterwards `StartOrder.image` equal to `order.image` starts from it. Rejected with a stable word in its
        message: `image-missing`, `wrong-digest`, `denied`. DriverError: `disk-full`, `registry-down`, all else.
        """
        ...

    async def remove_image(self, image: str) -> None:
        """Drop it from the host. What is absent or in use is success."""
        ...
