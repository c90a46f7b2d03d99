"""The live view and the plain lines say what is known at a moment."""

from io import StringIO

from rich.console import Console

from dcp.demo.recording import Recording
from dcp.demo.view import Progress, plain_decision, plain_line, render, sparkline


def progress(recording: Recording, at_s: float) -> Progress:
    samples = [sample for sample in recording.samples if sample.at_s <= at_s]
    return Progress(
        at_s=at_s,
        profile=recording.profile,
        policy=recording.policy,
        time_scale=recording.time_scale,
        cloud=recording.cloud,
        phase="surge",
        live=[second for second in recording.live if second.at_s <= at_s],
        sample=samples[-1] if samples else None,
        decisions=[decision for decision in recording.decisions if decision.at_s <= at_s],
        lines=dict(recording.lines),
    )


def drawn(shown: Progress, width: int = 120, height: int = 44) -> str:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None, record=True)
    console.print(render(shown, width))
    return console.export_text()


def test_the_view_shows_load_services_hosts_and_decisions(recording: Recording) -> None:
    text = drawn(progress(recording, 21.0))
    for words in ("policy gated", "time scale 60", "offered", "under way", "feed", "user", "card", "pool", "cloud"):
        assert words in text
    assert "cloud: fake (simulated provider" in text
    assert "asks the cloud" in text
    assert "▓" * 9 in text  # nine instances of feed held at the gate


def test_the_view_can_be_drawn_before_anything_is_known(recording: Recording) -> None:
    assert "load" in drawn(progress(recording, -5.0))


def test_the_view_fits_a_small_terminal(recording: Recording) -> None:
    text = drawn(progress(recording, 40.0), width=80, height=30)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "hosts by source" in text


def test_a_plain_line_has_the_numbers_of_the_moment(recording: Recording) -> None:
    line = plain_line(progress(recording, 20.6))
    assert "20.6 s" in line
    assert "failed 0" in line
    assert "feed 2+9" in line
    assert "cloud 0/3" in line


def test_a_plain_decision_says_what_and_why(recording: Recording) -> None:
    line = plain_decision(recording.decisions[0])
    assert "service/hot-event/feed" in line
    assert "[below-fatal]" in line


def test_a_sparkline_shows_zero_as_nothing_and_anything_as_something() -> None:
    assert sparkline([0, 1, 50, 100, 200], 100) == " ▁▄██"
    assert sparkline([1, 2], 0) == "  "
