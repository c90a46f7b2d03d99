"""docs/dcp.yaml is documentation, schema and fixture at once."""

import re
from dataclasses import fields
from pathlib import Path

from pydantic import BaseModel

from dcp.engine.settings import EngineSettings
from dcp.settings.faults import models_in
from dcp.settings.model import FakeCloudSource
from dcp.settings.read import parse_settings
from dcp.settings.schema import EngineForm, SettingsForm

REFERENCE = Path(__file__).parents[3] / "docs" / "dcp.yaml"
TEXT = REFERENCE.read_text()
WITH_EXAMPLES = re.sub(r"^#(?=  )", "", TEXT, flags=re.MULTILINE)


def test_it_means_the_same_as_no_file():
    assert parse_settings(TEXT, "docs/dcp.yaml") == parse_settings("", "nothing")


def test_its_examples_are_valid():
    settings = parse_settings(WITH_EXAMPLES, "docs/dcp.yaml")
    cloud = settings.sources[1]
    assert isinstance(cloud, FakeCloudSource)
    assert cloud.stock == (("small", 10),)
    assert cloud.types[0].boot_s == 20
    (news,) = settings.engine.clusters
    assert (news.name, news.max_cloud_hosts, news.hard_cap_usd_per_hour) == ("news", 50, 40)


def test_every_key_of_the_models_stands_in_it():
    keys = {key for model in every_model(SettingsForm) for key in model.model_fields}
    missing = [key for key in sorted(keys) if not re.search(rf"^[ #-]*{key}:", TEXT, flags=re.MULTILINE)]
    assert missing == []


def test_every_setting_of_the_engine_can_be_told():
    elsewhere = {
        "policy",
        "timing",
        "listen_ports",
        "listen_address",
        "underlay",
        "discovery",
        "advertise_address",
        "site_addresses",
        "clusters",
        "access",
        "loans",
    }
    assert set(EngineForm.model_fields) == {field.name for field in fields(EngineSettings)} - elsewhere


def every_model(model: type[BaseModel]) -> set[type[BaseModel]]:
    below = {inner for field in model.model_fields.values() for inner in models_in(field.annotation)}
    return {model}.union(*(every_model(inner) for inner in below))
