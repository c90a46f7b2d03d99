"""The calls of EC2 that dcp makes, through the vendor's library, each for one region of one account."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from dcp.drivers.clouds.accounts import Ec2Account
from dcp.drivers.clouds.blocking import BlockingCalls
from dcp.drivers.clouds.credentials import read_credentials
from dcp.drivers.clouds.ec2.errors import translate
from dcp.kernel.errors import InvalidInput, Problem

THREADS = 8
CONNECT_LIMIT_S = 5
READ_LIMIT_S = 40
PAGE = 1000
"""The most that one page of machines holds."""
THERE = ("pending", "running", "shutting-down", "stopping", "stopped")
"""A terminated machine is shown for an hour or so and is no machine any more."""
USER_DATA_LIMIT_BYTES = 16 * 1024
NOTICE_CODES = (
    "marked-for-termination",
    "marked-for-stop",
    "instance-terminated-by-price",
    "instance-terminated-no-capacity",
    "instance-terminated-capacity-oversubscribed",
    "instance-terminated-launch-group-constraint",
)
"""Of spot requests. A machine that is to be terminated runs for two minutes after `instance-terminated-...`."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as DescribeInstances and RunInstances show it."""

    id: str
    state: str
    launch_index: int
    tags: dict[str, str]
    made_at: str
    private: str = ""
    public: str = ""
    spot: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """The cloud takes a machine away, or stops it, at `at` (seconds since the epoch)."""

    instance: str
    code: str
    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One RunInstances."""

    token: str
    count: int
    parameters: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)


class Ec2:
    """One account in one region. Every call may raise DriverError.

    The library repeats nothing by itself: what a source refused, and for how long, the engine remembers for all calls.
    """

    def __init__(self, name: str, account: Ec2Account) -> None:
        self.account = account
        self._keys = (
            read_credentials(account.credentials_file, name, keys=("aws_access_key_id", "aws_secret_access_key"))
            if account.credentials_file
            else {}
        )
        self._lock = threading.Lock()
        self._client: Any = None
        self._calls: BlockingCalls[Any] = BlockingCalls(
            name, self._connect, lambda error: translate(error, asked=name), threads=THREADS
        )

    def close(self) -> None:
        """Let go of the threads and connections."""
        self._calls.close()
        if self._client is not None:
            self._client.close()

    async def instances(self, tags: Mapping[str, str]) -> list[Instance]:
        """Return every instance with these tags that is there, from all pages, or raise."""
        filters = [{"Name": f"tag:{key}", "Values": [_literally(value)]} for key, value in tags.items()]
        filters.append({"Name": "instance-state-name", "Values": list(THERE)})

        def pages(client: Any) -> list[Instance]:
            found: dict[str, Instance] = {}
            paginator = client.get_paginator("describe_instances")
            for page in paginator.paginate(Filters=filters, PaginationConfig={"PageSize": PAGE}):
                for reservation in page["Reservations"]:
                    found.update((one["InstanceId"], _instance(one)) for one in reservation["Instances"])
            return list(found.values())

        return await self._calls.run(pages)

    async def run_instances(self, launch: Launch) -> list[Instance]:
        """Ask for `count` instances; return those that are made, at least one. Their tags are those of the launch."""
        tags = [{"Key": key, "Value": value} for key, value in sorted(launch.tags.items())]
        answer = await self._calls.run(
            lambda client: client.run_instances(
                MinCount=1,
                MaxCount=launch.count,
                ClientToken=launch.token,
                TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
                **launch.parameters,
            )
        )
        return [_instance(one) for one in answer["Instances"]]

    async def terminate(self, ids: Sequence[str]) -> None:
        """Ask to end instances: all of them, or an error."""
        await self._calls.run(lambda client: client.terminate_instances(InstanceIds=list(ids)))

    async def stop(self, ids: Sequence[str]) -> None:
        """Ask to stop instances: all of them, or an error."""
        await self._calls.run(lambda client: client.stop_instances(InstanceIds=list(ids)))

    async def start(self, ids: Sequence[str]) -> None:
        """Ask to start instances: all of them, or an error."""
        await self._calls.run(lambda client: client.start_instances(InstanceIds=list(ids)))

    async def events(self) -> list[Notice]:
        """Return when instances of this account are stopped or retired."""
        codes = [{"Name": "event.code", "Values": ["instance-retirement", "instance-stop"]}]

        def pages(client: Any) -> list[Notice]:
            paginator = client.get_paginator("describe_instance_status")
            shown = paginator.paginate(Filters=codes, PaginationConfig={"PageSize": PAGE})
            return [notice for page in shown for one in page["InstanceStatuses"] for notice in _events(one)]

        return await self._calls.run(pages)

    async def interruptions(self) -> list[Notice]:
        """Return which spot instances of this account are being taken away. Those that are gone may be among them."""
        codes = [{"Name": "status-code", "Values": list(NOTICE_CODES)}]

        def pages(client: Any) -> list[Notice]:
            paginator = client.get_paginator("describe_spot_instance_requests")
            shown = paginator.paginate(Filters=codes, PaginationConfig={"PageSize": PAGE})
            return [
                Notice(one["InstanceId"], status["Code"], _seconds(status["UpdateTime"]), status.get("Message", ""))
                for page in shown
                for one in page["SpotInstanceRequests"]
                if one.get("InstanceId") and (status := one.get("Status", {})).get("UpdateTime")
            ]

        return await self._calls.run(pages)

    async def spot_prices(self, machines: Sequence[str], now: float) -> dict[tuple[str, str], float]:
        """Return what Linux machines of these types cost an hour now, by type and zone."""

        def pages(client: Any) -> dict[tuple[str, str], float]:
            paginator = client.get_paginator("describe_spot_price_history")
            shown = paginator.paginate(
                InstanceTypes=list(machines),
                ProductDescriptions=["Linux/UNIX"],
                StartTime=datetime.fromtimestamp(now, UTC),
            )
            every = [one for page in shown for one in page["SpotPriceHistory"]]
            every.sort(key=lambda one: one["Timestamp"])
            return {(one["InstanceType"], one["AvailabilityZone"]): float(one["SpotPrice"]) for one in every}

        return await self._calls.run(pages)

    def _connect(self) -> Any:
        """Return the account's one client: it may be used by several threads, while making one may not."""
        with self._lock:
            if self._client is None:
                session = boto3.Session(
                    profile_name=self.account.profile or None, region_name=self.account.region, **self._keys
                )
                self._client = session.client(
                    "ec2", endpoint_url=self.account.endpoint or None, config=_config(self.account)
                )
            return self._client


