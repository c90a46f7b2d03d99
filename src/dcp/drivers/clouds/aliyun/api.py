"""The calls of ECS that dcp makes, through the vendor's library, each for one region of one account."""

from dataclasses import dataclass, field
from typing import Any

from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

from dcp.drivers.clouds.accounts import AliyunAccount
from dcp.drivers.clouds.aliyun.errors import code_of, refusal_of, translate
from dcp.drivers.clouds.blocking import BlockingCalls
from dcp.drivers.clouds.credentials import read_credentials
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import Billing
from dcp.kernel.errors import DriverError

READ_LIMIT_MS = 30_000
CONNECT_LIMIT_MS = 5_000
PAGE = 100
"""The most that one page holds, and the most machines that one call takes."""
YES = "true"
"""As the service documents it; the library would send `True`."""
_RUNTIME = RuntimeOptions(read_timeout=READ_LIMIT_MS, connect_timeout=CONNECT_LIMIT_MS, autoretry=False)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as DescribeInstances shows it."""

    id: str
    host_name: str
    status: str
    tags: dict[str, str]
    made_at: str
    private: tuple[str, ...]
    public: tuple[str, ...]
    locks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Creation:
    """One RunInstances for as many instances as there are host names."""

    token: str
    host_names: tuple[str, ...]
    machine_type: MachineType
    place: Place
    tags: dict[str, str] = field(default_factory=dict)


class Ecs:
    """One account in one region. Every call may raise DriverError."""

    def __init__(self, name: str, account: AliyunAccount) -> None:
        self._name = name
        self._account = account
        self._keys = read_credentials(account.credentials_file, name, keys=("access_key_id", "access_key_secret"))
        self._calls: BlockingCalls[Any] = BlockingCalls(
            name, self._connect, lambda error: translate(error, asked=name), threads=8
        )

    def close(self) -> None:
        """Let go of the threads."""
        self._calls.close()

    async def list_tagged(self, tags: dict[str, str]) -> list[Instance]:
        """Return every instance with these tags, from all pages.

        An account without the right to look is shown an empty list, so an empty one is believed only after a dry run.
        """
        tag = [models.DescribeInstancesRequestTag(key=key, value=value) for key, value in tags.items()]
        request = models.DescribeInstancesRequest(region_id=self._account.region, tag=tag, max_results=PAGE)
        found = await self._pages(request)
        if not found:
            await self._may_look()
        return found

    async def describe(self, ids: tuple[str, ...]) -> list[Instance]:
        """Return what is shown of at most 100 instances."""
        quoted = "[" + ",".join(f'"{one}"' for one in ids) + "]"
        return await self._pages(
            models.DescribeInstancesRequest(region_id=self._account.region, instance_ids=quoted, max_results=PAGE)
        )

    async def run_instances(self, creation: Creation, template: Template) -> tuple[str, ...]:
        """Ask for as many instances as there are; return the ids of those that are made, at least one."""
        request = self._creation(creation, template)
        answer = await self._calls.run(lambda client: client.run_instances_with_options(request, _RUNTIME))
        made = answer.body.instance_id_sets
        return tuple((made.instance_id_set or ()) if made else ())

    async def delete(self, ids: tuple[str, ...]) -> None:
        """Ask to delete at most 100 instances, whatever they do: all of them, or an error."""
        request = models.DeleteInstancesRequest(region_id=self._account.region, instance_id=list(ids), force=YES)
        await self._calls.run(lambda client: client.delete_instances_with_options(request, _RUNTIME))

    async def stop(self, ids: tuple[str, ...]) -> dict[str, DriverError]:
        """Ask to stop at most 100 instances in economical mode; return what is refused, by instance."""
        request = models.StopInstancesRequest(
            region_id=self._account.region,
            instance_id=list(ids),
            stopped_mode="StopCharging",
            batch_optimization="SuccessFirst",
        )
        answer = await self._calls.run(lambda client: client.stop_instances_with_options(request, _RUNTIME))
        return self._refused(answer.body)

    async def start(self, ids: tuple[str, ...]) -> dict[str, DriverError]:
        """Ask to start at most 100 instances; return what is refused, by instance."""
        request = models.StartInstancesRequest(
            region_id=self._account.region, instance_id=list(ids), batch_optimization="SuccessFirst"
        )
        answer = await self._calls.run(lambda client: client.start_instances_with_options(request, _RUNTIME))
        return self._refused(answer.body)

    async def _pages(self, request: Any) -> list[Instance]:
        found: dict[str, Instance] = {}
        while True:
            answer = await self._calls.run(lambda client: client.describe_instances_with_options(request, _RUNTIME))
            if answer.body.instances is None:
                raise DriverError(f"{self._name}: a listing without instances is no listing")
            for one in answer.body.instances.instance or ():
                found[one.instance_id] = _instance(one)
            if not answer.body.next_token:
                return list(found.values())
            request.next_token = answer.body.next_token

    async def _may_look(self) -> None:
        request = models.DescribeInstancesRequest(region_id=self._account.region, dry_run=YES)
        try:
            await self._calls.run(lambda client: client.describe_instances_with_options(request, _RUNTIME))
        except DriverError as error:
            if code_of(error.__cause__).lower() not in ("dryrunoperation", "dryrun.success"):
                raise

    def _connect(self) -> Any:
        config = Config(
            region_id=self._account.region,
            access_key_id=str(self._keys["access_key_id"]),
            access_key_secret=str(self._keys["access_key_secret"]),
            security_token=self._keys.get("security_token"),
        )
        if self._account.endpoint:
            protocol, _, address = self._account.endpoint.rpartition("://")
            config.endpoint, config.protocol = address, protocol.upper() or "HTTPS"
        return Client(config)

    def _creation(self, creation: Creation, template: Template) -> Any:
        account, place = self._account, creation.place
        disk = None
        if account.system_disk or account.system_disk_gib:
            size = str(account.system_disk_gib) if account.system_disk_gib else None
            disk = models.RunInstancesRequestSystemDisk(category=account.system_disk or None, size=size)
        spot = creation.machine_type.host_type.billing == Billing.SPOT
        return models.RunInstancesRequest(
            region_id=account.region,
            zone_id=place.zone or None,
            v_switch_id=place.network or None,
            security_group_ids=list(place.security_groups) or None,
            image_id=template.image,
            instance_type=creation.machine_type.machine,
            instance_charge_type="PostPaid",
            spot_strategy="SpotAsPriceGo" if spot else "NoSpot",
            instance_name=f"{template.owner}-{template.name}",
            host_names=list(creation.host_names),
            key_pair_name=template.key or None,
            internet_max_bandwidth_out=account.public_bandwidth_mbit or None,
            system_disk=disk,
            amount=len(creation.host_names),
            min_amount=1,
            client_token=creation.token,
            tag=[models.RunInstancesRequestTag(key=key, value=value) for key, value in creation.tags.items()],
        )

    def _refused(self, body: Any) -> dict[str, DriverError]:
        answers = body.instance_responses.instance_response if body.instance_responses else ()
        return {
            one.instance_id: refusal_of(str(one.code), str(one.message), asked=self._name)
            for one in answers or ()
            if str(one.code) != "200"
        }


def _instance(one: Any) -> Instance:
    vpc = one.vpc_attributes.private_ip_address if one.vpc_attributes else None
    elastic = one.eip_address.ip_address if one.eip_address else None
    public = one.public_ip_address.ip_address if one.public_ip_address else ()
    return Instance(
        id=one.instance_id,
        host_name=one.host_name or "",
        status=one.status or "",
        tags={tag.tag_key: tag.tag_value for tag in (one.tags.tag if one.tags else ()) or ()},
        made_at=one.creation_time or "",
        private=tuple((vpc.ip_address if vpc else ()) or ()),
        public=tuple(filter(None, (elastic, *(public or ())))),
        locks=tuple(
            lock.lock_reason for lock in (one.operation_locks.lock_reason if one.operation_locks else ()) or ()
        ),
    )
