"""`dcp surge` and `dcp surges`: moments, loads, the rehearsal, and what is refused."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from cli_world import Dcp, served

from dcp.cli.surges import begin
from dcp.kernel.errors import InvalidInput

ELASTIC = """
name: page
services:
  feed:
    command: [serve]
    ports: ["18080:80"]
    deploy: {resources: {limits: {cpus: "0.2", memory: 64M}}}
    x-dcp:
      elastic: {min: 1, max: 6}
      capacity: {units_per_s: 400, requests_per_s: 100}
      calls: {user: 1.0}
  user:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.2", memory: 64M}}}
    x-dcp:
      elastic: {min: 1, max: 6}
      capacity: {units_per_s: 400, requests_per_s: 100}
  fixed:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.1", memory: 64M}}}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Dcp]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.yaml").write_text(ELASTIC)
    with served(folder) as command:
        result = command("apply", str(folder / "page.yaml"))
        assert result.exit_code == 0, result.output
        yield command


def test_a_rehearsal_shows_what_it_takes_and_plans_nothing(page: Dcp):
    result = page("surge", "feed=100/s", "--for", "1h", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "rehearsal of feed=100/s for page" in result.stdout
    assert "planned surge surge-0 (feed=100/s) needs 2" in result.stdout
    assert "+ instance user-" in result.stdout
    assert "no surge is planned" in page("surges").stdout


def test_a_surge_is_planned_listed_acted_on_and_cancelled(page: Dcp):
    planned = page("surge", "page/feed=4", "--for", "2h", "--at", "+1h", "--lead", "2h", "--json")
    assert planned.exit_code == 0, planned.output
    surge = json.loads(planned.stdout)["surge"]
    assert surge["expected"] == [{"service": "feed", "requests_per_s": 0.0, "instances": 4}]
    assert "feed=4" in page("surges").stdout
    assert eventually(lambda: targets(page) == {"feed": 4, "user": 4, "fixed": 1}), targets(page)
    assert "planned surge" in page("why", "feed").stdout
    assert page("surges", "cancel", surge["id"]).exit_code == 0
    assert page("surges", "cancel", surge["id"]).exit_code == 0
    assert json.loads(page("surges", "--json").stdout) == {"surges": []}


def targets(page: Dcp) -> dict[str, int]:
    return {one["name"]: one["target"] for one in json.loads(page("services", "--json").stdout)["services"]}


def eventually(holds: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not holds() and time.monotonic() < limit:
        time.sleep(0.1)
    return holds()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["surge", "feed=many", "--for", "1h"], 2, "says no load"),
        (["surge", "feed=6x", "--for", "1h"], 2, "say requests/s, such as feed=600/s"),
        (["surge", "fixed=2", "--for", "1h"], 2, "is not elastic"),
        (["surge", "nobody=2", "--for", "1h"], 2, "is not a service of the application"),
        (["surge", "feed=2", "feed=3", "--for", "1h"], 2, "is named twice"),
        (["surge", "feed=2", "--for", "soon"], 2, "--for"),
        (["surge", "feed=2", "--for", "1h", "--at", "25:00"], 2, "is no moment"),
        (["surge", "feed=2", "--for", "1h", "--at", "2001-01-01T00:00"], 2, "over already"),
        (["surge", "feed=2", "--for", "1000d"], 2, "at most 90 days"),
        (["surge", "other/feed=2", "--for", "1h"], 2, "no application other"),
        (["surge", "a/feed=2", "b/feed=2", "--for", "1h"], 2, "several applications"),
        (["surges", "cancel", "surge-99"], 2, "no planned surge"),
    ],
)
def test_what_makes_no_sense_is_refused(page: Dcp, words: list[str], code: int, said: str):
    result = page(*words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_moments_are_those_of_the_clocks_here():
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 28, 22, 30, tzinfo=zone).timestamp()
    assert begin("now", now, zone) == now
    assert begin("+90m", now, zone) == now + 5400
    assert begin("23:00", now, zone) == now + 1800
    assert begin("22:00", now, zone) == now + 22.5 * 3600  # the clocks go forward that night
    assert begin("2026-03-28T21:30+00:00", now, zone) == now
    assert begin("2026-03-28T23:30", now, zone) == now + 3600
    with pytest.raises(InvalidInput):
        begin("tomorrow", now, zone)


def test_a_frozen_application_stays_as_it_is_until_it_is_thawed(page: Dcp):
    before = targets(page)
    assert page("freeze", "--why", "gala").exit_code == 0
    assert "frozen (gala)" in page("status").stdout
    surge = json.loads(page("surge", "feed=6", "--for", "1h", "--json").stdout)["surge"]["id"]
    assert eventually(lambda: "frozen (gala): stays at" in page("why", "feed").stdout)
    assert targets(page) == before
    assert page("thaw", "page").exit_code == 0
    assert eventually(lambda: targets(page)["feed"] == 6), targets(page)
    assert page("surges", "cancel", surge).exit_code == 0
    assert page("freeze", "nobody").exit_code == 2


def test_so_many_instances_are_shown_first_and_then_asked_for(page: Dcp):
    before = targets(page)["feed"]
    goal = before + 1 if before < 6 else before - 1
    shown = page("place", f"feed={goal}", "--dry-run")
    assert (shown.exit_code, "would be applied to page" in shown.stdout) == (0, True), shown.output
    assert "instance feed-" in shown.stdout
    assert targets(page)["feed"] == before
    assert page("place", f"feed={goal}").exit_code == 0
    assert targets(page)["feed"] == goal
    for words in (["feed"], ["feed=x"], ["feed=1", "feed=2"], ["nobody=2"], ["feed=100000"]):
        assert page("place", *words).exit_code == 2, words