def read_user_data(path: str, source: str) -> str:
    """Return what machines are told at their first boot. Raises InvalidInput."""
    if not path:
        return ""
    where = f"sources.{source}.user_data_file"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput((Problem(where, f"{path} cannot be read", "a text file"),)) from error
    if len(text.encode()) > USER_DATA_LIMIT_BYTES:
        raise InvalidInput((Problem(where, f"{path} is larger than 16 KiB", "have it fetch the rest"),))
    return text


def _config(account: Ec2Account) -> Config:
    return Config(
        connect_timeout=CONNECT_LIMIT_S,
        read_timeout=READ_LIMIT_S,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=THREADS,
        tcp_keepalive=True,
    )


def _literally(value: str) -> str:
    """Return a value of a filter in which * and ? are no patterns."""
    return "".join(f"\\{sign}" if sign in "\\*?" else sign for sign in value)


def _instance(one: Mapping[str, Any]) -> Instance:
    return Instance(
        id=one["InstanceId"],
        state=one["State"]["Name"],
        launch_index=int(one.get("AmiLaunchIndex", 0)),
        tags={tag["Key"]: tag["Value"] for tag in one.get("Tags", ())},
        made_at=one["LaunchTime"].isoformat() if one.get("LaunchTime") else "",
        private=one.get("PrivateIpAddress", ""),
        public=one.get("PublicIpAddress", ""),
        spot=one.get("InstanceLifecycle") == "spot",
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
    )


def _events(one: Mapping[str, Any]) -> Iterator[Notice]:
    """Yield the events that are still to come: what is over stays shown for a week."""
    for event in one.get("Events", ()):
        words = event.get("Description", "")
        if event.get("NotBefore") and not words.startswith(("[Completed]", "[Canceled]")):
            yield Notice(one["InstanceId"], event.get("Code", ""), _seconds(event["NotBefore"]), words)


def _seconds(time: datetime) -> float:
    return time.timestamp()
