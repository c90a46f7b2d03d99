"""The report of one run: a single HTML file that opens offline, with every figure and plot inside it.

No asset is fetched from anywhere; the page follows the reader's light or dark setting and works without scripts (the
short one in it only shows the values under the pointer).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from dcp.demo.outcome import STARVED_MS, Course, Outcome
from dcp.demo.recording import Recording
from dcp.demo.report_page import figure, page
from dcp.demo.report_plots import decision_address, draw_plots
from dcp.kernel.events import Number
from dcp.orchestration.capacity.recovery import POOL_S

MANY_DECISIONS = 400
"""More rows than this are cut from the middle of the table; the JSON file has them all."""


def write_html(recording: Recording, outcome: Outcome) -> str:
    """Return the whole page."""
    plots = draw_plots(recording, outcome)
    body = (
        _heading(recording),
        _notices(recording, outcome),
        _figures(recording, outcome),
        "".join(figure(plot) for plot in plots),
        _courses(outcome),
        _decisions(recording),
        _method(recording),
    )
    return page(f"dcp demo: {recording.application}", body)


def _heading(recording: Recording) -> str:
    began = datetime.fromtimestamp(recording.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    profile = recording.profile
    return (
        f"<header><h1>{escape(recording.application)} rides out a surge</h1>"
        f"<p>Load on <b>{escape(recording.entry)}</b>: {profile.base_rps:g} requests per second, asked to rise "
        f"{profile.surge_factor:g} times within {profile.ramp_s:g} s, held {profile.hold_s:g} s. "
        f"Policy <b>{escape(recording.policy)}</b>. Time scale <b>{recording.time_scale:g}</b>: "
        f"the controller's windows are divided by it. Began {began}.</p></header>"
    )


def _notices(recording: Recording, outcome: Outcome) -> str:
    notices = [f"hosts: {recording.hosts}", f"cloud: {recording.cloud}"]
    if outcome.generator_starved:
        notices.append(
            f"The load generator was late by up to {outcome.generator_late_max_ms:.0f} ms (more than "
            f"{STARVED_MS:g} ms): the machine was too busy, and latencies include that."
        )
    if not outcome.load_complete:
        notices.append("The run ended early: the load was not offered to its end.")
    return "".join(f'<p class="notice">{escape(notice)}</p>' for notice in notices)


def _figures(recording: Recording, outcome: Outcome) -> str:
    recovery = "never" if outcome.recovery_s is None else f"{outcome.recovery_s:g} s"
    orphans = "not counted" if outcome.orphan_processes is None else str(outcome.orphan_processes)
    factor = "–" if outcome.surge_factor is None else f"{outcome.surge_factor:g}×"
    peak = sum(course.peak for course in outcome.instances.values())
    before = sum(course.before for course in outcome.instances.values())
    after = sum(course.after for course in outcome.instances.values())
    cards = (
        ("surge, as offered", factor, "", ""),
        (
            "failed requests",
            f"{outcome.failed_requests:,}",
            f"of {outcome.offered_requests:,} offered",
            _good(outcome.failed_requests == 0),
        ),
        ("recovered after", recovery, "until the slow ratio stays under 1%", _good(outcome.recovery_s is not None)),
        ("slow ratio, peak", f"{outcome.slow_ratio_peak:.0%}", f"slow: over {outcome.slow_threshold_ms:g} ms", ""),
        ("instances", f"{before} → {peak} → {after}", "before, peak, after", _good(before == after)),
        ("cost", f"${outcome.cost_usd:.4f}", "hosts, as charged", ""),
        ("orphan processes", orphans, "after the end", _good(outcome.orphan_processes == 0)),
    )
    return (
        '<section class="cards">'
        + "".join(
            f'<div class="card {css}"><h2>{escape(name)}</h2><p class="value">{escape(value)}</p>'
            f"<p>{escape(note)}</p></div>"
            for name, value, note, css in cards
        )
        + "</section>"
    )


def _good(holds: bool) -> str:
    return "good" if holds else "bad"


def _courses(outcome: Outcome) -> str:
    return (
        '<section class="pair">'
        + _course_table("Instances", "service", outcome.instances)
        + _course_table("Hosts", "source", outcome.hosts)
        + "</section>"
    )


def _course_table(title: str, noun: str, courses: Mapping[str, Course]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{course.before}</td><td>{course.peak}</td><td>{course.after}</td></tr>"
        for name, course in courses.items()
    )
    head = f"<tr><th>{noun}</th><th>before</th><th>peak</th><th>after</th></tr>"
    return f'<div><h2>{title}</h2><table class="numbers">{head}{rows}</table></div>'


def _decisions(recording: Recording) -> str:
    rows = [
        f'<tr id="{decision_address(index)}"><td>{decision.at_s:.1f} s</td><td>{escape(decision.subject)}</td>'
        f"<td>{escape(decision.words)}</td><td><code>{escape(decision.reason)}</code></td>"
        f"<td>{_numbers(decision.numbers)}</td></tr>"
        for index, decision in enumerate(recording.decisions)
    ]
    if len(rows) > MANY_DECISIONS:
        half = MANY_DECISIONS // 2
        left_out = (
            f'<tr><td></td><td colspan="4">{len(rows) - MANY_DECISIONS} further decisions, see the JSON</td></tr>'
        )
        rows = [*rows[:half], left_out, *rows[-half:]]
    return (
        f'<section><h2>Decisions</h2><table class="decisions"><tr><th>at</th><th>subject</th><th>what and why</th>'
        f"<th>reason</th><th>numbers</th></tr>{''.join(rows)}</table></section>"
    )


def _numbers(numbers: Mapping[str, Number]) -> str:
    parts = (
        f'<span class="number">{escape(name)} <b>{escape(_short(value))}</b></span>' for name, value in numbers.items()
    )
    return " ".join(parts)


def _short(value: Number) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _method(recording: Recording) -> str:
    lines: Sequence[str] = (
        "The load is open: requests leave on schedule whatever becomes of the earlier ones (independent arrivals, seed "
        f"{recording.seed}), and latency counts from the scheduled instant. The generator repeats nothing.",
        "The slow ratio of a second is the share of the requests scheduled in it that failed or were answered "
        f"later than {recording.slow_ms:g} ms.",
        "Recovery is the first second from which on that second, and every pool of it and the "
        f"{POOL_S - 1} seconds after, up to the end of the run, stays under 1% slow.",
        "Surge as offered: mean rate of the hold over mean rate before, both counted by the generator.",
        "Instances and hosts are read from the controller once a second; every one that holds resources counts.",
        f"hosts: {recording.hosts}; cloud: {recording.cloud}.",
    )
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section><h2>How this was counted</h2><ul>{items}</ul></section>"
