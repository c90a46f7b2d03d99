"""Reads scenarios of `kind: surge`: an application, how its services work, the load on it, hosts, what must hold."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcp import compose
from dcp.compose.scalars import one_of
from dcp.engine.settings import EngineSettings
from dcp.hosts.model import Resources
from dcp.kernel.errors import InvalidInput, Problem
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.orchestration.services.model import ApplicationSpec
from dcp.settings.forms import parse_form, read_text
from dcp.settings.values import Cpus, Memory, Name, Price
from dcp.simulation.load.arrivals import arrivals, surge
from dcp.simulation.load.faults import FAULTS, Fault
from dcp.simulation.load.loads import busiest, read_values, trace
from dcp.simulation.load.model import Curve, Site
from dcp.simulation.load.requests import RequestScenario, ServiceQueue

SUBJECT = "scenario"
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueueForm(_Form):
    """How an instance of a service works."""

    concurrency: Annotated[int, Field(ge=1, le=100_000)]
    service_ms: Annotated[float, Field(gt=0, le=600_000)]
    spread: Share = 0.0
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=10)] = 0


class SurgeForm(_Form):
    """So many times as many requests, for a while."""

    times: Annotated[float, Field(ge=1, le=1000)]
    at_s: Seconds
    ramp_s: Seconds = 2.0
    hold_s: Seconds
    fall_s: Seconds = 2.0


class TraceForm(_Form):
    """The busiest part of a file of numbers: a column of a CSV, or one in each line."""

    file: Path
    column: str = ""
    every_s: Annotated[float, Field(gt=0, le=86400)]


class LoadForm(_Form):
    """What enters: at `requests_per_s`, with a surge, or in the shape of a trace of that mean."""

    entry: Name
    requests_per_s: Rate
    lasts_s: Annotated[float, Field(gt=0, le=86400)]
    surge: SurgeForm | None = None
    trace: TraceForm | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> "LoadForm":
        if self.surge is not None and self.trace is not None:
            raise ValueError("has a surge and a trace: state one of them")
        return self


class SiteForm(_Form):
    """Hosts that there are, and how long things take."""

    private_hosts: Annotated[int, Field(ge=1, le=100_000)]
    cpus: Cpus
    memory: Memory
    cloud_usd_per_hour: Price = 0.0
    boot_s: tuple[Seconds, Seconds] = (60.0, 120.0)
    start_s: tuple[Seconds, Seconds] = (2.0, 6.0)


class FaultForm(_Form):
    """Something that goes wrong; see `simulation.load.faults`."""

    name: Annotated[str, one_of(*FAULTS)]
    at_s: Seconds
    for_s: Seconds = 0.0
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    service: str = ""


class PromiseForm(_Form):
    """What must hold at a quantile over all seeds."""

    quantile: Annotated[float, Field(gt=0, le=1)] = 0.99
    recovery_s: Seconds | None = None
    slow_ratio: Share | None = None
    failed: Annotated[int, Field(ge=0)] | None = None


class RequestsForm(_Form):
    """The whole file of a surge."""

    kind: Literal["surge"]
    name: Name
    application: Path
    services: dict[Name, QueueForm]
    load: LoadForm
    site: SiteForm
    policy: Policy = Policy.GATED
    time_scale: Annotated[float, Field(ge=1, le=10_000)] = 1.0
    faults: list[FaultForm] = Field(default_factory=list)
    promise: PromiseForm = PromiseForm()


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold at a quantile over all seeds; None: nothing is promised of it."""

    quantile: float
    recovery_s: float | None
    slow_ratio: float | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class SurgeScenario:
    """A scenario that was read. `begins_s`: when the surge begins; None: there is no single one."""

    name: str
    requests: RequestScenario
    begins_s: float | None
    promise: Promise


def read_surge(path: Path) -> SurgeScenario:
    """Return the scenario of a file; what it names is looked for beside it. Raises InvalidInput with every problem."""
    form = parse_form(read_text(path, SUBJECT), str(path), RequestsForm, SUBJECT, hint="such as kind: surge")
    spec = compose.read(path.parent / form.application, environment=os.environ).spec
    if problems := tuple(_problems(form, spec)):
        raise InvalidInput(problems, subject=f"{SUBJECT} {path}")
    curve, lasts_s = _curve(form.load, path.parent), form.load.lasts_s
    site = form.site
    return SurgeScenario(
        name=form.name,
        requests=RequestScenario(
            spec=spec,
            queues={name: ServiceQueue(**queue.model_dump()) for name, queue in form.services.items()},
            entry=form.load.entry,
            arrivals_s=lambda seed: arrivals(curve, lasts_s, seed),
            lasts_s=lasts_s,
            settings=EngineSettings(policy=form.policy, timing=Timing().scaled(form.time_scale)),
            site=Site(
                shape=Resources(site.cpus, site.memory),
                private_hosts=site.private_hosts,
                cloud_usd_per_hour=site.cloud_usd_per_hour,
                boot_s=site.boot_s,
                start_s=site.start_s,
            ),
            faults=tuple(Fault(**fault.model_dump()) for fault in form.faults),
        ),
        begins_s=form.load.surge.at_s if form.load.surge else None,
        promise=Promise(**form.promise.model_dump()),
    )


def _problems(form: RequestsForm, spec: ApplicationSpec) -> list[Problem]:
    names = {one.name for one in spec.services}
    found = [
        Problem(f"services.{name}", "is not a service of the application") for name in form.services.keys() - names
    ]
    found += [
        Problem("services", f"does not say how {name} works", "concurrency and service_ms")
        for name in sorted(names - form.services.keys())
    ]
    found += [
        Problem(f"faults.{number}.service", f"{fault.service} is not a service of the application")
        for number, fault in enumerate(form.faults)
        if fault.service and fault.service not in names
    ]
    if form.load.entry not in names:
        found.append(Problem("load.entry", f"{form.load.entry} is not a service of the application"))
    if form.promise.recovery_s is not None and form.load.surge is None:
        found.append(Problem("promise.recovery_s", "there is no surge to recover from", "state load.surge"))
    return found


def _curve(load: LoadForm, folder: Path) -> Curve:
    if load.trace is not None:
        values = read_values(folder / load.trace.file, load.trace.column)
        length = max(2, round(load.lasts_s / load.trace.every_s))
        return trace(busiest(values, min(length, len(values))), load.trace.every_s, load.requests_per_s)
    base = load.requests_per_s
    if load.surge is None:
        return lambda second: base
    shape = load.surge
    return surge(base, shape.times, shape.at_s, shape.ramp_s, shape.hold_s, shape.fall_s)
