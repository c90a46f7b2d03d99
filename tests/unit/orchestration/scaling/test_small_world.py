"""The decisions closed into a loop with queues: surges are met once, and everything is given back."""

import pytest
import small_world
from scaling_builders import TIMING, service
from small_world import SmallWorld

from dcp.orchestration.scaling.model import Direction, Policy
from dcp.orchestration.services.model import ServiceSpec

SURGE_S, OVER_S = 16, 61


def shop() -> tuple[ServiceSpec, ...]:
    return (
        service("feed", calls={"user": 0.4, "card": 0.3}, low=2, high=60),
        service("user", low=1, high=60),
        service("card", low=1, high=60),
    )


def ride_out(policy: Policy = Policy.GATED, seed: int | None = None, starts_in: int = 2) -> SmallWorld:
    """A 6x surge for 45 windows, then quiet for long enough to give everything back."""
    world = SmallWorld(*shop(), policy=policy, seed=seed, starts_in=starts_in)
    world.run(SURGE_S - 1, {"feed": 80.0})
    world.run(OVER_S - SURGE_S, {"feed": 480.0})
    world.run(160, {"feed": 80.0})
    return world


def grows_at(world: SmallWorld, name: str) -> list[int]:
    return [tick for tick, said in enumerate(world.history, 1) if said[name].direction is Direction.GROW]


def test_a_surge_is_met_by_one_growth_of_all_services_at_once() -> None:
    world = ride_out()
    assert grows_at(world, "feed") == grows_at(world, "user") == grows_at(world, "card")
    assert len(grows_at(world, "feed")) == 1
    assert grows_at(world, "feed")[0] <= SURGE_S + TIMING.agree


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("starts_in", [1, 3, 8])
def test_every_policy_returns_to_where_it_began(policy: Policy, starts_in: int) -> None:
    world = ride_out(policy, starts_in=starts_in)
    assert {name: one.state.target for name, one in world.services.items()} == {"feed": 2, "user": 1, "card": 1}
    assert all(one.queue == 0 for one in world.services.values())


@pytest.mark.parametrize("seed", range(8))
def test_noise_adds_no_growth_and_nothing_flaps(seed: int) -> None:
    world = ride_out(seed=seed)
    assert {name: one.state.target for name, one in world.services.items()} == {"feed": 2, "user": 1, "card": 1}
    for name, most in (("feed", 16), ("user", 8), ("card", 7)):
        assert len(grows_at(world, name)) <= 2
        assert max(world.changes(name)) <= most
        after = world.changes(name)[len(grows_at(world, name)) + 1 :]
        assert after == sorted(after, reverse=True)


def test_growth_by_callers_uses_fewer_instances_than_growth_on_their_own() -> None:
    together, apart = ride_out(), ride_out(Policy.INDEPENDENT)
    for name in ("user", "card"):
        assert max(together.changes(name)) < max(apart.changes(name))


def test_shrinking_goes_from_dependants_to_dependencies() -> None:
    world = ride_out()
    first = {
        name: next(tick for tick, said in enumerate(world.history) if said[name].direction is Direction.SHRINK)
        for name in world.services
    }
    assert first["feed"] < min(first["user"], first["card"])


@pytest.mark.parametrize("load", [0.0, 10.0, 100.0, 140.0, 180.0, 230.0, 900.0])
def test_steady_load_causes_nothing_after_settling(load: float) -> None:
    """Settling includes working off what waited at first, and giving back what that took."""
    world = SmallWorld(*shop())
    world.run(240, {"feed": load})
    before = world.targets_seen[-1]
    world.run(150, {"feed": load})
    assert all(seen == before for seen in world.targets_seen[240:])


@pytest.mark.parametrize("load", [100.0, 230.0, 900.0])
def test_steady_load_with_noise_never_grows_what_has_settled(load: float) -> None:
    """A release that is under way may still find one instance too many in a quieter moment; nothing comes back."""
    world = SmallWorld(*shop(), seed=1)
    world.run(240, {"feed": load})
    world.run(150, {"feed": load})
    for name in world.services:
        assert max(grows_at(world, name), default=0) <= 240
        assert world.targets_seen[240][name] - world.targets_seen[-1][name] <= 1


def test_capacity_that_was_measured_too_high_is_made_up_for_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_world, "HEADROOM", 0.4)
    world = SmallWorld(*shop())
    world.run(10, {"feed": 50.0})
    world.run(110, {"feed": 300.0})
    assert "still-below-fatal" in {said["feed"].reason for said in world.history}
    assert world.services["feed"].queue == 0


def test_missing_metrics_after_a_surge_give_nothing_back() -> None:
    world = SmallWorld(*shop())
    world.blind = lambda tick, name: tick > OVER_S and tick % 4 == 0
    world.run(SURGE_S - 1, {"feed": 80.0})
    world.run(OVER_S - SURGE_S, {"feed": 480.0})
    peak = {name: one.state.target for name, one in world.services.items()}
    world.run(200, {"feed": 80.0})
    assert {name: one.state.target for name, one in world.services.items()} == peak
    world.blind = lambda tick, name: False
    world.run(160, {"feed": 80.0})
    assert {name: one.state.target for name, one in world.services.items()} == {"feed": 2, "user": 1, "card": 1}
