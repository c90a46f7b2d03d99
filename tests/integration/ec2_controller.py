"""A controller as a process: the real engine over a SQLite file and the real `ec2` driver. Instances run nowhere.

Arguments: the folder of store and keys, the cloud's URL, and how long an empty host is kept.
"""

import asyncio
import os
import sys
from pathlib import Path

from dcp.drivers.balancers.fake import FakeBalancer
from dcp.drivers.clouds.accounts import Ec2Account
from dcp.drivers.clouds.ec2 import make
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.drivers.runtimes.fake import FakeRuntime
from dcp.engine.context import Context
from dcp.engine.controller import Controller
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import HostType, Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.scaling.model import Timing
from dcp.orchestration.services.ports import OneRuntime
from dcp.store.database import open_database

REGION = "us-east-1"
HOST_TYPE = HostType("small", Resources(2000, 2 << 30), price_usd_per_hour=0.02)
PRICES = (("a", 0.01), ("b", 0.015), ("c", 0.02))
TEMPLATE = Template(
    name="east",
    owner="dcp-test",
    image="ami-0123456789abcdef0",
    types=(MachineType(HOST_TYPE, "t3.small", PRICES),),
    places=tuple(Place(name, f"{REGION}{name}") for name, _ in PRICES),
    in_flight=40,
    batch=10,
    list_every_s=0.3,
)


def store_url(folder: Path) -> str:
    """Return where the store is."""
    return f"sqlite:///{folder}/store.sqlite"


async def run(folder: Path, cloud_url: str, linger_s: float) -> None:
    """Work until it is killed."""
    clock = SystemClock()
    account = Ec2Account(REGION, credentials_file=str(folder / "ec2.yaml"), endpoint=cloud_url)
    context = Context(
        controller_id=f"controller-{os.getpid()}",
        clock=clock,
        database=open_database(store_url(folder)),
        runtimes=OneRuntime(FakeRuntime(clock)),
        balancer=FakeBalancer(clock),
        sources=(make(TEMPLATE, account, clock),),
        settings=EngineSettings(
            timing=Timing(host_linger_s=linger_s), lease_ttl_s=1.5, leak_grace_s=1.0, delete_again_s=2.0
        ),
    )
    await Controller(context).run()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
