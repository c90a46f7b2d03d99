"""Whole valid files: read without problems, the same way every time, and by other readers of Compose too."""

from pathlib import Path

import compose_spec
import pytest
import yaml

from dcp import compose
from dcp.compose.interpolate import interpolate
from dcp.compose.yaml_text import Value, parse_yaml
from dcp.orchestration.services.difference import difference
from dcp.orchestration.services.model import ApplicationSpec, RestartCondition

HERE = Path(__file__).parent / "valid"
EXAMPLES = Path(__file__).parents[3] / "examples"
VALID = sorted([*HERE.glob("*.yaml"), *EXAMPLES.glob("*/compose.yaml")])
ENVIRONMENT = {"PASSTHROUGH": "through"}


def filled(value: Value) -> Value:
    """Return data with variables replaced: what any other reader has to be given."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return interpolate(value, ENVIRONMENT.get).text if isinstance(value, str) else value


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_valid_file_reads_the_same_way_every_time(path: Path) -> None:
    first = compose.read(path, environment=ENVIRONMENT, profiles=("*",))
    second = compose.read(path, environment=ENVIRONMENT, profiles=("*",))
    assert first == second
    assert difference(first.spec, second.spec) == ()
    assert first.spec.services


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_another_reader_of_compose_takes_the_file_too(path: Path) -> None:
    data = filled(parse_yaml(path.read_text(encoding="utf-8"), path.name).data)
    assert isinstance(data, dict)
    services = data["services"]
    assert isinstance(services, dict)
    theirs = compose_spec.PyCompose.from_yaml(yaml.safe_dump(data)).services
    assert theirs is not None
    assert set(theirs) == set(services)


def test_everything_is_read_as_it_stands() -> None:
    spec = compose.read(HERE / "everything.yaml", environment=ENVIRONMENT).spec
    assert (spec.name, [service.name for service in spec.services]) == ("shop", ["feed", "user", "card"])
    feed, user, card = spec.services
    assert (feed.image, feed.command) == ("registry.example/feed:latest", ("/bin/feed", "--listen", "0.0.0.0:80"))
    assert dict(feed.environment) == {
        "COST": "$5",
        "LEVEL": "info",
        "MODE": "fast",
        "PASSTHROUGH": "through",
        "QUOTED": '"as is" $HOME',
        "REGION": "eu # west",
    }
    assert feed.dependencies() == ("card", "user")
    assert [feed.stop_signal, user.stop_signal, card.stop_signal] == ["SIGINT", "SIGINT", "SIGTERM"]
    assert (user.replicas, card.restart.condition) == (3, RestartCondition.ON_FAILURE)
    assert feed.labels == (("com.example.tier", "front"), ("team", "feed"))


def test_a_smaller_file_means_the_defaults() -> None:
    result = compose.read(HERE / "minimal.yaml", environment={})
    (web,) = result.spec.services
    assert result.spec == ApplicationSpec("valid", (web,))
    assert (web.command, web.replicas, web.elastic, web.health) == (("python3", "-m", "http.server"), 1, None, None)


def test_what_is_harmless_is_left_out_and_said() -> None:
    result = compose.read(HERE / "harmless.yaml", environment={})
    assert [warning.path for warning in result.warnings] == [
        "version",
        "networks",
        "volumes",
        "services.web.deploy.resources.limits",
        "services.web.container_name",
        "services.web.hostname",
        "services.web.networks",
        "services.web.tty",
    ]
