"""Drivers of cloud accounts keep every promise of `sources`, over real sockets, against clouds of these tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sources import CASES, LARGE, LARGE_STOCK, SMALL, SMALL_STOCK, Case
from test_sources import SteppedClock

from cloud_server import CloudServer
from dcp.drivers.clouds.account import AccountSource
from dcp.drivers.clouds.accounts import LibcloudAccount
from dcp.drivers.clouds.aliyun import make as make_aliyun
from dcp.drivers.clouds.libcloud import make as make_libcloud
from dcp.drivers.clouds.openstack import make as make_openstack
from dcp.drivers.clouds.template import MachineType, Place, Template
from fake_aliyun import FakeAliyun, aliyun_account
from fake_digitalocean import HERE, TOKEN, FakeDigitalOcean
from fake_nova import FakeNova, openstack_account

STOCK = {"s-1": SMALL_STOCK, "l-4": LARGE_STOCK}
TYPES = (MachineType(SMALL, "s-1"), MachineType(LARGE, "l-4"))


def template(**changes: Any) -> Template:
    plain: dict[str, Any] = {
        "name": "tail",
        "owner": "dcp-test",
        "image": "debian-12",
        "types": TYPES,
        "places": (Place("fra1", "fra1"),),
        "batch": 4,
        "in_flight": 12,
    }
    return Template(**{**plain, **changes})


def libcloud(cloud: CloudServer, _: Path) -> AccountSource:
    return make_libcloud(template(), LibcloudAccount(HERE, {"key": TOKEN, "port": cloud.port}), cloud.clock)


def aliyun(cloud: CloudServer, folder: Path) -> AccountSource:
    return make_aliyun(template(), aliyun_account(cloud, folder), cloud.clock)


def openstack(cloud: CloudServer, folder: Path) -> AccountSource:
    return make_openstack(template(), openstack_account(cloud, folder), cloud.clock)


@dataclass
class Cloud:
    """A cloud and how its driver is made."""

    server: Callable[[SteppedClock, dict[str, int]], CloudServer]
    source: Callable[[CloudServer, Path], Any]


CLOUDS = {
    "libcloud": Cloud(FakeDigitalOcean, libcloud),
    "aliyun": Cloud(FakeAliyun, aliyun),
    "openstack": Cloud(FakeNova, openstack),
}


class AccountRig:
    """Every object of the driver asks the same cloud."""

    counts_stock = False

    def __init__(self, cloud: Cloud, server: CloudServer, clock: SteppedClock, folder: Path) -> None:
        self.clock = clock
        self._cloud = cloud
        self._server = server
        self._folder = folder
        self.made: list[Any] = []
        self.source = self.again()

    def again(self) -> Any:
        self.made.append(self._cloud.source(self._server, self._folder))
        return self.made[-1]


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # openstacksdk warns of its own calls
@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract(case: Case, cloud: str, tmp_path: Path) -> None:
    clock = SteppedClock()
    async with CLOUDS[cloud].server(clock, dict(STOCK)) as server:
        rig = AccountRig(CLOUDS[cloud], server, clock, tmp_path)
        try:
            await case(rig)
        finally:
            for source in rig.made:
                await source.aclose()
