"""`dcp confirm`: what needs a person waits for one, says so, and goes on once it is confirmed."""

import json
import time
from collections.abc import Callable, Iterator
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
      brakes: {confirm_above: 3}
  fixed:
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


def target(page: Dcp) -> int:
    return next(one["target"] for one in json.loads(page("services", "--json").stdout)["services"])


def eventually(holds: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not holds():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def test_growth_above_the_line_waits_for_a_person(page: Dcp) -> None:
    assert page("surge", "feed=5", "--for", "1h").exit_code == 0
    assert eventually(lambda: target(page) == 3), page("why", "feed").stdout
    assert eventually(lambda: "held by brake-confirm" in page("why", "feed").stdout), page("why", "feed").stdout
    assert "dcp confirm feed=5" in page("why", "feed").stdout
    assert "brake-confirm" in page("events").stdout
    confirmed = page("confirm", "feed=5", "--for", "30m")
    assert (confirmed.exit_code, "feed may grow to 5 instances until" in confirmed.stdout) == (0, True)
    assert eventually(lambda: target(page) == 5), page("why", "feed").stdout
    assert "a person lets it grow to 5 instances within 30m" in page("events").stdout


@pytest.mark.parametrize(
    "words",
    [["feed"], ["nobody=2"], ["fixed=2"], ["feed=7"], ["feed=2", "--for", "soon"], ["feed=2", "--for", "8d"]],
)
def test_what_cannot_be_confirmed_is_refused_and_changes_nothing(page: Dcp, words: list[str]) -> None:
    before = page("events", "--json").stdout
    result = page("confirm", *words)
    assert (result.exit_code, "hint" in result.output) == (2, True), result.output
    assert page("events", "--json").stdout == before
