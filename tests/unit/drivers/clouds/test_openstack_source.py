"""Source `openstack` against a Nova of these tests: batches, late refusals, quota, pages, faults, switching off."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_server import MovingClock
from dcp.drivers.clouds.account import Found, one_of_each
from dcp.drivers.clouds.openstack import OpenStackSource, make
from dcp.drivers.clouds.openstack.servers import host_of, metadata, show
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, HostType, Resources, SourceHostState
from dcp.hosts.ports import StoppingSource
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled
from fake_nova import FakeNova, openstack_account

# openstacksdk warns of its own calls.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

SMALL = HostType("small", Resources(1000, 1 << 30))
LARGE = HostType("large", Resources(4000, 4 << 30))
TYPES = (MachineType(SMALL, "s-1"), MachineType(LARGE, "l-4"))
PLACES = (Place("az1", "az1", "net-1", ("default", "web")), Place("az2", "az2"))
TEMPLATE = Template("own", "dcp-t", "image-1", TYPES, PLACES, key="k", engine="tcp://{address}:2376", batch=16)


def orders(count: int, *, token: str = "call-1", first: int = 0) -> tuple[HostOrder, ...]:
    return tuple(HostOrder(f"own-{n}", "small", "az1", token) for n in range(first, first + count))


@pytest.fixture
async def cloud() -> AsyncIterator[FakeNova]:
    async with FakeNova(MovingClock(), {"s-1": 500}) as server:
        server.delete_s = 0.0
        yield server


@pytest.fixture
async def source(cloud: FakeNova, tmp_path: Path) -> AsyncIterator[OpenStackSource]:
    made = make(TEMPLATE, openstack_account(cloud, tmp_path), cloud.clock)
    yield made
    await made.aclose()


async def ids(source: OpenStackSource) -> set[str]:
    return {one.host_id for one in await source.list_all()}


async def test_one_call_makes_many_each_known_by_its_number(cloud: FakeNova, source: OpenStackSource) -> None:
    assert await source.create(orders(16)) == {}
    assert cloud.requests.count("create") == 1
    assert await ids(source) == {f"own-{n}" for n in range(16)}
    body = cloud.present()[0].details["body"]
    assert (body["availability_zone"], body["key_name"], body["imageRef"]) == ("az1", "k", "image-1")
    assert (body["networks"], body["security_groups"]) == ([{"uuid": "net-1"}], [{"name": "default"}, {"name": "web"}])


async def test_running_hosts_show_their_address_and_engine(cloud: FakeNova, source: OpenStackSource) -> None:
    await source.create(orders(1))
    await cloud.clock.sleep(60.0)
    (shown,) = await source.list_all()
    assert (shown.state, shown.address) == (SourceHostState.RUNNING, "10.9.0.1")
    assert shown.engine == "tcp://10.9.0.1:2376"


async def test_a_call_that_finds_no_room_is_halved_and_the_rest_refused(
    cloud: FakeNova, source: OpenStackSource
) -> None:
    cloud.stock["s-1"] = 5
    refusals = await source.create(orders(16))
    assert {type(error) for error in refusals.values()} == {OutOfStock}
    assert len(await ids(source)) + len(refusals) == 16
    assert len(await ids(source)) >= 4
    assert await ids(source) == {f"own-{n}" for n in range(16)} - set(refusals)
    assert all(one.details["placed"] for one in cloud.present())


async def test_no_room_at_all_is_found_in_few_requests(cloud: FakeNova, source: OpenStackSource) -> None:
    cloud.stock["s-1"] = 0
    refusals = await source.create(orders(16))
    assert len(refusals) == 16
    assert cloud.requests.count("create") == 5
    assert cloud.present() == []


async def test_what_the_scheduler_refuses_late_is_shown_with_the_reason_and_given_back(
    cloud: FakeNova, source: OpenStackSource
) -> None:
    cloud.placing_s = 40.0
    cloud.stock["s-1"] = 0
    assert await source.create(orders(2)) == {}
    await cloud.clock.sleep(60.0)
    shown = await source.list_all()
    assert [type(one.refusal) for one in shown] == [OutOfStock, OutOfStock]
    assert await source.delete(tuple(one.host_id for one in shown)) == {}
    assert await ids(source) == set()


async def test_a_refusal_that_nobody_heard_is_told_when_the_call_is_repeated(
    cloud: FakeNova, source: OpenStackSource
) -> None:
    cloud.stock["s-1"] = 0
    cloud.placing_s = 0.0
    cloud.silent_creations = 1
    (failed,) = (await source.create(orders(1))).values()
    assert type(failed) is DriverError
    await cloud.clock.sleep(10.0)
    (refused,) = (await source.create(orders(1))).values()
    assert type(refused) is OutOfStock
    assert (cloud.present(), cloud.requests.count("create")) == ([], 1)


async def test_a_call_that_was_done_but_not_answered_is_not_done_again(
    cloud: FakeNova, source: OpenStackSource
) -> None:
    cloud.silent_creations = 1
    await source.create(orders(8))
    assert await source.create(orders(8)) == {}
    assert len(cloud.present()) == 8


async def test_quota_cuts_a_call_and_then_refuses_it(cloud: FakeNova, source: OpenStackSource) -> None:
    cloud.quota = 3
    refusals = await source.create(orders(5))
    assert [(name, type(error)) for name, error in refusals.items()] == [
        ("own-3", QuotaReached),
        ("own-4", QuotaReached),
    ]
    (refused,) = (await source.create(orders(1, token="call-2", first=3))).values()
    assert type(refused) is QuotaReached
    assert await ids(source) == {"own-0", "own-1", "own-2"}


async def test_quota_that_leaves_one_gives_it_the_plain_name(cloud: FakeNova, source: OpenStackSource) -> None:
    cloud.quota = 1
    refusals = await source.create(orders(3))
    assert set(refusals) == {"own-1", "own-2"}
    assert await ids(source) == {"own-0"}


async def test_offers_count_what_quota_leaves(cloud: FakeNova, source: OpenStackSource) -> None:
    await source.create(orders(4))
    offers = {offer.host_type.name: offer.available for offer in await source.offers()}
    assert offers == {"small": 16, "large": 4}


async def test_all_pages_are_read(cloud: FakeNova, source: OpenStackSource) -> None:
    for call in range(4):
        await source.create(orders(16, token=f"call-{call}", first=call * 16))
    cloud.page_limit = 10
    cloud.add("someone's", "s-1")
    assert len(await source.list_all()) == 64


async def test_a_listing_begins_anew_when_its_place_is_gone(cloud: FakeNova, source: OpenStackSource) -> None:
    await source.create(orders(16))
    cloud.page_limit = 10

    def vanish() -> None:
        cloud.between_pages = None
        cloud.machines.pop("m-000007")

    cloud.between_pages = vanish
    assert await ids(source) == {f"own-{n}" for n in range(16)} - {"own-6"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (403, {"forbidden": {"message": "Quota exceeded for cores: Requested 4"}}, {}, QuotaReached),
        (403, {"forbidden": {"message": "Policy doesn't allow os_compute_api:servers:create"}}, {}, AccessDenied),
        (429, {"overLimit": {"message": "This request was rate-limited."}}, {"Retry-After": "13"}, Throttled),
        (413, {"overLimit": {"message": "This request was rate-limited."}}, {"Retry-After": "13"}, Throttled),
        (400, {"badRequest": {"message": "Invalid imageRef provided."}}, {}, Rejected),
        (500, {"computeFault": {"message": "Unexpected API Error."}}, {}, DriverError),
        (503, {}, {}, DriverError),
    ],
)
async def test_refusals_are_told_apart(
    cloud: FakeNova,
    source: OpenStackSource,
    status: int,
    body: dict[str, Any],
    headers: dict[str, str],
    kind: type[DriverError],
) -> None:
    cloud.refuse("create", status, body, headers=headers)
    (refused,) = (await source.create(orders(1))).values()
    assert type(refused) is kind
    if isinstance(refused, Throttled):
        assert refused.delay_s == 13


async def test_a_wrong_password_is_denied_and_not_shown(cloud: FakeNova, tmp_path: Path) -> None:
    source = make(TEMPLATE, openstack_account(cloud, tmp_path, password="wrong-one"), cloud.clock)
    with pytest.raises(AccessDenied) as caught:
        await source.list_all()
    assert "wrong-one" not in str(caught.value)
    await source.aclose()


async def test_an_unknown_cloud_or_flavor_is_rejected(cloud: FakeNova, tmp_path: Path) -> None:
    elsewhere = make(TEMPLATE, openstack_account(cloud, tmp_path, region="Nowhere"), cloud.clock)
    with pytest.raises(Rejected, match="Region Nowhere"):
        await elsewhere.list_all()
    await elsewhere.aclose()
    unknown = Template("own", "dcp-t", "image-1", (MachineType(SMALL, "no-such"),))
    source = make(unknown, openstack_account(cloud, tmp_path), cloud.clock)
    with pytest.raises(Rejected, match="no flavor no-such"):
        await source.create((HostOrder("own-1", "small"),))
    await source.aclose()


@pytest.mark.parametrize(("how", "status"), [("shelve", "SHELVED_OFFLOADED"), ("stop", "SHUTOFF")])
async def test_hosts_are_switched_off_and_on(cloud: FakeNova, tmp_path: Path, how: str, status: str) -> None:
    source = make(TEMPLATE, openstack_account(cloud, tmp_path, switched_off=how), cloud.clock)
    assert isinstance(source, StoppingSource)
    await source.create(orders(2))
    await cloud.clock.sleep(60.0)
    assert await source.stop(("own-0", "never")) == {}
    assert [one.details.get("off") for one in cloud.present()] == [status, None]
    shown = {one.host_id: one.state for one in await source.list_all()}
    assert shown == {"own-0": SourceHostState.STOPPED, "own-1": SourceHostState.RUNNING}
    assert await source.start(("own-0", "own-1")) == {}
    assert {one.state for one in await source.list_all()} == {SourceHostState.RUNNING}
    await source.aclose()


def test_a_name_without_a_number_that_fits_is_nobody() -> None:
    told = metadata(TEMPLATE, "call-1", "small", [f"own-{n}" for n in range(100)])
    assert all(len(value) <= 255 for value in told.values())
    server = {"id": "uuid-1", "metadata": told}
    assert host_of({**server, "name": "call-1-100"}) == "own-99"
    assert host_of({**server, "name": "call-1"}) == "own-0"
    assert host_of({**server, "name": "call-1-101"}) == "uuid-1"
    assert host_of({**server, "name": "renamed"}) == "uuid-1"


def test_a_refused_server_on_its_way_out_is_no_host_any_more() -> None:
    told = {"metadata": metadata(TEMPLATE, "call-1", "small", ["own-1"]), "name": "call-1", "id": "uuid-1"}
    refused = {**told, "status": "ERROR", "fault": {"message": "No valid host was found."}}
    assert (show(refused, TEMPLATE).host_id, type(show(refused, TEMPLATE).refusal)) == ("own-1", OutOfStock)
    assert show({**refused, "OS-EXT-STS:task_state": "deleting"}, TEMPLATE).host_id == "uuid-1"
    assert show({**told, "status": "ACTIVE", "OS-EXT-STS:task_state": "deleting"}, TEMPLATE).host_id == "own-1"
    ran = show({**refused, "OS-SRV-USG:launched_at": "2026-01-01T00:00:00"}, TEMPLATE)
    assert (ran.refusal, ran.state) == (None, SourceHostState.RUNNING)


def test_of_two_servers_the_one_that_can_run_is_kept() -> None:
    plain = {"metadata": metadata(TEMPLATE, "call-1", "small", ["own-1"]), "name": "call-1"}
    refused = {**plain, "id": "a", "status": "ERROR", "fault": {"message": "No valid host was found."}}
    leaving = {**plain, "id": "b", "status": "ACTIVE", "OS-EXT-STS:task_state": "deleting"}
    servers = [refused, leaving, {**plain, "id": "c", "status": "BUILD"}, {**plain, "id": "d", "status": "ACTIVE"}]
    found = [Found(show(one, TEMPLATE), one["id"], f"2026-01-0{number}") for number, one in enumerate(servers, 1)]
    kept, twins = one_of_each(found)
    assert [one.machine for one in kept] == ["c"]
    assert [one.machine for one in twins] == ["d", "a", "b"]
