"""The table of keys: complete, consistent with the models, and the same as in the documentation."""

import re
from pathlib import Path

import pytest
from compose_spec.models import ComposeSpecification, Service
from pydantic import BaseModel

from dcp import compose
from dcp.compose import schema
from dcp.compose.key_table import KEYS
from dcp.compose.keys import Treatment
from dcp.compose.reference import render, with_tables

DOCUMENT = Path(__file__).parents[3] / "docs" / "compose.md"
PATHS = {key.path: key for key in KEYS}


def test_no_key_stands_twice() -> None:
    assert len(PATHS) == len(KEYS)


def test_what_is_refused_says_what_to_do() -> None:
    assert [key.path for key in KEYS if key.treatment is Treatment.REFUSED and not key.hint] == []
    assert [key.path for key in KEYS if not key.note] == []


@pytest.mark.parametrize(("model", "prefix"), [(ComposeSpecification, ""), (Service, "services.*.")])
def test_no_key_of_compose_is_forgotten(model: type[BaseModel], prefix: str) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if f"{prefix}{name}" not in PATHS} <= {"extensions"}


PARTS: dict[str, type[BaseModel]] = {
    "": schema.Service,
    "ports.*.": schema.PortEntry,
    "env_file.*.": schema.EnvFileEntry,
    "depends_on.*.": schema.DependsOn,
    "healthcheck.": schema.Healthcheck,
    "deploy.": schema.Deploy,
    "deploy.resources.": schema.ResourcesPart,
    "deploy.resources.limits.": schema.Limits,
    "deploy.resources.reservations.": schema.Reservations,
    "deploy.resources.reservations.generic_resources.*.": schema.GenericResource,
    "deploy.resources.reservations.generic_resources.*.discrete_resource_spec.": schema.Discrete,
    "deploy.placement.": schema.Placement,
    "deploy.placement.preferences.*.": schema.Preference,
    "deploy.restart_policy.": schema.RestartPolicyPart,
    "deploy.update_config.": schema.UpdateConfig,
    "deploy.rollback_config.": schema.UpdateConfig,
    "volumes.*.": schema.VolumeEntry,
    "volumes.*.tmpfs.": schema.TmpfsOptions,
    "secrets.*.": schema.SecretUse,
    "logging.": schema.Logging,
    "x-dcp.": schema.Dcp,
    "x-dcp.elastic.": schema.ElasticPart,
    "x-dcp.signals.*.": schema.SignalPart,
    "x-dcp.timetable.*.": schema.TimetablePart,
    "x-dcp.quiet_hours.": schema.QuietHoursPart,
    "x-dcp.degrade.": schema.DegradePart,
    "x-dcp.forecast.": schema.ForecastPart,
    "x-dcp.brakes.": schema.BrakesPart,
    "x-dcp.placement.": schema.PlacementPart,
    "x-dcp.placement.beside.*.": schema.NeighbourPart,
    "x-dcp.placement.apart.*.": schema.NeighbourPart,
    "x-dcp.placement.spread.*.": schema.SpreadPart,
    "x-dcp.capacity.": schema.CapacityPart,
    "x-dcp.health.": schema.HttpHealth,
}


@pytest.mark.parametrize("part", PARTS)
def test_a_key_is_honoured_exactly_when_a_model_reads_it(part: str) -> None:
    prefix = f"services.*.{part}"
    read = {field.alias or name for name, field in PARTS[part].model_fields.items()}
    honoured = {
        path.removeprefix(prefix)
        for path, key in PATHS.items()
        if path.startswith(prefix) and "." not in path.removeprefix(prefix) and key.treatment is Treatment.HONOURED
    }
    checked_but_left_out = {path.removeprefix(prefix) for path in PATHS} & read - honoured
    assert honoured <= read
    assert all(PATHS[prefix + name].treatment is Treatment.WARNED for name in checked_but_left_out)
    assert read <= honoured | checked_but_left_out


def test_the_documentation_shows_the_table_as_it_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_tables(text), "run: python -m dcp.compose.reference docs/compose.md"


@pytest.mark.parametrize("path", PATHS)
def test_every_key_is_documented(path: str) -> None:
    assert f"`{path.removeprefix('services.*.')}`" in DOCUMENT.read_text(encoding="utf-8")


def test_the_marks_must_be_there() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        with_tables("nothing")
    assert "`x-dcp.elastic.max`" in render()


def test_the_examples_of_the_documentation_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(services:.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "compose.yaml").write_text(block, encoding="utf-8")
        assert compose.read(tmp_path / "compose.yaml", environment={}).warnings == ()
