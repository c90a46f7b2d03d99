"""An application under dcp: the production engine, planner and store, on a virtual clock, over fake drivers."""

from dataclasses import dataclass, replace

from dcp.engine.settings import EngineSettings
from dcp.engine.surges import Asked, SurgeAsked, plan_surge
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.orchestration.services.model import ServiceKey
from dcp.simulation.load.ground import Ground, make_ground
from dcp.simulation.load.meter import TICK_S, Meter
from dcp.simulation.load.model import LoadResult, LoadScenario
from dcp.simulation.virtual_time import run_virtual

TOLD_S = 600.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """How dcp scales in a run."""

    policy: Policy = Policy.GATED
    timing: Timing = Timing()
    name: str = "gated"
    told: bool = False
    """A person planned the surge of the scenario, `TOLD_S` before it begins at the latest."""


def simulate_scaled(scenario: LoadScenario, seed: int, scaling: Scaling) -> LoadResult:
    """Run a scenario once. Raises RuntimeError if the controller met a fault of its own."""
    return run_virtual(_play(scenario, seed, scaling))


async def _play(scenario: LoadScenario, seed: int, scaling: Scaling) -> LoadResult:
    settings = EngineSettings(policy=scaling.policy, timing=scaling.timing, seed=seed)
    ground, meter = make_ground(scenario.spec, scenario.site, settings, seed), Meter(scenario)
    await ground.begin()
    if scaling.told and scenario.surge_at_s is not None:
        await _tell(ground, scenario, ground.clock.now() + scenario.surge_at_s)
    while not meter.over:
        meter.tick(ground.serving(), len(ground.runtime.running()), len(await ground.cloud.list_all()))
        for name, queue in meter.fluid.queues.items():
            ground.balancer.set_traffic(ServiceKey(scenario.spec.name, name), queue.counted())
        await ground.clock.sleep(TICK_S)
        ground.check()
    await ground.end()
    return meter.result(scaling.name, seed)


async def _tell(ground: Ground, scenario: LoadScenario, begins_at: float) -> None:
    """Plan the step as somebody would who knows its height: `TOLD_S` before, until the end."""
    highest = max(scenario.curve(second) for second in range(int(scenario.lasts_s)))
    asked = SurgeAsked(
        application=scenario.spec.name,
        services=(Asked(scenario.entry, requests_per_s=highest),),
        lasts_s=scenario.lasts_s,
        begins_at=begins_at,
        lead_s=TOLD_S,
    )
    await plan_surge(ground.context, asked)


def quicker(factor: float) -> Timing:
    """Return dcp's windows with samples that are `factor` times shorter; what is slow on purpose stays as slow."""
    timing = Timing()
    return replace(timing, sample_s=timing.sample_s / factor)
