"""What `ec2` makes of answers that are lost, late, partial or refused; over HTTP against a moto server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sources import LARGE, SMALL
from test_sources import SteppedClock

from dcp.drivers.clouds.ec2 import Ec2StoppingSource, make
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import Billing, HostOrder, SourceHostState
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled
from ec2_cloud import AMI, REGION, Ec2Cloud, ec2_account, make_stranger
from moto_server import reset

pytestmark = pytest.mark.xdist_group("moto")

ZONE = f"{REGION}a"
SPOT = replace(SMALL, name="spot", billing=Billing.SPOT)
TEMPLATE = Template(
    name="east",
    owner="dcp-test",
    image=AMI,
    types=(MachineType(SMALL, "t3.small"), MachineType(LARGE, "m5.large"), MachineType(SPOT, "t3.medium")),
    places=(Place("a", ZONE), Place("b", f"{REGION}b")),
    batch=100,
)


class World:
    """One cloud, one source."""

    def __init__(self, cloud: Ec2Cloud, folder: Path, clock: SteppedClock) -> None:
        self.cloud = cloud
        self.clock = clock
        self._folder = folder
        self.sources: list[Ec2StoppingSource] = []
        self.source = self.again()

    def again(self, **changes: Any) -> Ec2StoppingSource:
        account = ec2_account(self.cloud.url, self._folder, stopping=True)
        made = make(replace(TEMPLATE, **changes), account, self.clock)
        assert isinstance(made, Ec2StoppingSource)
        self.sources.append(made)
        return made

    async def listed(self) -> dict[str, SourceHostState]:
        return {host.host_id: host.state for host in await self.source.list_all()}


@pytest.fixture
async def world(moto_url: str, tmp_path: Path) -> AsyncIterator[World]:
    reset(moto_url)
    async with Ec2Cloud(moto_url, {(f"{REGION}b", "t3.small"): 7}) as cloud:
        made = World(cloud, tmp_path, SteppedClock())
        yield made
        for source in made.sources:
            await source.aclose()


def call(count: int, *, type_name: str = "small", variant: str = "a", token: str = "t-1") -> tuple[HostOrder, ...]:
    return tuple(HostOrder(f"east-{n}", type_name, variant, token) for n in range(1, count + 1))


def names(count: int) -> set[str]:
    return {order.host_id for order in call(count)}


async def test_a_hundred_machines_are_one_call_and_each_is_one_host(world: World) -> None:
    assert await world.source.create(call(100)) == {}
    assert set(await world.listed()) == names(100)
    assert world.cloud.calls["RunInstances"] == 1


async def test_what_a_zone_has_left_is_made_and_the_rest_is_out_of_stock(world: World) -> None:
    refused = await world.source.create(call(10, variant="b"))
    assert set(await world.listed()) == names(7)
    assert set(refused) == names(10) - names(7)
    assert {type(error) for error in refused.values()} == {OutOfStock}


async def test_a_lost_answer_is_asked_for_again_while_the_listing_lags_and_makes_nothing_twice(world: World) -> None:
    world.cloud.lag_s = 3600.0
    world.cloud.lost_answers = lambda action: action == "RunInstances" and world.cloud.calls[action] == 1
    with pytest.raises(DriverError) as caught:
        await world.source.create(call(10, variant="b"))
    assert type(caught.value) is DriverError
    assert await world.listed() == {}
    refused = await world.again().create(call(10, variant="b"))
    assert set(refused) == names(10) - names(7)
    assert (len(world.cloud.launched), world.cloud.repeated) == (7, 1)


async def test_a_repeated_call_with_other_settings_makes_nothing(world: World) -> None:
    """The image was changed between a lost answer and its repetition."""
    world.cloud.lost_answers = lambda action: action == "RunInstances"
    with pytest.raises(DriverError):
        await world.source.create(call(9, variant="b"))
    world.cloud.lost_answers = lambda _: False
    refused = await world.again(image="ami-00000000000000002").create(call(9, variant="b"))
    assert set(refused) == names(9) - names(7)
    assert len(world.cloud.launched) == 7


async def test_a_call_whose_machines_are_gone_is_over(world: World) -> None:
    assert await world.source.create(call(2)) == {}
    assert await world.source.delete(("east-1", "east-2")) == {}
    refused = await world.source.create(call(2))
    assert {type(error) for error in refused.values()} == {OutOfStock}
    assert await world.listed() == {}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, OutOfStock),
        ("VcpuLimitExceeded", 400, QuotaReached),
        ("RequestLimitExceeded", 503, Throttled),
        ("UnauthorizedOperation", 403, AccessDenied),
        ("InvalidParameterValue", 400, Rejected),
        ("InternalError", 500, DriverError),
    ],
)
async def test_a_refusal_is_asked_only_once_by_the_driver(
    world: World, code: str, status: int, kind: type[DriverError]
) -> None:
    world.cloud.answer("RunInstances", code, status=status)
    with pytest.raises(DriverError) as caught:
        await world.source.create(call(2))
    assert type(caught.value) is kind
    assert world.cloud.calls["RunInstances"] == 1


async def test_all_pages_are_listed_and_a_page_that_fails_is_no_listing(world: World) -> None:
    """moto counts the launches on a page, where EC2 counts machines."""
    for order in call(9):
        await world.source.create((replace(order, token=order.host_id),))
    world.cloud.page = 2
    world.cloud.calls.clear()
    assert set(await world.listed()) == names(9)
    assert world.cloud.calls["DescribeInstances"] == 5
    world.cloud.throttled = lambda action: world.cloud.calls[action] == 8
    with pytest.raises(Throttled):
        await world.source.list_all()


async def test_machines_that_are_absent_do_not_keep_the_others(world: World, moto_url: str) -> None:
    await world.source.create(call(5))
    await world.source.list_all()
    await world.again().delete(("east-2",))
    words = f"The instance IDs '{world.cloud.launched[1]}' do not exist"
    world.cloud.answer("TerminateInstances", "InvalidInstanceID.NotFound", words=words)
    assert await world.source.delete(tuple(sorted(names(5)))) == {}
    assert await world.listed() == {}
    assert world.cloud.calls["TerminateInstances"] == 3


async def test_one_machine_that_cannot_be_ended_does_not_keep_the_others(world: World) -> None:
    await world.source.create(call(3))
    for _ in range(2):
        world.cloud.answer("TerminateInstances", "OperationNotPermitted", words="it is protected")
    refused = await world.source.delete(("east-1", "east-2", "east-3"))
    assert list(refused) == ["east-1"]
    assert set(await world.listed()) == {"east-1"}


async def test_a_throttled_deletion_is_not_split(world: World) -> None:
    await world.source.create(call(3))
    world.cloud.answer("TerminateInstances", "RequestLimitExceeded", status=503)
    refused = await world.source.delete(("east-1", "east-2", "east-3"))
    assert {type(error) for error in refused.values()} == {Throttled}
    assert world.cloud.calls["TerminateInstances"] == 1


async def test_room_that_is_gone_is_told_for_each_host_that_is_switched_on(world: World) -> None:
    await world.source.create(call(2))
    assert await world.source.stop(("east-1", "east-2")) == {}
    assert set((await world.listed()).values()) == {SourceHostState.STOPPED}
    for _ in range(2):
        world.cloud.answer("StartInstances", "InsufficientInstanceCapacity", status=500)
    refused = await world.source.start(("east-1", "east-2"))
    assert {name: type(error) for name, error in refused.items()} == {"east-1": OutOfStock}


async def test_a_machine_of_another_source_is_not_ours_and_one_of_nobody_is(world: World, moto_url: str) -> None:
    other = world.again(name="west")
    await other.create(call(1, token="t-9"))
    assert await world.listed() == {}
    assert len(await other.list_all()) == 1
    stranger = make_stranger(moto_url, TEMPLATE.owner, AMI)
    assert await world.listed() == {stranger: SourceHostState.RUNNING}
    assert await world.source.delete((stranger,)) == {}
    assert await world.listed() == {}


async def test_spot_machines_are_asked_for_once_and_leave_two_minutes_after_their_notice(world: World) -> None:
    assert await world.source.create(call(2, type_name="spot")) == {}
    first, _ = world.cloud.launched
    assert ("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time") in world.cloud.last_launch
    world.cloud.say("DescribeSpotInstanceRequests", _spot_notice(first, "2026-03-01T10:00:00.000Z"))
    noted = {host.host_id: host for host in await world.source.list_all()}
    assert noted["east-1"].leave_by == 1_772_359_200 + 120
    assert "instance-terminated-no-capacity" in noted["east-1"].leave_words
    assert noted["east-2"].leave_by is None


async def test_spot_machines_cost_what_the_cloud_says_and_before_that_what_the_settings_say(world: World) -> None:
    world.cloud.answer("DescribeSpotPriceHistory", "UnauthorizedOperation", status=403)
    assert await _spot_places(world) == {"a": None, "b": None}
    await world.clock.sleep(600.0)
    world.cloud.calls.clear()
    prices = _price("0.0041", 9) + _price("0.0077", 8)
    world.cloud.say("DescribeSpotPriceHistory", f"<spotPriceHistorySet>{prices}</spotPriceHistorySet>")
    assert await _spot_places(world) == {"a": 0.0041, "b": None}
    await world.source.create(call(1, type_name="spot"))
    (host,) = await world.source.list_all()
    assert host.price_usd_per_hour == 0.0041
    assert world.cloud.calls["DescribeSpotPriceHistory"] == 1


async def test_a_retirement_is_told_and_one_that_is_over_is_not(world: World) -> None:
    await world.source.create(call(2))
    first, second = world.cloud.launched
    world.cloud.say("DescribeInstanceStatus", _statuses(first, second))
    noted = {host.host_id: host.leave_by for host in await world.source.list_all()}
    assert noted == {"east-1": 1_772_359_200, "east-2": None}


async def test_notices_that_cannot_be_read_do_not_spoil_the_listing(world: World) -> None:
    await world.source.create(call(2))
    world.cloud.answer("DescribeInstanceStatus", "UnauthorizedOperation", status=403)
    assert set(await world.listed()) == names(2)


async def _spot_places(world: World) -> dict[str, float | None]:
    (offer,) = [one for one in await world.source.offers() if one.host_type.name == "spot"]
    return {one.key: one.price_usd_per_hour for one in offer.variants}


def _price(price: str, hour: int) -> str:
    where = f"<instanceType>t3.medium</instanceType><availabilityZone>{ZONE}</availabilityZone>"
    when = f"<timestamp>2026-03-01T0{hour}:00:00.000Z</timestamp>"
    return f"<item>{where}<spotPrice>{price}</spotPrice>{when}</item>"


def _spot_notice(instance: str, at: str) -> str:
    status = f"<code>instance-terminated-no-capacity</code><updateTime>{at}</updateTime><message>no room</message>"
    item = f"<item><instanceId>{instance}</instanceId><status>{status}</status></item>"
    return f"<spotInstanceRequestSet>{item}</spotInstanceRequestSet>"


def _statuses(first: str, second: str) -> str:
    found = _event(first, "retired") + _event(second, "[Completed] retired")
    return f"<instanceStatusSet>{found}</instanceStatusSet>"


def _event(instance: str, words: str) -> str:
    event = f"<code>instance-retirement</code><description>{words}</description>"
    event = f"<item>{event}<notBefore>2026-03-01T10:00:00.000Z</notBefore></item>"
    return f"<item><instanceId>{instance}</instanceId><eventsSet>{event}</eventsSet></item>"
