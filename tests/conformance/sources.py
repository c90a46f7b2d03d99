"""What every source of hosts promises, as named cases. A rig joins a driver to them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

import pytest

from ask_source import ask, give_back
from dcp.hosts.model import HostOrder, HostType, Resources, SourceHost, SourceHostState
from dcp.hosts.ports import HostSource, StoppingSource
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, OutOfStock, Rejected

SMALL = HostType("small", Resources(1000, 1 << 30), labels=(("disk", "ssd"),), boot_s=20.0)
LARGE = HostType("large", Resources(4000, 4 << 30), price_usd_per_hour=0.2, boot_s=40.0)
SMALL_STOCK, LARGE_STOCK = 3, 1
PATIENCE_S = 120.0


class Rig(Protocol):
    """A source that has SMALL_STOCK small and LARGE_STOCK large hosts."""

    source: HostSource
    clock: Clock
    counts_stock: bool
    """Whether its offers say how many are left. Most clouds do not."""

    def again(self) -> HostSource:
        """Return what a restarted controller would use: a new object over the same state."""
        ...


Case = Callable[[Rig], Coroutine[Any, Any, None]]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


@case
async def a_created_host_is_listed_and_runs_after_its_boot(rig: Rig) -> None:
    await ask(rig.source, "h-1", "small")
    (first,) = await rig.source.list_all()
    assert (first.host_id, first.type_name) == ("h-1", "small")
    running = await _until_running(rig, "h-1")
    assert running.address
    assert running.labels == SMALL.labels


@case
async def offers_name_every_type_in_order_with_what_is_left(rig: Rig) -> None:
    await _check_available(rig, rig.source, small=SMALL_STOCK, large=LARGE_STOCK)
    await ask(rig.source, "h-1", "small")
    offers = await rig.source.offers()
    assert [offer.host_type for offer in offers] == [SMALL, LARGE]
    assert {(offer.source, offer.kind) for offer in offers} == {(rig.source.name, rig.source.kind)}
    await _check_available(rig, rig.source, small=SMALL_STOCK - 1, large=LARGE_STOCK)


@case
async def create_is_idempotent(rig: Rig) -> None:
    for source in (rig.source, rig.source, rig.again()):
        await ask(source, "h-1", "small")
    assert len(await rig.source.list_all()) == 1
    await _until_running(rig, "h-1")
    await ask(rig.source, "h-1", "small")
    await ask(rig.source, "h-1", "large")
    (host,) = await rig.source.list_all()
    assert (host.type_name, host.state) == ("small", SourceHostState.RUNNING)


@case
async def racing_creations_of_one_id_give_one(rig: Rig) -> None:
    sources = [rig.source, rig.again(), rig.again(), rig.source]
    await asyncio.gather(*(ask(source, "h-1", "small") for source in sources))
    assert len(await rig.source.list_all()) == 1
    await _check_available(rig, rig.source, small=SMALL_STOCK - 1)


@case
async def listing_is_complete(rig: Rig) -> None:
    names = {f"h-{n}" for n in range(SMALL_STOCK)}
    for name in names:
        await ask(rig.source, name, "small")
    await ask(rig.source, "big", "large")
    assert {host.host_id for host in await rig.source.list_all()} == names | {"big"}


@case
async def running_out_is_told_and_giving_back_helps(rig: Rig) -> None:
    await ask(rig.source, "h-1", "large")
    with pytest.raises(OutOfStock):
        await ask(rig.source, "h-2", "large")
    await _check_available(rig, rig.source, large=0)
    assert {host.host_id for host in await rig.source.list_all()} == {"h-1"}
    await give_back(rig.source, "h-1")
    await _until_gone(rig, "h-1")
    await ask(rig.source, "h-2", "large")
    assert {host.host_id for host in await rig.source.list_all()} == {"h-2"}


@case
async def racing_for_the_last_one_gives_it_to_one(rig: Rig) -> None:
    sources = [rig.source, rig.again()]
    results = await asyncio.gather(
        *(ask(source, f"h-{n}", "large") for n, source in enumerate(sources)), return_exceptions=True
    )
    assert sum(isinstance(result, OutOfStock) for result in results) == 1
    assert len(await rig.source.list_all()) == 1


@case
async def deleting_what_is_absent_is_success(rig: Rig) -> None:
    await give_back(rig.source, "never")
    await ask(rig.source, "h-1", "small")
    for source in (rig.source, rig.again()):
        await give_back(source, "h-1")
    await _until_gone(rig, "h-1")
    await give_back(rig.source, "h-1")
    await _check_available(rig, rig.source, small=SMALL_STOCK, large=LARGE_STOCK)


@case
async def an_unknown_type_is_rejected(rig: Rig) -> None:
    with pytest.raises(Rejected):
        await ask(rig.source, "h-1", "no-such-type")
    assert await rig.source.list_all() == ()


@case
async def a_new_object_knows_every_host(rig: Rig) -> None:
    await ask(rig.source, "h-1", "small")
    await ask(rig.source, "h-2", "large")
    heir = rig.again()
    assert await heir.list_all() == await rig.source.list_all()
    await _check_available(rig, heir, small=SMALL_STOCK - 1, large=0)
    await give_back(heir, "h-1")
    await _until_gone(rig, "h-1")


@case
async def several_hosts_are_made_in_one_call_and_a_repeated_call_makes_none_again(rig: Rig) -> None:
    call = await _orders(rig, "small", *(f"h-{n}" for n in range(min(SMALL_STOCK, rig.source.limits.batch))))
    for source in (rig.source, rig.source, rig.again()):
        assert await source.create(call) == {}
    assert {host.host_id for host in await rig.source.list_all()} == {order.host_id for order in call}


@case
async def a_call_gives_what_there_is_and_refuses_the_rest(rig: Rig) -> None:
    wanted = [f"h-{n}" for n in range(SMALL_STOCK + 1)]
    refused: dict[str, DriverError] = {}
    size = rig.source.limits.batch
    for first in range(0, len(wanted), size):
        call = await _orders(rig, "small", *wanted[first : first + size])
        try:
            refused |= await rig.source.create(call)
        except OutOfStock as error:
            refused |= {order.host_id: error for order in call}
    listed = {host.host_id for host in await rig.source.list_all() if host.refusal is None}
    assert listed == set(wanted) - set(refused)
    assert all(isinstance(error, OutOfStock) for error in refused.values())
    assert 0 < len(listed) <= SMALL_STOCK


@case
async def a_repeated_call_does_not_make_what_is_only_carried(rig: Rig) -> None:
    call = await _orders(rig, "small", *(f"h-{n}" for n in range(min(2, rig.source.limits.batch))))
    await rig.source.create(call)
    await _until_running(rig, call[0].host_id)
    await give_back(rig.source, call[0].host_id)
    await _until_gone(rig, call[0].host_id)
    for source in (rig.source, rig.again()):
        assert await source.create((replace(call[0], carried=True), *call[1:])) == {}
    assert {host.host_id for host in await rig.source.list_all()} == {order.host_id for order in call[1:]}


@case
async def several_are_given_back_in_one_call(rig: Rig) -> None:
    names = tuple(f"h-{n}" for n in range(min(2, rig.source.limits.batch)))
    await rig.source.create(await _orders(rig, "small", *names))
    assert await rig.source.delete((*names, "never")[: max(1, rig.source.limits.batch)]) == {}
    for name in names:
        await _until_gone(rig, name)


@case
async def what_can_be_switched_off_is_kept_and_comes_back(rig: Rig) -> None:
    source = rig.source
    if not source.limits.can_stop:
        return
    assert isinstance(source, StoppingSource)
    await ask(source, "h-1", "small")
    await _until_running(rig, "h-1")
    for _ in range(2):
        assert await source.stop(("h-1",)) == {}
    await _until_state(rig, "h-1", SourceHostState.STOPPED)
    for _ in range(2):
        assert await source.start(("h-1",)) == {}
    await _until_running(rig, "h-1")
    assert len(await source.list_all()) == 1


async def _orders(rig: Rig, type_name: str, *host_ids: str) -> tuple[HostOrder, ...]:
    """Return the orders of one call, in the first place where the type is offered."""
    (offer,) = [offer for offer in await rig.source.offers() if offer.host_type.name == type_name]
    token = f"call-{'-'.join(host_ids)}"
    return tuple(HostOrder(host_id, type_name, offer.variants[0].key, token) for host_id in host_ids)


async def _check_available(rig: Rig, source: HostSource, **expected: int) -> None:
    offers = {offer.host_type.name: offer.available for offer in await source.offers()}
    assert set(expected) <= set(offers)
    if rig.counts_stock:
        assert {name: offers[name] for name in expected} == expected


async def _until_running(rig: Rig, host_id: str) -> SourceHost:
    return await _until_state(rig, host_id, SourceHostState.RUNNING)


async def _until_state(rig: Rig, host_id: str, state: SourceHostState) -> SourceHost:
    give_up_at = rig.clock.now() + PATIENCE_S
    while True:
        for host in await rig.source.list_all():
            if host.host_id == host_id and host.state == state:
                return host
        assert rig.clock.now() < give_up_at, f"{host_id} is never {state}"
        await rig.clock.sleep(1.0)


async def _until_gone(rig: Rig, host_id: str) -> None:
    give_up_at = rig.clock.now() + PATIENCE_S
    while host_id in {host.host_id for host in await rig.source.list_all()}:
        assert rig.clock.now() < give_up_at, f"{host_id} is never gone"
        await rig.clock.sleep(1.0)
