"""The difference between two specifications: complete, ordered, and without secrets."""

import dataclasses
from dataclasses import replace

import pytest

from dcp.hosts.model import Resources
from dcp.orchestration.services.brakes import Brakes
from dcp.orchestration.services.container import ContainerSpec
from dcp.orchestration.services.degrade import Degrade
from dcp.orchestration.services.difference import (
    _CONTAINER_PATHS,
    REDACTED,
    Change,
    Effect,
    difference,
    needs_replacement,
    shown,
)
from dcp.orchestration.services.forecasting import Forecasting
from dcp.orchestration.services.model import (
    ApplicationSpec,
    Call,
    Capacity,
    Dependency,
    DependencyCondition,
    Elastic,
    HealthCheck,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    UpdatePolicy,
)
from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.orchestration.services.quiet_hours import QuietHours
from dcp.orchestration.services.signals import Signal
from dcp.orchestration.services.timetable import TimetableEntry
from dcp.scheduling.model import Neighbour

FEED = ServiceSpec("feed", ("serve", "--port", "80"), Resources(250, 128 * 1024**2), environment=(("MODE", "a"),))
USER = ServiceSpec("user", ("serve",), Resources(500, 64 * 1024**2))

CHANGED: dict[str, tuple[object, Effect]] = {
    "command": (("serve", "--port 80"), Effect.REPLACE),
    "resources": (Resources(250, 128 * 1024**2 + 1), Effect.REPLACE),
    "replicas": (2, Effect.IN_PLACE),
    "image": ("feed:2", Effect.REPLACE),
    "environment": ((("MODE", "b"),), Effect.REPLACE),
    "working_dir": ("/srv", Effect.REPLACE),
    "published_port": (8080, Effect.IN_PLACE),
    "target_port": (80, Effect.REPLACE),
    "depends_on": ((Dependency("user", DependencyCondition.STARTED),), Effect.IN_PLACE),
    "calls": ((Call("user", 0.4),), Effect.IN_PLACE),
    "health": (HealthCheck(http_path="/healthz"), Effect.REPLACE),
    "elastic": (Elastic(1, 5), Effect.IN_PLACE),
    "signals": ((Signal("queue", "sum(queue)", 10.0),), Effect.IN_PLACE),
    "timetable": ((TimetableEntry(1140, 1380, instances=9),), Effect.IN_PLACE),
    "brakes": (Brakes(growth=2.0, grow_cooldown_s=30.0), Effect.IN_PLACE),
    "capacity": (Capacity(100, 50), Effect.IN_PLACE),
    "degrade": (Degrade(("comments",), "/switches"), Effect.IN_PLACE),
    "forecast": (Forecasting(ahead_s=900.0), Effect.IN_PLACE),
    "quiet_hours": (QuietHours(TimetableEntry(180, 300)), Effect.IN_PLACE),
    "slow_threshold_ms": (500, Effect.IN_PLACE),
    "max_per_host": (1, Effect.REPLACE),
    "constraints": (("node.labels.zone==a",), Effect.REPLACE),
    "rules": (PlacementRules(apart=(Neighbour("user", "zone"),)), Effect.REPLACE),
    "wishes": (PlacementWishes("fullest", priority=5), Effect.IN_PLACE),
    "restart": (RestartPolicy(RestartCondition.NONE), Effect.IN_PLACE),
    "update": (UpdatePolicy(2), Effect.IN_PLACE),
    "stop_grace_s": (3.0, Effect.REPLACE),
    "stop_signal": ("SIGINT", Effect.REPLACE),
    "container": (ContainerSpec(user="1000", cap_add=("NET_ADMIN",)), Effect.REPLACE),
    "labels": ((("team", "feed"),), Effect.IN_PLACE),
}


def shop(*services: ServiceSpec) -> ApplicationSpec:
    return ApplicationSpec("shop", services)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ServiceSpec) if f.name != "name"])
