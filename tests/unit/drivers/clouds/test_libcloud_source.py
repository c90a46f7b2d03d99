"""Source `libcloud` against a DigitalOcean of these tests: pages, faults, twins, and which providers may be used."""

from collections.abc import AsyncIterator

import pytest

from cloud_server import CloudServer
from dcp.drivers.clouds.accounts import LibcloudAccount
from dcp.drivers.clouds.libcloud import LibcloudSource, make
from dcp.drivers.clouds.providers import COMPLETE, INCOMPLETE, provider_fault
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, HostType, Resources, SourceHostState
from dcp.kernel.clock import LoopClock
from dcp.kernel.errors import AccessDenied, DriverError, InvalidInput, OutOfStock, QuotaReached, Rejected, Throttled
from fake_digitalocean import HERE, TOKEN, FakeDigitalOcean

SMALL = HostType("small", Resources(1000, 1 << 30))


def orders(*names: str) -> tuple[HostOrder, ...]:
    return tuple(HostOrder(name, "small", "fra1", "call-1") for name in names)


def source_of(cloud: CloudServer, **account: object) -> LibcloudSource:
    template = Template("tail", "dcp-t", "debian-12", (MachineType(SMALL, "s-1"),), (Place("fra1", "fra1"),), batch=16)
    arguments = {"key": TOKEN, "port": cloud.port}
    return make(template, LibcloudAccount(HERE, arguments, **account), cloud.clock)  # type: ignore[arg-type]


@pytest.fixture
async def cloud() -> AsyncIterator[FakeDigitalOcean]:
    async with FakeDigitalOcean(LoopClock(), {"s-1": 500}) as server:
        yield server


@pytest.fixture
async def source(cloud: FakeDigitalOcean) -> AsyncIterator[LibcloudSource]:
    made = source_of(cloud)
    yield made
    await made.aclose()


async def test_a_call_makes_many_and_gives_the_options_to_each(cloud: FakeDigitalOcean) -> None:
    source = source_of(cloud, options={"ex_create_attr": {"tags": ["team-a"]}})
    assert await source.create(orders(*(f"tail-{n}" for n in range(16)))) == {}
    assert {one.name for one in cloud.present()} == {f"dcp-t.tail.tail-{n}" for n in range(16)}
    assert {tuple(one.details["tags"]) for one in cloud.present()} == {("team-a",)}
    await source.aclose()


async def test_machines_of_others_are_neither_shown_nor_touched(
    cloud: FakeDigitalOcean, source: LibcloudSource
) -> None:
    cloud.add("wordpress", "s-1")
    for name in ("dcp-t-other.tail.tail-1", "dcp-t.other.tail-1", "dcp-t.tail-b.tail-1", "dcp-t-tail-1", "dcp-t.tail"):
        cloud.add(name, "s-1")
    assert await source.list_all() == ()
    assert await source.delete(("wordpress", "tail-1")) == {}
    assert len(cloud.present()) == 6


async def test_all_pages_are_read(cloud: FakeDigitalOcean, source: LibcloudSource) -> None:
    cloud.page_limit = 50
    for n in range(230):
        cloud.add(f"dcp-t.tail.tail-{n}", "s-1")
    assert len(await source.list_all()) == 230


async def test_a_machine_that_slips_between_two_pages_is_shown_all_the_same(
    cloud: FakeDigitalOcean, source: LibcloudSource
) -> None:
    """One that stands in a page already read is deleted: the rest move up, and one is in no page of this listing."""
    cloud.page_limit = 50
    for n in range(230):
        cloud.add(f"dcp-t.tail.tail-{n}", "s-1")

    def vanish() -> None:
        cloud.between_pages = None
        cloud.machines.pop("m-000001")

    cloud.between_pages = vanish
    assert len(await source.list_all()) == 229


async def test_listings_that_never_agree_are_an_error(cloud: FakeDigitalOcean, source: LibcloudSource) -> None:
    cloud.page_limit = 50
    for n in range(230):
        cloud.add(f"dcp-t.tail.tail-{n}", "s-1")
    cloud.between_pages = lambda: cloud.machines.pop(next(iter(cloud.machines))) and None
    with pytest.raises(DriverError, match="no two of 4 listings agree"):
        await source.list_all()


