"""When machines will be taken away, as far as the API tells it.

Two calls for the whole account, every few seconds at most. Where they fail the last answer holds: a notice is no part
of the listing. A recommendation to rebalance, and the second of a spot machine's end, EC2 tells only inside the machine
and to its event bus; here a spot machine's end is taken as two minutes after its request's status changed.
"""

from collections.abc import Iterable

import structlog

from dcp.drivers.clouds.ec2.api import Ec2, Instance, Notice
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

log = structlog.get_logger("dcp")

SPOT_NOTICE_S = 120.0
SPOT_EVERY_S = 5.0
EVENTS_EVERY_S = 60.0
"""Retirements are told days before."""


class Notices:
    """What was last told of one account's machines."""

    def __init__(self, ec2: Ec2, clock: Clock, name: str) -> None:
        self._ec2 = ec2
        self._clock = clock
        self._name = name
        self._spot: dict[str, Notice] = {}
        self._events: dict[str, Notice] = {}
        self._spot_at = self._events_at = float("-inf")
        self._silent: set[str] = set()

    async def look(self, machines: Iterable[Instance]) -> None:
        """Ask again where it is time to; nothing is asked for where there is no machine."""
        running = [one for one in machines if one.state == "running"]
        now = self._clock.now()
        if any(one.spot for one in running) and now - self._spot_at >= SPOT_EVERY_S:
            self._spot_at = now
            await self._ask_spot()
        if running and now - self._events_at >= EVENTS_EVERY_S:
            self._events_at = now
            await self._ask_events()

    def of(self, machine: Instance) -> Notice | None:
        """Return the first notice of a machine that runs."""
        if machine.state != "running":
            return None
        found = [one for one in (self._spot.get(machine.id), self._events.get(machine.id)) if one is not None]
        return min(found, key=lambda one: one.at, default=None)

    async def _ask_spot(self) -> None:
        try:
            found = await self._ec2.interruptions()
        except DriverError as error:
            self._warn("interruptions", error)
            return
        self._silent.discard("interruptions")
        self._spot = {one.instance: Notice(one.instance, one.code, one.at + SPOT_NOTICE_S, one.words) for one in found}

    async def _ask_events(self) -> None:
        try:
            found = await self._ec2.events()
        except DriverError as error:
            self._warn("events", error)
            return
        self._silent.discard("events")
        self._events = {one.instance: one for one in sorted(found, key=lambda one: -one.at)}

    def _warn(self, what: str, error: DriverError) -> None:
        if what not in self._silent:
            log.warning("notices cannot be read", source=self._name, what=what, error=str(error))
        self._silent.add(what)