def test_every_field_of_a_service_shows_when_it_changes(field: str) -> None:
    value, effect = CHANGED[field]
    changed = replace(FEED, **{field: value})
    changes = difference(shop(FEED), shop(changed))
    assert changes
    assert {change.effect for change in changes} == {effect}
    assert all(change.before != change.after for change in changes)
    assert needs_replacement(FEED, changed) is (effect is Effect.REPLACE)
    assert difference(shop(changed), shop(FEED))


def test_the_same_specification_is_no_difference() -> None:
    full = replace(FEED, **{field: value for field, (value, _) in CHANGED.items()})
    assert difference(shop(full, USER), shop(full, USER)) == ()
    assert not needs_replacement(full, full)


def test_order_of_services_environment_and_labels_means_nothing() -> None:
    one = replace(FEED, environment=(("A", "1"), ("B", "2")), labels=(("x", "1"), ("y", "2")))
    two = replace(FEED, environment=(("B", "2"), ("A", "1")), labels=(("y", "2"), ("x", "1")))
    assert difference(shop(one, USER), shop(USER, two)) == ()
    assert not needs_replacement(one, two)


def test_services_come_and_go() -> None:
    elastic = replace(USER, replicas=2, elastic=Elastic(2, 9), published_port=8080)
    assert difference(None, shop(FEED)) == (
        Change("services.feed", "", "1 instance of 0.25 CPU, 128 MiB", Effect.CREATE),
    )
    assert difference(shop(FEED), shop(elastic)) == (
        Change("services.user", "", "2 instances (2 to 9) of 0.5 CPU, 64 MiB, port 8080", Effect.CREATE),
        Change("services.feed", "1 instance of 0.25 CPU, 128 MiB", "", Effect.REMOVE),
    )


def test_a_change_names_the_path_of_the_compose_file() -> None:
    changed = replace(FEED, resources=Resources(500, 128 * 1024**2), environment=(("MODE", ""), ("NEW", "1")))
    assert difference(shop(FEED), shop(changed)) == (
        Change("services.feed.environment.MODE", "a", '""', Effect.REPLACE),
        Change("services.feed.environment.NEW", "", "1", Effect.REPLACE),
        Change("services.feed.deploy.resources.limits.cpus", "0.25", "0.5", Effect.REPLACE),
    )


def test_an_amount_that_rounds_alike_is_shown_in_full() -> None:
    before = replace(FEED, resources=Resources(250, 2**30 + 1))
    after = replace(FEED, resources=Resources(250, 2**30 + 2))
    (change,) = difference(shop(before), shop(after))
    assert (change.before, change.after) == ("1073741825", "1073741826")


@pytest.mark.parametrize("name", ["DB_PASSWORD", "api_token", "CLIENT_SECRET", "AWS_ACCESS_KEY_ID", "PGPASSWD"])
def test_a_secret_variable_changes_without_being_shown(name: str) -> None:
    before, after = (replace(FEED, environment=((name, value),)) for value in ("hunter2", "hunter3"))
    (change,) = difference(shop(before), shop(after))
    assert change == Change(f"services.feed.environment.{name}", REDACTED, REDACTED, Effect.REPLACE)
    assert difference(shop(before), shop(before)) == ()


def test_secrets_in_urls_and_commands_are_not_shown() -> None:
    secret = "hunter2"
    command = ("serve", "--api-token", secret, f"--key={secret}", "sh", "-c", f"TOKEN='{secret} x' serve")
    assert shown("DATABASE_URL", f"postgres://me:{secret}@db/x") == f"postgres://me:{REDACTED}@db/x"
    (change,) = difference(shop(FEED), shop(replace(FEED, command=command)))
    assert secret not in str(change)
    (change,) = difference(shop(replace(FEED, command=command)), shop(replace(FEED, command=(*command, "more"))))
    assert secret not in str(change)
    assert shown("MODE", "plain") == "plain"


def test_every_part_of_a_container_has_its_place_in_the_file() -> None:
    assert set(_CONTAINER_PATHS) == {part.name for part in dataclasses.fields(ContainerSpec)}
