"""The fluid fleet keeps the laws of links; the production decision keeps the line free."""

from dataclasses import replace

import pytest

from dcp.images.warming.estimate import choose_way
from dcp.images.warming.model import MB, Links, WarmHost, WarmImage, WarmingSettings, Way
from dcp.simulation.warming import FluidFleet, WarmingRun, warm_site

LINKS = Links(line_bytes_s=1250 * MB, host_bytes_s=300 * MB, hop_s=0.02)
PEERS = WarmingSettings(mirror_image="m", links=LINKS)
FEW = replace(PEERS, peers=False)
DIRECT = WarmingSettings(links=LINKS, direct_pulls=10_000)
IMAGE = WarmImage("r/x@sha256:" + "0" * 64, 1000 * MB)


def hosts(count: int) -> tuple[WarmHost, ...]:
    return tuple(WarmHost(f"h{number}", f"10.0.0.{number}", True) for number in range(count))


def run(count: int, settings: WarmingSettings, image: WarmImage = IMAGE) -> WarmingRun:
    return warm_site(FluidFleet(hosts(count), settings), hosts(count), image, settings)


def test_one_host_takes_size_over_speed() -> None:
    assert run(1, DIRECT).seconds[0] == pytest.approx(1000 / 300, abs=0.1)


def test_direct_pulls_share_the_line() -> None:
    found = run(50, DIRECT)
    assert found.way == Way.DIRECT
    assert found.seconds[-1] == pytest.approx(50 * 1000 / 1250, rel=0.02)
    assert found.line_bytes == pytest.approx(50 * 1000 * MB, rel=0.001)


def test_few_mirrors_send_to_all_and_the_line_carries_it_once() -> None:
    found = run(40, FEW)
    assert (found.way, found.mirrors) == (Way.MIRRORS, 2)
    assert found.line_bytes == pytest.approx(1000 * MB, rel=0.001)
    assert found.seconds[-1] >= 40 * 1000 / (2 * 300)


def test_hosts_that_serve_each_other_come_near_the_bound() -> None:
    found = run(200, PEERS)
    assert (found.way, found.mirrors) == (Way.PEERS, 200)
    assert found.line_bytes == pytest.approx(1000 * MB, rel=0.001)
    assert found.seconds[-1] - found.first_pull_s < 1.5 * 1000 / 300


@pytest.mark.parametrize("settings", [DIRECT, FEW, PEERS])
def test_an_estimate_is_near_what_flows(settings: WarmingSettings) -> None:
    found = run(60, settings)
    estimate = choose_way(IMAGE.size_bytes, 60, 0, settings)
    assert found.way == estimate.way
    assert found.seconds[-1] == pytest.approx(estimate.seconds, rel=0.35)
