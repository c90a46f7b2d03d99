"""Scenario files of a surge: what is wrong is named by its path, and the example is played as it says."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcp.cli.main import app
from dcp.kernel.errors import InvalidInput
from dcp.simulation.fleet.file import kind_of
from dcp.simulation.load.file import Promise, read_surge
from dcp.simulation.load.played import NEVER_S, PlayedSurge, play_surge, summarise_surge

SCENARIO = Path(__file__).parents[3] / "scenarios" / "hot-event.yaml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SCENARIO.read_text().replace("../examples", str(SCENARIO.parents[1] / "examples"))
    assert old in text
    (tmp_path / "surge.yaml").write_text(text.replace(old, new))
    return tmp_path / "surge.yaml"


def test_the_example_is_a_surge_and_says_what_it_plays() -> None:
    assert kind_of(SCENARIO) == "surge"
    scenario = read_surge(SCENARIO)
    assert (scenario.name, scenario.begins_s, scenario.requests.entry) == ("hot-event", 12.0, "feed")
    assert {name: queue.concurrency for name, queue in scenario.requests.queues.items()} == {
        "feed": 4,
        "user": 2,
        "card": 2,
    }
    assert scenario.requests.settings.timing.sample_s == 1.0


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("concurrency: 4", "concurrency: 0", "services.feed.concurrency"),
        ("  card: {", "  cart: {", "services.cart"),
        ("entry: feed", "entry: nobody", "load.entry"),
        ("requests_per_s: 36", "requests_per_s: 0", "load.requests_per_s"),
        ("times: 6", "times: 0.5", "load.surge.times"),
        ("  surge: {", "  trace: {file: x, every_s: 1}\n  surge: {", "load"),
        ("memory: 512M", "memory: much", "site.memory"),
        ("failed: 0", "lost: 0", "promise.lost"),
        ("  surge: {times: 6, at_s: 12, ramp_s: 2, hold_s: 40, fall_s: 2}", "", "promise.recovery_s"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(tmp_path: Path, old: str, new: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_surge(changed(tmp_path, old, new))
    assert path in {one.path for one in refused.value.problems}


def test_the_same_seed_gives_the_same_surge_and_every_request_is_answered(tmp_path: Path) -> None:
    short = changed(tmp_path, "lasts_s: 200", "lasts_s: 40")
    first, again = play_surge(short, 3), play_surge(short, 3)
    assert first.offered == pytest.approx(12 * 36 + 28 * 216, rel=0.06)
    assert first.failed == 0
    assert first.recovery_s is not None and 0 < first.recovery_s < 15
    assert 0 < first.slow_ratio < 0.3
    assert first.peak_instances > 10
    same = ("offered", "slow_ratio", "recovery_s", "peak_instances", "cloud_usd")
    assert [getattr(first, name) for name in same] == [getattr(again, name) for name in same]


def test_without_growth_it_never_recovers(tmp_path: Path) -> None:
    text = (SCENARIO.parents[1] / "examples" / "hot-event" / "compose.yaml").read_text()
    (tmp_path / "small.yaml").write_text(text.replace("max: 14", "max: 2"))
    short = changed(tmp_path, "lasts_s: 200", "lasts_s: 30")
    example = str(SCENARIO.parents[1] / "examples") + "/hot-event/compose.yaml"
    short.write_text(short.read_text().replace(example, "small.yaml"))
    played = play_surge(short, 1)
    assert played.recovery_s == NEVER_S
    assert played.slow_ratio > 0.5


def test_a_promise_is_judged_at_its_quantile() -> None:
    runs = [PlayedSurge(n, 1000, 0, 0.01 * n, 5.0 if n < 4 else NEVER_S, 20, 1, 0.1, 1.0) for n in range(1, 5)]
    kept = summarise_surge(runs, Promise(0.75, 6.0, 0.03, 0))
    assert kept.holds
    missed = summarise_surge(runs, Promise(1.0, 6.0, 0.03, None))
    assert missed.missed == (
        "recovery_s is never at p100, promised 6",
        "slow_ratio is 0.04 at p100, promised 0.03",
    )


def test_the_verb_plays_it_and_exits_with_what_became_of_the_promise(tmp_path: Path) -> None:
    short = changed(tmp_path, "lasts_s: 200", "lasts_s: 60")
    result = CliRunner().invoke(app, ["simulate", str(short), "--seed", "2"])
    assert result.exit_code == 0, result.output
    assert "recovered after" in result.output and "promise kept over 1 seed" in result.output
    strict = changed(tmp_path, "recovery_s: 12", "recovery_s: 0")
    strict.write_text(strict.read_text().replace("lasts_s: 200", "lasts_s: 60"))
    result = CliRunner().invoke(app, ["simulate", str(strict)])
    assert (result.exit_code, "promise not kept: recovery_s" in result.output) == (1, True), result.output
    assert CliRunner().invoke(app, ["simulate", str(short), "--plot", "x.html"]).exit_code == 2
