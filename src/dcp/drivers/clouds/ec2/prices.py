"""What spot machines cost now, by machine and zone: one call every few minutes; where it fails the last prices hold."""

from collections.abc import Mapping
from dataclasses import replace

import structlog

from dcp.drivers.clouds.ec2.api import Ec2, Instance
from dcp.drivers.clouds.template import Template
from dcp.hosts.model import Billing, Offer
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

log = structlog.get_logger("dcp")

EVERY_S = 300.0
"""Amazon changes spot prices slowly."""


class SpotPrices:
    """The last prices of one account's spot machines. Without any, the settings' prices hold."""

    def __init__(self, ec2: Ec2, clock: Clock, template: Template) -> None:
        self._ec2 = ec2
        self._clock = clock
        self._name = template.name
        self._machines = {
            one.host_type.name: one.machine for one in template.types if one.host_type.billing == Billing.SPOT
        }
        self._zones = {place.name: place.zone for place in template.places}
        self._prices: Mapping[tuple[str, str], float] = {}
        self._asked_at = float("-inf")

    async def look(self) -> None:
        """Ask again where it is time to."""
        now = self._clock.now()
        if not self._machines or now - self._asked_at < EVERY_S:
            return
        self._asked_at = now
        try:
            self._prices = await self._ec2.spot_prices(sorted(set(self._machines.values())), now)
        except DriverError as error:
            log.warning("spot prices cannot be read", source=self._name, error=str(error))

    def of(self, type_name: str, machine: Instance) -> float | None:
        """Return what a machine costs now; None: as its type says."""
        return self._prices.get((self._machines[type_name], machine.zone)) if type_name in self._machines else None

    def applied(self, offer: Offer) -> Offer:
        """Return the offer with the price of each place. A place whose zone is not told keeps the settings' price."""
        machine = self._machines.get(offer.host_type.name)
        if machine is None:
            return offer
        found = {one.key: self._prices.get((machine, self._zones.get(one.key, ""))) for one in offer.variants}
        return replace(
            offer,
            variants=tuple(
                one if (price := found[one.key]) is None else replace(one, price_usd_per_hour=price)
                for one in offer.variants
            ),
        )
