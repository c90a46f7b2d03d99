"""200 machines of EC2 (a moto server) through the real engine, with everything in the way that a cloud has.

Zones run out, calls are throttled, answers are lost after the machines were made, and the controller is killed with
kill -9 right after it asked. In the end there are exactly 200, each made once; then all are given back.
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ec2_controller import HOST_TYPE, PRICES, REGION, TEMPLATE, store_url

from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import HostState
from dcp.store import events, hosts
from dcp.store.database import Database, open_database
from ec2_cloud import Ec2Cloud, ec2_account, ec2_client, make_stranger
from moto_server import reset

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("moto")]

MACHINES = 200
STOCK = {(f"{REGION}a", "t3.small"): 47, (f"{REGION}b", "t3.small"): 65}
KILLS_AT = (15, 70, 130)
"""The controller is killed once so many machines were made."""
KILLS_LEFT = (150, 60)
WITHIN_S = 120.0


@dataclass
class World:
    """The cloud, the ledger, and what starts controllers over them."""

    cloud: Ec2Cloud
    database: Database
    folder: Path

    @contextmanager
    def controller(self, linger_s: float) -> Iterator[None]:
        """Run a controller, and kill it."""
        script = Path(__file__).with_name("ec2_controller.py")
        command = [sys.executable, str(script), str(self.folder), self.cloud.url, str(linger_s)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, self.log()
        finally:
            process.kill()
            process.wait(10)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait without a pause between what the cloud did and the kill that follows."""
        give_up_at = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < give_up_at, f"{self.cloud.calls} {self.log()}"
            await asyncio.sleep(0.01)

    async def until_ledger(self, holds: Callable[[tuple[Host, ...]], bool]) -> tuple[Host, ...]:
        give_up_at = time.monotonic() + WITHIN_S
        while True:
            found = await self.database.read(hosts.every)
            if holds(found):
                return found
            states = Counter(str(host.state) for host in found)
            assert time.monotonic() < give_up_at, f"{states} {self.cloud.calls} {self.log()}"
            await asyncio.sleep(0.2)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


async def test_200_machines_are_made_once_and_given_back(
    moto_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    reset(moto_url)
    database = open_database(store_url(tmp_path))
    began = time.monotonic()
    async with Ec2Cloud(moto_url, STOCK) as cloud:
        ec2_account(cloud.url, tmp_path)
        world = World(cloud, database, tmp_path)
        cloud.page = 15
        cloud.lag_s = 2.0
        cloud.throttled = lambda action: cloud.calls[action] % (9 if action == "RunInstances" else 13) == 4
        cloud.lost_answers = lambda action: action == "RunInstances" and cloud.calls[action] % 7 == 3
        await database.write(lambda connection: hosts.add(connection, _wanted(time.time())))
        for made in KILLS_AT:
            with world.controller(3600.0):
                await world.until(lambda made=made: len(cloud.launched) >= made)
        with world.controller(3600.0):
            found = await world.until_ledger(lambda found: all(one.state == HostState.READY for one in found))
            stranger = make_stranger(moto_url, TEMPLATE.owner, TEMPLATE.image)
            await world.until(lambda: _state(moto_url, stranger) == "terminated")
        record_property("ready_s", time.monotonic() - began)
        _check_each_is_made_once(cloud, found, moto_url)
        for left in KILLS_LEFT:
            with world.controller(0.0):
                await world.until(lambda left=left: len(cloud.there()) <= left)
        with world.controller(0.0):
            await world.until_ledger(lambda found: all(one.state == HostState.RELEASED for one in found))
        assert cloud.there() == []
        assert _shown(moto_url) == {}
        told = Counter(one.event.reason for one in await database.read(lambda c: events.newest(c, 100_000)))
        assert told["leak-found"] >= 1
        record_property("all_s", time.monotonic() - began)
        record_property("calls", dict(cloud.calls))
    database.close()


def _check_each_is_made_once(cloud: Ec2Cloud, ledger: tuple[Host, ...], moto_url: str) -> None:
    assert len(cloud.launched) == len(set(cloud.launched)) == MACHINES
    assert set(_shown(moto_url)) == set(cloud.launched)
    assert len({host.address for host in ledger if host.address}) == MACHINES
    by_place = Counter(host.variant for host in ledger)
    assert by_place == {"a": 47, "b": 65, "c": MACHINES - 47 - 65}
    prices = dict(PRICES)
    assert all(host.host_type.price_usd_per_hour == prices[host.variant] for host in ledger)
    assert cloud.lost > 0
    assert cloud.refused["RunInstances"] > 0


def _wanted(now: float) -> list[Host]:
    return [
        Host(f"east-{n}", "east", SourceKind.CLOUD, HOST_TYPE, HostState.REQUESTED, now, now)
        for n in range(1, MACHINES + 1)
    ]


def _state(moto_url: str, instance: str) -> str:
    found = ec2_client(moto_url).describe_instances(InstanceIds=[instance])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def _shown(moto_url: str) -> dict[str, str]:
    """Return what is there as moto itself shows it."""
    pages = ec2_client(moto_url).get_paginator("describe_instances").paginate()
    every = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
    return {one["InstanceId"]: one["PrivateIpAddress"] for one in every if one["State"]["Name"] != "terminated"}
