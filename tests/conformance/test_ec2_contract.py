"""Source `ec2` keeps every promise of `sources`, over HTTP against a moto server."""

from pathlib import Path

import pytest
from sources import CASES, LARGE, LARGE_STOCK, SMALL, SMALL_STOCK, Case
from test_sources import SteppedClock

from dcp.drivers.clouds.ec2 import Ec2Source, make
from dcp.drivers.clouds.template import MachineType, Place, Template
from ec2_cloud import AMI, REGION, Ec2Cloud, ec2_account
from moto_server import reset

pytestmark = pytest.mark.xdist_group("moto")

ZONE = f"{REGION}a"
STOCK = {(ZONE, "t3.small"): SMALL_STOCK, (ZONE, "m5.large"): LARGE_STOCK}
TEMPLATE = Template(
    name="east",
    owner="dcp-test",
    image=AMI,
    types=(MachineType(SMALL, "t3.small"), MachineType(LARGE, "m5.large")),
    places=(Place("a", ZONE),),
    engine="tcp://{address}:2376",
    batch=16,
)


class Ec2Rig:
    """Every object of the driver asks the same cloud."""

    counts_stock = False

    def __init__(self, url: str, clock: SteppedClock, folder: Path) -> None:
        self.clock = clock
        self._url = url
        self._folder = folder
        self.made: list[Ec2Source] = []
        self.source = self.again()

    def again(self) -> Ec2Source:
        self.made.append(make(TEMPLATE, ec2_account(self._url, self._folder, stopping=True), self.clock))
        return self.made[-1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract(case: Case, moto_url: str, tmp_path: Path) -> None:
    reset(moto_url)
    async with Ec2Cloud(moto_url, STOCK) as cloud:
        rig = Ec2Rig(cloud.url, SteppedClock(), tmp_path)
        try:
            await case(rig)
        finally:
            for source in rig.made:
                await source.aclose()
