"""Every fault of a specification is found and named by its path."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.hosts.model import Resources
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Call,
    Capacity,
    Dependency,
    Elastic,
    HealthCheck,
    RestartPolicy,
    ServiceSpec,
    UpdatePolicy,
)
from dcp.orchestration.services.validate import problems_of, unplaceable

MIB = 1024**2
FEED = ServiceSpec("feed", ("serve",), Resources(250, 128 * MIB))
USER = ServiceSpec("user", ("serve",), Resources(500, 64 * MIB))


def paths(*services: ServiceSpec, name: str = "shop") -> list[str]:
    problems = problems_of(ApplicationSpec(name, services))
    assert all(problem.hint for problem in problems), "every problem says what to do"
    return [problem.path for problem in problems]


def test_a_sound_specification_has_no_problems() -> None:
    feed = replace(
        FEED,
        replicas=2,
        environment=(("MODE", "a"),),
        working_dir="/srv",
        published_port=8080,
        target_port=80,
        depends_on=(Dependency("user"),),
        calls=(Call("user", 0.4),),
        health=HealthCheck(http_path="/healthz"),
        elastic=Elastic(1, 6),
        capacity=Capacity(100.0, 50.0),
        slow_threshold_ms=500,
        max_per_host=1,
        constraints=("node.labels.zone==a", "node.id!=h-1", "node.source==cloud"),
    )
    assert paths(feed, USER) == []
    assert paths(replace(FEED, replicas=0)) == []


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("services.Feed", replace(FEED, name="Feed")),
        ("services." + "f" * 64, replace(FEED, name="f" * 64)),
        ("services.feed.deploy.replicas", replace(FEED, replicas=-1)),
        ("services.feed.deploy.replicas", replace(FEED, replicas=10**9)),
        ("services.feed.deploy.replicas", replace(FEED, replicas=7, elastic=Elastic(1, 6))),
        ("services.feed.x-dcp.elastic.min", replace(FEED, replicas=0, elastic=Elastic(0, 6))),
        ("services.feed.x-dcp.elastic.max", replace(FEED, elastic=Elastic(3, 2))),
        ("services.feed.x-dcp.elastic.max", replace(FEED, elastic=Elastic(1, 10**9))),
        ("services.feed.x-dcp.elastic.fatal", replace(FEED, elastic=Elastic(1, 6, fatal_level=0.9))),
        ("services.feed.x-dcp.elastic.safe", replace(FEED, elastic=Elastic(1, 6, safe_level=1.2))),
        ("services.feed.x-dcp.elastic.safe", replace(FEED, elastic=Elastic(1, 6, safe_level=math.nan))),
        ("services.feed.x-dcp.capacity.units_per_s", replace(FEED, capacity=Capacity(0, 5))),
        ("services.feed.x-dcp.capacity.requests_per_s", replace(FEED, capacity=Capacity(5, math.inf))),
        ("services.feed.x-dcp.slow_threshold", replace(FEED, slow_threshold_ms=400)),
        ("services.feed.deploy.resources.limits.cpus", replace(FEED, resources=Resources(0, MIB))),
        ("services.feed.deploy.resources.limits.memory", replace(FEED, resources=Resources(1, 0))),
        ("services.feed.deploy.update_config.parallelism", replace(FEED, update=UpdatePolicy(0))),
        ("services.feed.deploy.restart_policy.delay", replace(FEED, restart=RestartPolicy(delay_s=-1))),
        ("services.feed.deploy.restart_policy.max_attempts", replace(FEED, restart=RestartPolicy(max_attempts=-1))),
        ("services.feed.deploy.restart_policy.window", replace(FEED, restart=RestartPolicy(window_s=math.nan))),
        ("services.feed.ports", replace(FEED, published_port=0)),
        ("services.feed.ports", replace(FEED, target_port=65536)),
        ("services.feed.healthcheck", replace(FEED, health=HealthCheck())),
        ("services.feed.x-dcp.health", replace(FEED, health=HealthCheck(command=("a",), http_path="/"))),
        ("services.feed.x-dcp.health.http", replace(FEED, health=HealthCheck(http_path="healthz"))),
        ("services.feed.healthcheck.interval", replace(FEED, health=HealthCheck(("a",), interval_s=0))),
        ("services.feed.healthcheck.timeout", replace(FEED, health=HealthCheck(("a",), timeout_s=0))),
        ("services.feed.healthcheck.retries", replace(FEED, health=HealthCheck(("a",), retries=0))),
        ("services.feed.healthcheck.start_period", replace(FEED, health=HealthCheck(("a",), start_period_s=-1))),
        ("services.feed.healthcheck.test", replace(FEED, health=HealthCheck(("a\0",)))),
        ("services.feed.command", replace(FEED, command=())),
        ("services.feed.command", replace(FEED, command=("a\0b",))),
        ("services.feed.environment", replace(FEED, environment=(("A=B", "c"),))),
        ("services.feed.environment.A", replace(FEED, environment=(("A", "b"), ("A", "c")))),
        ("services.feed.working_dir", replace(FEED, working_dir="srv")),
        ("services.feed.stop_signal", replace(FEED, stop_signal="SIGNONE")),
        ("services.feed.stop_grace_period", replace(FEED, stop_grace_s=math.inf)),
        ("services.feed.deploy.placement.max_replicas_per_node", replace(FEED, max_per_host=0)),
        ("services.feed.deploy.placement.constraints.0", replace(FEED, constraints=("node.role==manager",))),
        ("services.feed.deploy.placement.constraints.1", replace(FEED, constraints=("node.id==a", "zone=a"))),
        ("services.feed.deploy.placement.constraints.0", replace(FEED, constraints=("node.source==moon",))),
        ("services.feed.x-dcp.calls.feed", replace(FEED, calls=(Call("feed", 1),))),
        ("services.feed.depends_on.feed", replace(FEED, depends_on=(Dependency("feed"),))),
        ("services.feed.x-dcp.calls.user", replace(FEED, calls=(Call("user", 0.4),))),
        ("services.feed.depends_on.user", replace(FEED, depends_on=(Dependency("user"),))),
    ],
)
def test_a_fault_is_named_by_its_path(path: str, service: ServiceSpec) -> None:
    assert paths(service) == [path]


def test_an_application_needs_a_name_and_a_service() -> None:
    assert paths(FEED, name="My Shop") == ["name"]
    assert paths() == ["services"]


def test_services_that_share_a_name_or_a_port_are_refused() -> None:
    assert paths(FEED, FEED) == ["services.feed"]
    assert paths(replace(FEED, name="a-b"), replace(FEED, name="a_b")) == ["services.a_b"]
    assert paths(replace(FEED, published_port=80), replace(USER, published_port=80)) == ["services.user.ports"]


@pytest.mark.parametrize("rate", [0.0, -0.4, math.nan, math.inf])
def test_calls_per_request_are_above_zero(rate: float) -> None:
    assert paths(replace(FEED, calls=(Call("user", rate),)), USER) == ["services.feed.x-dcp.calls.user"]


def test_what_is_needed_has_at_least_one_instance() -> None:
    off = replace(USER, replicas=0)
    assert paths(replace(FEED, calls=(Call("user", 1),)), off) == ["services.feed.x-dcp.calls.user"]
    assert paths(replace(FEED, depends_on=(Dependency("user"),)), off) == ["services.feed.depends_on.user"]


def test_the_same_need_twice_is_refused() -> None:
    assert paths(replace(FEED, calls=(Call("user", 1), Call("user", 2))), USER) == ["services.feed.x-dcp.calls.user"]


def test_a_cycle_is_named_over_dependencies_and_calls_together() -> None:
    a, b, c = (replace(FEED, name=name) for name in "abc")
    a = replace(a, depends_on=(Dependency("b"),))
    b = replace(b, calls=(Call("c", 1),))
    c = replace(c, calls=(Call("a", 1),), depends_on=(Dependency("b"),))
    problems = problems_of(ApplicationSpec("shop", (c, b, a)))
    words = {problem.path: problem.message for problem in problems}
    assert words == {
        "services.c.depends_on.b": "services need each other in a circle: c → b → c",
        "services.c.x-dcp.calls.a": "services need each other in a circle: c → a → b → c",
    }


def test_all_faults_are_found_at_once() -> None:
    assert len(paths(replace(FEED, replicas=-1, working_dir="srv", stop_signal="x"), replace(USER, replicas=-1))) == 4


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30))
def test_a_cycle_is_reported_exactly_when_there_is_one(edges: list[tuple[int, int]]) -> None:
    calls: dict[int, dict[int, Call]] = {node: {} for node in range(8)}
    for one, other in edges:
        if one != other:
            calls[one][other] = Call(f"s{other}", 1)
    services = tuple(replace(FEED, name=f"s{node}", calls=tuple(out.values())) for node, out in calls.items())
    reached = {node: set(out) for node, out in calls.items()}
    for middle in range(8):
        for node in range(8):
            if middle in reached[node]:
                reached[node] |= reached[middle]
    assert bool(paths(*services)) is any(node in reached[node] for node in range(8))


def test_an_instance_larger_than_every_host_type_is_impossible() -> None:
    spec = ApplicationSpec("shop", (FEED, replace(USER, resources=Resources(3000, 64 * MIB))))
    wide, tall = Resources(2000, 256 * MIB), Resources(500, 1024 * MIB)
    assert unplaceable(spec, (Resources(4000, 128 * MIB),)) == ()
    (problem,) = unplaceable(spec, (wide, tall))
    assert (problem.path, problem.hint) == ("services.user.deploy.resources.limits.cpus", "the most is 2 CPU")
    (problem,) = unplaceable(
        ApplicationSpec("shop", (replace(FEED, resources=Resources(1, 2048 * MIB)),)), (wide, tall)
    )
    assert (problem.path, problem.hint) == ("services.feed.deploy.resources.limits.memory", "the most is 1 GiB")
    both = ApplicationSpec("shop", (replace(FEED, resources=Resources(2000, 1024 * MIB)),))
    (problem,) = unplaceable(both, (wide, tall))
    assert problem.path == "services.feed.deploy.resources.limits"
    assert problem.hint == "there are 0.5 CPU with 1 GiB or 2 CPU with 256 MiB"
    assert [p.path for p in unplaceable(spec, ())] == ["services"]
