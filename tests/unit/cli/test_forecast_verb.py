"""`dcp forecast`: before anything is known it says so, and a service without one is not listed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import Dcp, served

FILE = """
name: page
services:
  feed:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.2", memory: 64M}}}
    x-dcp:
      elastic: {min: 1, max: 6}
      capacity: {units_per_s: 400, requests_per_s: 100}
      forecast: {mode: act, ahead: 10m}
  plain:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.1", memory: 64M}}}
"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Dcp]:
    (tmp_path / "page.yaml").write_text(FILE)
    with served(tmp_path) as command:
        result = command("apply", str(tmp_path / "page.yaml"))
        assert result.exit_code == 0, result.output
        yield command


def test_it_says_that_nothing_is_known_yet(page: Dcp) -> None:
    shown = page("forecast")
    assert shown.exit_code == 0, shown.output
    assert "feed" in shown.stdout and "plain" not in shown.stdout
    assert "nothing is foretold before two days are known" in shown.stdout
    (one,) = json.loads(page("forecast", "page", "--json").stdout)["services"]
    assert (one["mode"], one["ahead_s"], one["judged"]) == ("act", 600.0, None)
    assert page("forecast", "nobody").exit_code == 2
