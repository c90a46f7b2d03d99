"""A source whose hosts are ours only at certain hours: nothing is offered outside them, and every host has notice."""

from dataclasses import replace
from typing import Any

from dcp.hosts.loans import Loan
from dcp.hosts.model import HostOrder, Offer, SourceHost
from dcp.hosts.ports import HostSource, Refusals
from dcp.kernel.clock import Clock
from dcp.kernel.errors import OutOfStock


class LentSource:
    """Another source, within the hours of a loan."""

    def __init__(self, inner: HostSource, loan: Loan, clock: Clock) -> None:
        self.name, self.kind, self.limits = inner.name, inner.kind, inner.limits
        self.delete = inner.delete
        self._inner = inner
        self._loan = loan
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        """What only some sources can: stop, start, aclose."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    async def offers(self) -> tuple[Offer, ...]:
        offers = await self._inner.offers()
        return offers if self._is_open() else tuple(replace(offer, available=0) for offer in offers)

    async def create(self, orders: tuple[HostOrder, ...]) -> Refusals:
        if self._is_open():
            return await self._inner.create(orders)
        words = f"{self.name}: its hosts are not lent at this hour"
        there = {one.host_id for one in await self._inner.list_all()}
        return {order.host_id: OutOfStock(words) for order in orders if order.host_id not in there}

    async def list_all(self) -> tuple[SourceHost, ...]:
        """Return every host; those that have to be given back soon with the time and the reason."""
        listed = await self._inner.list_all()
        now, until = self._clock.now(), self._until()
        if until - now > self._loan.notice_s:
            return listed
        return tuple(
            replace(one, leave_by=until, leave_words="its loan ends")
            if one.leave_by is None or one.leave_by > until
            else one
            for one in listed
        )

    def _is_open(self) -> bool:
        return self._until() - self._clock.now() > self._loan.notice_s

    def _until(self) -> float:
        now = self._clock.now()
        until = self._loan.lent_until(now)
        return now if until is None else until
