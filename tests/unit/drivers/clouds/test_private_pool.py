"""The private pool keeps what is lent, whatever else happens to its configuration or its file."""

import asyncio
from pathlib import Path

import pytest

from ask_source import ask
from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.hosts.model import HostType, Resources
from dcp.kernel.errors import DriverError, OutOfStock

SLICE = HostType("slice", Resources(500, 1 << 29))


async def test_a_pool_made_smaller_keeps_what_is_lent_and_offers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    pool = PrivatePool("own", path, [PrivateHosts(SLICE, 3)])
    for n in range(3):
        await ask(pool, f"h-{n}", "slice")
    smaller = PrivatePool("own", path, [PrivateHosts(SLICE, 1)])
    assert len(await smaller.list_all()) == 3
    assert [offer.available for offer in await smaller.offers()] == [0]
    with pytest.raises(OutOfStock, match="all 1 hosts"):
        await ask(smaller, "h-3", "slice")
    assert len(await PrivatePool("own", path, []).list_all()) == 3


async def test_many_at_once_over_two_objects_never_lend_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    pools = [PrivatePool("own", path, [PrivateHosts(SLICE, 10)]) for _ in range(2)]
    calls = (ask(pools[n % 2], f"h-{n}", "slice") for n in range(30))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(result is None for result in results) == 10
    assert len(await pools[0].list_all()) == 10


async def test_an_address_is_shown_for_each_host() -> None:
    pool = PrivatePool("own", None, [PrivateHosts(SLICE, 1, address="10.0.0.5")])
    await ask(pool, "h", "slice")
    (host,) = await pool.list_all()
    assert host.address == "10.0.0.5"


async def test_a_file_that_cannot_be_used_is_an_error_of_the_driver(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    pool = PrivatePool("own", path, [PrivateHosts(SLICE, 1)])
    path.mkdir()
    with pytest.raises(DriverError, match="cannot use"):
        await pool.list_all()