async def test_a_creation_without_an_answer_is_found_and_not_repeated(
    cloud: FakeDigitalOcean, source: LibcloudSource
) -> None:
    cloud.silent_creations = 1
    assert await source.create(orders("tail-1")) == {}
    assert await source.create(orders("tail-1")) == {}
    assert len(cloud.present()) == 1


async def test_of_two_machines_of_one_host_the_older_stays(cloud: FakeDigitalOcean, source: LibcloudSource) -> None:
    cloud.delete_s = 0.0
    for _ in range(2):
        cloud.add("dcp-t.tail.tail-1", "s-1")
    (shown,) = await source.list_all()
    assert shown.host_id == "tail-1"
    assert [one.id for one in cloud.present()] == ["m-000001"]


@pytest.mark.parametrize(
    ("status", "words", "headers", "kind"),
    [
        (429, "API Rate limit exceeded.", {"Retry-After": "7"}, Throttled),
        (422, "creating this/these droplet(s) will exceed your droplet limit", {}, QuotaReached),
        (422, "size s-1 is not available in region fra1", {}, OutOfStock),
        (422, "image debian-12 does not exist", {}, Rejected),
        (403, "You do not have access for the attempted action.", {}, AccessDenied),
        (503, "Service is currently unavailable, please try again", {}, DriverError),
    ],
)
async def test_refusals_are_told_apart(
    cloud: FakeDigitalOcean,
    source: LibcloudSource,
    status: int,
    words: str,
    headers: dict[str, str],
    kind: type[DriverError],
) -> None:
    cloud.refuse("create", status, {"id": "some", "message": words}, headers=headers)
    refused = (await source.create(orders("tail-1")))["tail-1"]
    assert type(refused) is kind
    assert "tail" in str(refused)
    if isinstance(refused, Throttled):
        assert refused.delay_s == 7


async def test_a_wrong_key_is_denied_and_not_shown(cloud: FakeDigitalOcean) -> None:
    source = make(
        Template("tail", "dcp-t", "debian-12", (MachineType(SMALL, "s-1"),)),
        LibcloudAccount(HERE, {"key": "wrong-key", "port": cloud.port}),
        cloud.clock,
    )
    with pytest.raises(AccessDenied) as caught:
        await source.list_all()
    assert "wrong-key" not in str(caught.value)
    await source.aclose()


async def test_a_host_that_boots_has_no_address_yet(cloud: FakeDigitalOcean, source: LibcloudSource) -> None:
    await source.create(orders("tail-1"))
    (shown,) = await source.list_all()
    assert (shown.state, shown.address, shown.engine) == (SourceHostState.PENDING, "", "")


def test_credentials_come_from_a_file_that_has_to_be_readable(tmp_path, cloud: FakeDigitalOcean) -> None:
    path = tmp_path / "credentials.yaml"
    template = Template("tail", "dcp-t", "debian-12", (MachineType(SMALL, "s-1"),))
    for text, words in ((None, "cannot be read"), ("- a", "not a mapping"), ("{a: [", "it is not YAML")):
        if text is not None:
            path.write_text(text)
        with pytest.raises(InvalidInput, match=words) as caught:
            make(template, LibcloudAccount(HERE, credentials_file=str(path)), cloud.clock)
        assert caught.value.problems[0].path == "sources.tail.credentials_file"


def test_no_provider_is_used_whose_listing_is_known_to_stop() -> None:
    assert not COMPLETE & set(INCOMPLETE)
    for name in COMPLETE:
        assert provider_fault(name, trusted=False) == ""
    for name in (*INCOMPLETE, "ec2_us_east"):
        assert "cannot be used" in provider_fault(name, trusted=True)
    assert "not known" in provider_fault("upcloud", trusted=False)
    assert provider_fault("upcloud", trusted=True) == ""
