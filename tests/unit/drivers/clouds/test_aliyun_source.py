"""Source `aliyun` against an ECS of these tests: batches, client tokens, pages, refusals, notices, economical mode."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_server import MovingClock
from dcp.drivers.clouds.aliyun import AliyunSource, AliyunStoppingSource, make
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import Billing, HostOrder, HostType, Resources, SourceHostState
from dcp.hosts.ports import StoppingSource
from dcp.kernel.errors import AccessDenied, DriverError, InvalidInput, OutOfStock, QuotaReached, Rejected, Throttled
from fake_aliyun import FakeAliyun, aliyun_account

SMALL = HostType("small", Resources(1000, 1 << 30), labels=(("site", "hz"),))
SPOT = HostType("spot", Resources(1000, 1 << 30), billing=Billing.SPOT)
PLACES = (Place("b", "cn-test-b", "vsw-b", ("sg-1", "sg-2")), Place("c", "cn-test-c", "vsw-c", ("sg-3",)))
TYPES = (MachineType(SMALL, "s-1"), MachineType(SPOT, "s-1"))


def orders(count: int, *, type_name: str = "small", token: str = "call-1") -> tuple[HostOrder, ...]:
    return tuple(HostOrder(f"ali-{n}", type_name, "c", token) for n in range(count))


@pytest.fixture
async def cloud() -> AsyncIterator[FakeAliyun]:
    async with FakeAliyun(MovingClock(), {"s-1": 500}) as server:
        server.delete_s = 0.0
        yield server


@pytest.fixture
async def source(cloud: FakeAliyun, tmp_path: Path) -> AsyncIterator[AliyunStoppingSource]:
    template = Template("ali", "dcp-t", "img-1", TYPES, PLACES, key="k", engine="ssh://root@{address}", batch=100)
    made = make(template, aliyun_account(cloud, tmp_path, stopping=True, public_bandwidth_mbit=5), cloud.clock)
    assert isinstance(made, AliyunStoppingSource)
    yield made
    await made.aclose()


async def test_one_call_makes_a_hundred_each_with_its_own_name(cloud: FakeAliyun, source: AliyunSource) -> None:
    assert await source.create(orders(100)) == {}
    assert cloud.requests.count("create") == 1
    assert {one.host_id for one in await source.list_all()} == {f"ali-{n}" for n in range(100)}
    asked = cloud.present()[0].details["asked"]
    told = ("ZoneId", "VSwitchId", "SecurityGroupIds.1", "KeyPairName", "ImageId", "SpotStrategy", "MinAmount")
    assert [asked[key] for key in told] == ["cn-test-c", "vsw-c", "sg-3", "k", "img-1", "NoSpot", "1"]


async def test_what_is_left_is_taken_and_the_rest_refused_by_host(cloud: FakeAliyun, source: AliyunSource) -> None:
    cloud.stock["s-1"] = 7
    refusals = await source.create(orders(10))
    assert {type(error) for error in refusals.values()} == {OutOfStock}
    there = {one.host_id for one in await source.list_all()}
    assert (len(there), len(refusals)) == (7, 3)
    assert there | set(refusals) == {f"ali-{n}" for n in range(10)}


@pytest.mark.parametrize("stock", [5, 500])
async def test_a_call_that_was_done_but_not_answered_is_repeated_without_a_second_machine(
    cloud: FakeAliyun, source: AliyunSource, stock: int
) -> None:
    cloud.stock["s-1"] = stock
    cloud.silent_creations = 1
    with pytest.raises(DriverError):
        await source.create(orders(10))
    refusals = await source.create(orders(10))
    assert len(cloud.present()) + len(refusals) == 10
    assert len(cloud.present()) == min(stock, 10)


async def test_all_pages_are_read_and_those_of_others_left_out(cloud: FakeAliyun, source: AliyunSource) -> None:
    for call in range(3):
        names = tuple(HostOrder(f"ali-{call}-{n}", "small", "b", f"call-{call}") for n in range(100))
        assert await source.create(names) == {}
    cloud.add("ali-0-1", "s-1", tags={"dcp-owner": "another", "dcp-source": "ali"})
    assert len(await source.list_all()) == 300


async def test_an_empty_list_for_want_of_rights_is_an_error(cloud: FakeAliyun, source: AliyunSource) -> None:
    assert await source.list_all() == ()
    await source.create(orders(1))
    cloud.may_look = False
    with pytest.raises(AccessDenied, match=r"Forbidden\.RAM"):
        await source.list_all()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("OperationDenied.NoStock", 403, OutOfStock),
        ("InvalidVSwitchId.IpNotEnough", 400, OutOfStock),
        ("QuotaExceed.ElasticQuota", 403, QuotaReached),
        ("Throttling.User", 400, Throttled),
        ("Forbidden.RAM", 403, AccessDenied),
        ("InvalidAccountStatus.NotEnoughBalance", 403, AccessDenied),
        ("InvalidImageId.NotFound", 404, Rejected),
        ("InternalError", 500, DriverError),
        ("ServiceUnavailable", 503, DriverError),
    ],
)
async def test_refusals_are_told_apart(
    cloud: FakeAliyun, source: AliyunSource, code: str, status: int, kind: type[DriverError]
) -> None:
    cloud.refuse("create", status, {"Code": code, "Message": "words", "RequestId": "r"})
    with pytest.raises(DriverError, match=code) as caught:
        await source.create(orders(2))
    assert type(caught.value) is kind


async def test_throttling_says_how_long(cloud: FakeAliyun, source: AliyunSource) -> None:
    body = {"Code": "Throttling.User", "Message": "words", "RequestId": "r"}
    cloud.refuse("list", 400, body, headers={"x-acs-retry-after": "2500"})
    with pytest.raises(Throttled) as caught:
        await source.list_all()
    assert caught.value.delay_s == 2.5


async def test_a_quota_is_told_by_the_cloud(cloud: FakeAliyun, source: AliyunSource) -> None:
    cloud.quota = 0
    with pytest.raises(QuotaReached):
        await source.create(orders(2))


async def test_one_that_cannot_be_deleted_yet_does_not_keep_the_others(cloud: FakeAliyun, source: AliyunSource) -> None:
    await source.create(orders(5))
    cloud.initialising_s = 5.0
    await cloud.clock.sleep(10.0)
    await source.create((HostOrder("ali-new", "small", "b", "call-2"),))
    refusals = await source.delete((*(f"ali-{n}" for n in range(5)), "ali-new", "never"))
    assert [(name, type(error)) for name, error in refusals.items()] == [("ali-new", DriverError)]
    assert [one.name for one in cloud.present()] == ["ali-new"]
    await cloud.clock.sleep(10.0)
    assert await source.delete(("ali-new",)) == {}
    assert cloud.present() == []


async def test_a_deletion_takes_a_hundred_at_once(cloud: FakeAliyun, source: AliyunSource) -> None:
    for call in range(2):
        await source.create(tuple(HostOrder(f"ali-{call}-{n}", "small", "b", f"c-{call}") for n in range(80)))
    assert await source.delete(tuple(one.host_id for one in await source.list_all())) == {}
    assert (cloud.present(), cloud.requests.count("delete")) == ([], 2)


async def test_a_spot_machine_that_is_locked_has_to_be_left(cloud: FakeAliyun, source: AliyunSource) -> None:
    await source.create(orders(2, type_name="spot"))
    assert cloud.present()[0].details["asked"]["SpotStrategy"] == "SpotAsPriceGo"
    cloud.lock("ali-1")
    noticed_at = cloud.clock.now()
    for _ in range(2):
        first, second = sorted(await source.list_all(), key=lambda one: one.host_id)
        assert first.leave_by is None
        assert second.leave_by == pytest.approx(noticed_at + 240, abs=5)
        assert "locked" in second.leave_words
        await cloud.clock.sleep(3.0)


async def test_hosts_are_switched_off_in_economical_mode_and_on_again_where_there_is_room(
    cloud: FakeAliyun, source: AliyunSource
) -> None:
    assert isinstance(source, StoppingSource)
    assert source.limits.can_stop
    await source.create(orders(3))
    await cloud.clock.sleep(30.0)
    for _ in range(2):
        assert await source.stop(("ali-0", "ali-1")) == {}
    assert [one.details.get("stopped_mode") for one in cloud.present()] == ["StopCharging", "StopCharging", None]
    shown = {one.host_id: one for one in await source.list_all()}
    assert [shown[f"ali-{n}"].state for n in (0, 2)] == [SourceHostState.STOPPED, SourceHostState.RUNNING]
    assert (shown["ali-0"].address, shown["ali-2"].engine) == ("", "ssh://root@10.8.0.3")
    cloud.no_room_to_start = {"ali-1"}
    refusals = await source.start(("ali-0", "ali-1", "ali-2"))
    assert [(name, type(error)) for name, error in refusals.items()] == [("ali-1", OutOfStock)]


async def test_pages_that_are_refused_in_the_middle_are_no_listing(cloud: FakeAliyun, source: AliyunSource) -> None:
    for call in range(2):
        await source.create(tuple(HostOrder(f"ali-{call}-{n}", "small", "b", f"c-{call}") for n in range(80)))

    def throttle() -> None:
        cloud.between_pages = None
        cloud.refuse("list", 400, {"Code": "Throttling", "Message": "words", "RequestId": "r"})

    cloud.page_limit = 50
    cloud.between_pages = throttle
    with pytest.raises(Throttled):
        await source.list_all()


async def test_secrets_have_to_be_there(cloud: FakeAliyun, tmp_path: Path) -> None:
    account: Any = aliyun_account(cloud, tmp_path)
    Path(account.credentials_file).write_text("access_key_id: a")
    with pytest.raises(InvalidInput, match="lacks access_key_secret"):
        make(Template("ali", "dcp-t", "img-1", TYPES, PLACES), account, cloud.clock)
