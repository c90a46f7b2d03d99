"""The balancer's files: who may write what, and what is left of a file that was lost."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from dcp.drivers.balancers.envoy import documents
from dcp.drivers.balancers.envoy.directory import BalancerDirectory, EndpointsVersion
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import LeaseLost
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

FEED = ServiceKey("shop", "feed")
ONE = documents.assignment(FEED, (Endpoint("feed-1", "127.0.0.1", 81),))
TWO = documents.assignment(FEED, (Endpoint("feed-2", "127.0.0.1", 82),))


@pytest.fixture
def directory(tmp_path: Path) -> BalancerDirectory:
    return BalancerDirectory(tmp_path, SystemClock())


def again(directory: BalancerDirectory) -> BalancerDirectory:
    return BalancerDirectory(directory.root, SystemClock())


async def test_versions_rise_with_every_change_and_stay_without_one(directory: BalancerDirectory) -> None:
    first = await directory.write_endpoints(FEED, ONE, fence=3)
    same = await again(directory).write_endpoints(FEED, ONE, fence=3)
    changed = await directory.write_endpoints(FEED, TWO, fence=3)
    raised = await directory.write_endpoints(FEED, TWO, fence=4)
    assert first == same < changed < raised


async def test_of_writers_at_once_none_is_lost_and_the_highest_fence_stays(directory: BalancerDirectory) -> None:
    async def write(fence: int) -> None:
        with suppress(LeaseLost):
            await again(directory).write_endpoints(FEED, ONE if fence % 2 else TWO, fence)

    await asyncio.gather(*(write(fence) for fence in range(20)))
    with pytest.raises(LeaseLost, match="token 18 is older than 19"):
        await directory.write_endpoints(FEED, TWO, fence=18)
    assert (await directory.write_endpoints(FEED, ONE, fence=19)).fence == 19


async def test_an_owner_is_claimed_once_and_kept(directory: BalancerDirectory) -> None:
    assert again(directory).owner == directory.owner != ""


@pytest.mark.parametrize("text", ["", "x", "1", "1.", "1.x", "-1.2"])
def test_a_version_that_is_none_counts_as_the_lowest(text: str) -> None:
    assert EndpointsVersion.parse(text) == EndpointsVersion(0, 0)
    assert EndpointsVersion.parse("12.7") == EndpointsVersion(12, 7)


async def test_files_lost_with_the_machine_are_mended(directory: BalancerDirectory) -> None:
    route = Route(FEED, 8080)
    directory.write_resources(directory.listeners, [documents.listener(route)])
    directory.write_resources(directory.clusters, [documents.cluster(FEED, directory.endpoints_path(FEED))])
    await directory.write_endpoints(FEED, ONE, fence=1)
    os.truncate(directory.endpoints_path(FEED), 0)
    os.truncate(directory.listeners, 7)
    directory.mend()
    assert directory.routes() == ()
    assert directory.clustered() == {"shop%2Ffeed"}
    assert "shop%2Ffeed" in directory.endpoints_path(FEED).read_text()
    assert await directory.write_endpoints(FEED, ONE, fence=1) == EndpointsVersion(1, 1)


async def test_nothing_temporary_is_left(directory: BalancerDirectory) -> None:
    directory.prepare_endpoints(FEED)
    directory.prepare_endpoints(FEED)
    await directory.write_endpoints(FEED, ONE, fence=1)
    names = {path.name for path in directory.root.rglob("*") if path.is_file()}
    assert names == {"owner", "listeners.json", "clusters.json", "endpoints.lock", "shop%2Ffeed.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.root.rglob("*.json"))
