"""The report is one page that needs nothing else, and says what the run showed."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dcp.demo.load_profile import LoadProfile
from dcp.demo.outcome import compute_outcome
from dcp.demo.recording import Decision, Recording
from dcp.demo.report import write_html
from dcp.demo.report_svg import Plot, linear_axis

VOID = {"meta", "br", "link", "img", "input", "hr"}
FETCHING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps text and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.elements: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in FETCHING]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_page_is_well_formed_and_fetches_nothing(recording: Recording) -> None:
    text = write_html(recording, compute_outcome(recording))
    page = Page(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= page.ids


def test_the_page_shows_the_figures(recording: Recording) -> None:
    outcome = compute_outcome(recording)
    text = Page(write_html(recording, outcome)).text
    assert f"{outcome.offered_requests:,} offered" in text
    assert f"{outcome.recovery_s:g} s" in text
    assert f"{outcome.surge_factor:g}×" in text
    assert "cloud: fake (simulated provider, boot delay and price are configured)" in text
    assert "The load generator was late" not in text


def test_every_service_source_and_decision_has_its_place(recording: Recording) -> None:
    page = Page(write_html(recording, compute_outcome(recording)))
    for name in ("Instances of feed", "Instances of user", "Instances of card", "Hosts from pool", "Hosts from cloud"):
        assert name in page.text
    assert all(decision.words in page.text for decision in recording.decisions)
    assert page.elements.count("svg") > 10


def test_a_run_that_went_wrong_says_so(recording: Recording) -> None:
    bad = replace(
        recording,
        load_complete=False,
        orphan_processes=2,
        seconds=tuple(replace(second, slow=second.offered, late_max_ms=300.0) for second in recording.seconds),
    )
    text = Page(write_html(bad, compute_outcome(bad))).text
    assert "never" in text
    assert "The run ended early" in text
    assert "The load generator was late by up to 300 ms" in text


def test_words_from_outside_stay_words(recording: Recording) -> None:
    nasty = Decision(20.0, "service/<b>", "x", "</script><script>alert(1)</script>", {"<i>": "<u>"})
    page = Page(write_html(replace(recording, decisions=(nasty,)), compute_outcome(recording)))
    assert "</script><script>alert(1)</script>" in page.text


def test_a_run_without_any_line_still_has_a_page() -> None:
    empty = Recording("app", "feed", "gated", 60, "none", 0.0, LoadProfile(base_rps=1), 500, 1)
    assert "The run ended early" in Page(write_html(empty, compute_outcome(empty))).text


@pytest.mark.parametrize(("highest", "top"), [(0, 1e-9), (1, 1), (4, 4), (97, 100), (243, 250), (0.37, 0.4)])
def test_axes_end_at_round_numbers(highest: float, top: float) -> None:
    axis = linear_axis(highest)
    assert axis.high == pytest.approx(top)
    assert len(axis.ticks) <= 8


@pytest.mark.parametrize("highest", [1, 2, 5, 7, 11, 23])
def test_counts_have_whole_ticks(highest: int) -> None:
    axis = linear_axis(highest, whole=True)
    assert axis.high >= highest
    assert all(tick == int(tick) for tick in axis.ticks)


def test_a_gap_in_a_series_is_a_gap_in_its_line() -> None:
    plot = Plot("t", "u", 4.0, linear_axis(1))
    plot.line("x", "blue", [(0, 0.5), (1, None), (2, 0.5), (3, 1.0)])
    assert plot.parts[0].count("M") == 2
