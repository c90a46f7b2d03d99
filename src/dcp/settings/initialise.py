"""The part of `dcp.yaml` that says how bare hosts are made ready, and the form of hosts that are reached over SSH."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dcp.hosts.initialising import InitialiseLimits
from dcp.orchestration.services.validate import NAME
from dcp.settings.loans import LentForm
from dcp.settings.values import LABEL, Clusters, Cpus, Labels, Memory, Name, Price, Sized, SourceQuota, refuse_twice

_LIMITS = InitialiseLimits()
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
USER = r"^[a-z_][a-z0-9_-]{0,31}$"
OWN_KEY = "initialise"
"""Name of `initialise.key` among the keys that machines name."""
ROLE = r"^[A-Za-z_][\w.-]*$"


def _engine(value: str) -> str:
    if "{address}" not in value or not value.startswith(("tcp://", "ssh://")):
        raise ValueError("not the URL of an engine with {address} in it, such as ssh://root@{address}")
    return value


def _key_name(value: str) -> str:
    if value == OWN_KEY:
        raise ValueError(f"{OWN_KEY} is the name of initialise.key; choose another")
    if not NAME.fullmatch(value):
        raise ValueError("not a name: use lower-case letters, digits, - and _")
    return value


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhaseLimitsForm(_Form):
    """How long a host may be in each phase."""

    connect: Seconds = 120.0
    packages: Seconds = 600.0
    system: Seconds = 120.0
    engine: Seconds = 600.0
    exporter: Seconds = 300.0
    own_roles: Seconds = 900.0


class InitialiseForm(_Form):
    """How bare hosts are reached, what is applied to them, and how many at once."""

    user: Annotated[str, Field(pattern=USER)] = "root"
    port: Port = 22
    key: str = ""
    keys: dict[Annotated[str, AfterValidator(_key_name)], Annotated[str, Field(pattern=r"^/[^\n]+$")]] = Field(
        default_factory=dict
    )
    host_keys: Literal["accept-new", "known"] = "accept-new"
    forks: Annotated[int, Field(ge=1, le=1000)] = _LIMITS.forks
    runs: Annotated[int, Field(ge=1, le=100)] = _LIMITS.runs
    attempts: Annotated[int, Field(ge=1, le=100)] = _LIMITS.attempts
    back_off_s: Seconds = _LIMITS.back_off_s
    limits_s: PhaseLimitsForm = PhaseLimitsForm()
    roles_path: str = ""
    roles: list[Annotated[str, Field(pattern=ROLE)]] = Field(default_factory=list)
    vars: dict[str, Any] = Field(default_factory=dict)

    def limits(self) -> InitialiseLimits:
        """Return the frozen value."""
        return InitialiseLimits(self.forks, self.runs, self.attempts, self.back_off_s)


class StaticHostForm(_Form, Sized):
    """A machine that is there."""

    name: Name
    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$")]
    cpus: Cpus
    memory: Memory
    site: Annotated[str, Field(pattern=LABEL)] | None = None
    price_usd_per_hour: Price = 0.0
    labels: Labels = Field(default_factory=dict)


class StaticForm(_Form):
    """Machines that are there and answer over SSH, named one by one; they come bare."""

    name: Name
    kind: Literal["static"]
    engine: Annotated[str, AfterValidator(_engine)] = "ssh://root@{address}"
    port: Port = 22
    clusters: Clusters = Field(default_factory=list)
    quota: SourceQuota | None = None
    lent: LentForm | None = None
    hosts: Annotated[list[StaticHostForm], Field(min_length=1)]

    @model_validator(mode="after")
    def _hosts_differ(self) -> "StaticForm":
        refuse_twice([one.name for one in self.hosts], "host")
        refuse_twice([one.address for one in self.hosts], "address")
        return self
