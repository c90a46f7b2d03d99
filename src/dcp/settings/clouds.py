"""The forms of cloud accounts in `dcp.yaml`. They are alike: `CloudForm` has what all of them say."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dcp.drivers.clouds.accounts import Account, AliyunAccount, Ec2Account, LibcloudAccount, OpenStackAccount
from dcp.drivers.clouds.providers import provider_fault
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import Billing, HostType, Resources
from dcp.settings.loans import LentForm
from dcp.settings.model import CloudSource
from dcp.settings.values import (
    LABEL,
    Clusters,
    Cpus,
    Labels,
    Memory,
    MinimumSeconds,
    Name,
    Price,
    Sized,
    SourceQuota,
    refuse_twice,
)

MOST_IN_FLIGHT = 1000
NAME_LIMIT = 63
DIGITS = 9
"""Of a host's number."""
OWNER = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MACHINE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:/ -]*$"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _with_address(value: str) -> str:
    if value and ("{address}" not in value or not value.startswith(("tcp://", "ssh://"))):
        raise ValueError("not the URL of an engine with {address} in it, such as ssh://root@{address}")
    return value


def _no_underscore(value: str) -> str:
    if "_" in value or value.startswith("-") or value.endswith("-") or "--" in value:
        raise ValueError("machines are named after it, so it has letters, digits and single - only")
    return value


class ZoneForm(_Form):
    """One place where machines can be made. Without a zone of its own its name is the zone."""

    name: Name
    zone: str | None = None
    network: str = ""
    security_groups: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)

    def place(self) -> Place:
        """Return the frozen value."""
        return Place(
            self.name, self.name if self.zone is None else self.zone, self.network, tuple(self.security_groups)
        )


class MachineForm(_Form, Sized):
    """A type of machine: what we call it, what the cloud calls it (`machine`, by default the same), and its price."""

    name: Annotated[str, Field(pattern=LABEL, max_length=80)]
    machine: Annotated[str, Field(pattern=MACHINE_NAME)] | None = None
    cpus: Cpus
    memory: Memory
    price_usd_per_hour: Price = 0.0
    price_stopped_usd_per_hour: Price = 0.0
    zone_prices: dict[str, Price] = Field(default_factory=dict)
    billing: Billing = Billing.PER_SECOND
    minimum_s: MinimumSeconds = 60.0
    boot_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0
    labels: Labels = Field(default_factory=dict)

    def machine_type(self, site: str | None, *, initialise: bool) -> MachineType:
        """Return the frozen value."""
        labels = {**self.labels, **({"site": site} if site else {})}
        host_type = HostType(
            name=self.name,
            resources=self.with_more(Resources(self.cpus, self.memory)),
            price_usd_per_hour=self.price_usd_per_hour,
            labels=tuple(sorted(labels.items())),
            boot_s=self.boot_s,
            billing=self.billing,
            price_stopped_usd_per_hour=self.price_stopped_usd_per_hour,
            initialise=initialise,
            minimum_s=self.minimum_s,
        )
        return MachineType(host_type, self.machine or self.name, tuple(sorted(self.zone_prices.items())))


class CloudForm(_Form):
    """What every cloud account says."""

    name: Annotated[Name, AfterValidator(_no_underscore)]
    owner: Annotated[str, Field(pattern=OWNER, max_length=20)]
    image: Annotated[str, Field(min_length=1)]
    key: str = ""
    zones: list[ZoneForm] = Field(default_factory=list)
    types: Annotated[list[MachineForm], Field(min_length=1)]
    engine: Annotated[str, AfterValidator(_with_address)] = ""
    address: Literal["private", "public"] = "private"
    site: Annotated[str, Field(pattern=LABEL)] | None = None
    clusters: Clusters = Field(default_factory=list)
    quota: SourceQuota | None = None
    lent: LentForm | None = None
    in_flight: Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)] = 32
    list_every_s: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 2.0
    initialise: bool = False

    @model_validator(mode="after")
    def _names_fit(self) -> "CloudForm":
        refuse_twice([one.name for one in self.types], "type")
        refuse_twice([one.name for one in self.zones], "zone")
        known = {one.name for one in self.zones}
        for one in self.types:
            for zone in one.zone_prices:
                if zone not in known:
                    raise ValueError(f"type {one.name} has a price in zone {zone}, which is not among zones")
        return self

    def template(self, *, batch: int) -> Template:
        """Return the frozen value."""
        return Template(
            name=self.name,
            owner=self.owner,
            image=self.image,
            types=tuple(one.machine_type(self.site, initialise=self.initialise) for one in self.types),
            places=tuple(zone.place() for zone in self.zones),
            key=self.key,
            engine=self.engine,
            public_address=self.address == "public",
            in_flight=self.in_flight,
            batch=min(batch, self.in_flight),
            list_every_s=self.list_every_s,
        )


