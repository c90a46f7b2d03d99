"""Reads scenario files: every fault by its path and line, nothing unknown is passed over."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dcp.compose.yaml_text import parse_yaml
from dcp.settings.forms import parse_form, read_text
from dcp.settings.spares import QuantileMap, SparesForm
from dcp.settings.values import Name, Price, refuse_twice
from dcp.simulation.fleet.scenario import CloudScenario, CloudType, FleetScenario, Promise, Quantiles

SUBJECT = "scenario"
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _range(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] < value[0]:
        raise ValueError("the second must not be below the first, such as [1, 5]")
    return value


SecondsRange = Annotated[tuple[Seconds, Seconds], BeforeValidator(lambda value: value), AfterValidator(_range)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CloudTypeForm(_Form):
    """A kind of host that every zone offers."""

    name: Name
    price_usd_per_hour: Price


class CallsForm(_Form):
    """What one account's API takes."""

    in_flight: Count = 40
    batch: Count = 10
    call_s: SecondsRange = (2.0, 4.0)
    creations_per_min: Annotated[float, Field(gt=0, le=1_000_000)] = 300.0
    burst: Count = 40

    @model_validator(mode="after")
    def _a_batch_can_be_made(self) -> "CallsForm":
        if self.batch > self.burst:
            raise ValueError(
                f"a batch of {self.batch} is above the burst of {self.burst}: it would be throttled for ever"
            )
        return self


class CloudForm(_Form):
    """The clouds of a scenario."""

    accounts: Count = 1
    hosts_per_account: Count = 100_000
    types: Annotated[list[CloudTypeForm], Field(min_length=1)]
    zones: Annotated[list[Name], Field(min_length=1)]
    boot_s: QuantileMap
    failed_initialisations: Share = 0.0
    out_of_stock: Share = 0.0
    out_of_stock_s: Annotated[float, Field(gt=0, le=86400)] = 300.0
    calls: CallsForm = CallsForm()

    @model_validator(mode="after")
    def _names_differ(self) -> "CloudForm":
        refuse_twice([one.name for one in self.types], "type")
        refuse_twice(self.zones, "zone")
        return self

    def scenario(self) -> CloudScenario:
        """Return the frozen value."""
        return CloudScenario(
            accounts=self.accounts,
            hosts_per_account=self.hosts_per_account,
            types=tuple(CloudType(one.name, one.price_usd_per_hour) for one in self.types),
            zones=tuple(self.zones),
            boot=Quantiles(tuple(self.boot_s.items())),
            failed_initialisations=self.failed_initialisations,
            out_of_stock=self.out_of_stock,
            out_of_stock_s=self.out_of_stock_s,
            **self.calls.model_dump(),
        )


class PromiseForm(_Form):
    """What must hold at a quantile over all seeds."""

    quantile: Annotated[float, Field(gt=0, le=1)] = 0.99
    serving_s: Seconds
    own_share_s: Seconds | None = None


class GrowthForm(_Form):
    """The whole file of a scenario of growth."""

    kind: Literal["growth"]
    name: Name
    before: Count
    nodes: Count
    private_hosts: Count
    start_s: SecondsRange = (1.0, 5.0)
    cloud: CloudForm
    spares: SparesForm | None = None
    promise: PromiseForm

    @model_validator(mode="after")
    def _can_be_played(self) -> "GrowthForm":
        if self.before > self.private_hosts:
            raise ValueError(f"before is {self.before}, but private_hosts is {self.private_hosts}: they stand on those")
        room = self.private_hosts - self.before + self.cloud.accounts * self.cloud.hosts_per_account
        if room < self.nodes:
            raise ValueError(f"nodes is {self.nodes}, but clouds and free private hosts have {room}")
        return self

    def scenario(self) -> FleetScenario:
        """Return the frozen value."""
        return FleetScenario(
            name=self.name,
            before=self.before,
            nodes=self.nodes,
            private_hosts=self.private_hosts,
            promise=Promise(**self.promise.model_dump()),
            start_s=self.start_s,
            cloud=self.cloud.scenario(),
            spares=self.spares.settings() if self.spares else None,
        )


def read_scenario(path: Path) -> FleetScenario:
    """Return the scenario of a file. Raises InvalidInput with every problem."""
    return parse_scenario(read_text(path, SUBJECT), str(path))


def kind_of(path: Path) -> str:
    """Return what kind of scenario a file says that it is; empty where it says none. Raises InvalidInput."""
    data = parse_yaml(read_text(path, SUBJECT), str(path)).data
    return str(data.get("kind", "")) if isinstance(data, dict) else ""


def parse_scenario(text: str, name: str) -> FleetScenario:
    """Return the scenario in `text`; `name` is what problems call the file. Raises InvalidInput."""
    return parse_form(text, name, GrowthForm, SUBJECT, hint="such as kind: growth, or kind: surge").scenario()
