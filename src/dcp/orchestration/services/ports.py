"""What dcp asks of a runtime: the engine that starts and stops instances on hosts."""

from dataclasses import dataclass
from typing import Protocol

from dcp.orchestration.services.model import Observation, StartOrder


@dataclass(frozen=True, slots=True)
class RuntimeAbilities:
    """What this runtime can enforce on this machine. `why_not` says in words what is missing, "" if nothing is."""

    cpu_limit: bool
    memory_limit: bool
    why_not: str = ""


class Runtime(Protocol):
    """Starts, watches and stops instances. Every call may raise DriverError; identifiers are ours.

    What was started outlives the controller: a runtime made anew over the same state finds every instance again.
    """

    def abilities(self) -> RuntimeAbilities:
        """Return what can be enforced here."""
        ...

    async def start(self, order: StartOrder) -> Observation:
        """Start the instance once. Starting an id that was ever started changes nothing and returns what is seen.

        Returns within 5 s, before the instance is healthy. Rejected: the command cannot be run at all.
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

        Without a health check a running instance is healthy.
        """
        ...

    async def logs(self, instance_id: str, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that the instance wrote; empty if there are none."""
        ...

    async def forget(self, instance_id: str) -> None:
        """Drop the record of an ended instance (its log stays readable until the runtime rotates it away)."""
        ...