class LibcloudForm(CloudForm):
    """Any provider that Apache Libcloud knows and whose machines it lists completely."""

    kind: Literal["libcloud"]
    provider: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    credentials_file: str = ""
    list_every_s: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 5.0
    arguments: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    listing_is_complete: bool = False

    @model_validator(mode="after")
    def _names_are_not_too_long(self) -> "LibcloudForm":
        longest = len(self.owner) + 2 * len(self.name) + len("..-") + DIGITS
        if longest > NAME_LIMIT:
            raise ValueError(
                f"machines would be called {self.owner}.{self.name}.{self.name}-…, up to {longest} "
                f"characters; providers take {NAME_LIMIT}: choose a shorter name or owner"
            )
        return self

    @model_validator(mode="after")
    def _lists_all(self) -> "LibcloudForm":
        fault = provider_fault(self.provider, trusted=self.listing_is_complete)
        if fault:
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _billing_is_known(self) -> "LibcloudForm":
        for one in self.types:
            if one.billing == Billing.SPOT:
                raise ValueError(f"type {one.name}: providers give no notice through Libcloud, so billing is not spot")
        if self.key:
            raise ValueError("key is not the same for any two providers: give it under options, as Libcloud calls it")
        return self

    def source(self) -> CloudSource:
        """Return the frozen value."""
        account: Account = LibcloudAccount(
            self.provider, self.arguments, self.options, self.credentials_file, self.listing_is_complete
        )
        return CloudSource("libcloud", self.template(batch=self.in_flight), account)


class OpenStackForm(CloudForm):
    """One project of an OpenStack cloud."""

    kind: Literal["openstack"]
    cloud: str = ""
    clouds_file: str = ""
    region: str = ""
    batch: Annotated[int, Field(ge=1, le=100)] = 8
    switched_off: Literal["", "shelve", "stop"] = ""

    @model_validator(mode="after")
    def _nova_gives_no_notice(self) -> "OpenStackForm":
        for one in self.types:
            if one.billing == Billing.SPOT:
                raise ValueError(
                    f"type {one.name}: Nova gives no notice before it takes a server, so billing is not spot"
                )
        return self

    def source(self) -> CloudSource:
        """Return the frozen value."""
        account = OpenStackAccount(self.cloud, self.clouds_file, self.region, self.switched_off)
        return CloudSource("openstack", self.template(batch=self.batch), account)


class AliyunForm(CloudForm):
    """One region of an Aliyun (Alibaba Cloud) account."""

    kind: Literal["aliyun"]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    credentials_file: Annotated[str, Field(min_length=1)]
    batch: Annotated[int, Field(ge=1, le=100)] = 100
    system_disk: str = ""
    system_disk_gib: Annotated[int, Field(ge=1, le=32768)] | None = None
    public_bandwidth_mbit: Annotated[int, Field(ge=0, le=100)] = 0
    stopping: bool = False
    endpoint: str = ""

    @model_validator(mode="after")
    def _can_be_given_back(self) -> "AliyunForm":
        for one in self.types:
            if one.billing in (Billing.MONTHLY, Billing.YEARLY):
                raise ValueError(
                    f"type {one.name}: machines that are paid by the month or year cannot be deleted before their "
                    "end; take them in as hosts of kind engines"
                )
        return self

    def source(self) -> CloudSource:
        """Return the frozen value."""
        account = AliyunAccount(
            self.region,
            self.credentials_file,
            self.system_disk,
            self.system_disk_gib,
            self.public_bandwidth_mbit,
            self.stopping,
            self.endpoint,
        )
        return CloudSource("aliyun", self.template(batch=self.batch), account)


class Ec2Form(CloudForm):
    """One region of an Amazon EC2 account, or of a cloud that speaks its API."""

    kind: Literal["ec2"]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    profile: str = ""
    credentials_file: str = ""
    clusters: Clusters = Field(default_factory=list)
    lent: LentForm | None = None
    in_flight: Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)] = 40
    batch: Annotated[int, Field(ge=1, le=100)] = 100
    instance_profile: str = ""
    user_data_file: str = ""
    stopping: bool = False
    endpoint: str = ""

    @model_validator(mode="after")
    def _is_told_one_way(self) -> "Ec2Form":
        if self.profile and self.credentials_file:
            raise ValueError("profile and credentials_file are two ways to say the same: keep one of them")
        for one in self.types:
            if one.billing in (Billing.MONTHLY, Billing.YEARLY):
                raise ValueError(f"type {one.name}: EC2 has no machines that are paid by the month or year")
            if one.billing == Billing.SPOT and self.stopping and one.price_stopped_usd_per_hour:
                raise ValueError(f"type {one.name}: spot machines cannot be switched off and kept")
        return self

    def source(self) -> CloudSource:
        """Return the frozen value."""
        account = Ec2Account(
            self.region,
            self.profile,
            self.credentials_file,
            self.instance_profile,
            self.user_data_file,
            self.stopping,
            self.endpoint,
        )
        return CloudSource("ec2", self.template(batch=self.batch), account)


AccountForm = LibcloudForm | OpenStackForm | AliyunForm | Ec2Form
ACCOUNT_KINDS = frozenset({"libcloud", "openstack", "aliyun", "ec2"})
