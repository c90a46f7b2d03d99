"""Shrinking: late, in steps, dependants first, and never on missing metrics.

A release begins once a service has had more than it needs for `Timing.shrink_after_s` without a break, and then gives
back a growing share of what was added (`Timing.release_shares`) every `Timing.shrink_every_s`.

Why the order cannot dead-lock: a service waits only for dependants that are able to release at this moment, that still
have instances leaving, that are themselves below fatal, or whose metrics are missing. One that is at its floor, or not
above its safe line, is not waited for. A dependant that can release does so by its own clock, or stops being able to;
waits run along the call graph, which has no cycle, and the entry services wait for nobody.
"""

import math
from dataclasses import replace

from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.scaling.reading import Reading, is_below
from dcp.orchestration.scaling.situation import ROUNDING, Situation, elastic_of
from dcp.orchestration.scaling.verdict import (
    Verdict,
    count_of,
    level_of,
    lowest_level,
    span_of,
    without_release,
)


def decide_shrink(situation: Situation, reading: Reading) -> Verdict:
    """Return what a scalable service that does not have to grow does: shrink by a step, or hold and say why."""
    state = replace(reading.view.state, target=reading.target)
    if reading.missing or situation.signals[reading.name].unsure:
        return _metrics_missing(situation, reading, state)
    if not _can_release(situation, reading):
        return _steady(situation, reading, state)
    since = situation.view.now if state.above_safe_since is None else state.above_safe_since
    state = replace(state, above_safe_since=since)
    wait_s = _seconds_to_wait(situation, state)
    if wait_s > 0:
        what = "release begins" if state.release_from is None else "next step"
        words = f"{_above(situation, reading)}; {what} in {span_of(wait_s)} if that lasts"
        return Verdict(state, "above-safe", words)
    blocked = _what_dependants_do(situation, reading, _next_step(situation, state))
    if blocked:
        return Verdict(state, "waits-for-dependants", f"{_above(situation, reading)}; dependants first: {blocked}")
    return _release(situation, reading, state)


def _metrics_missing(situation: Situation, reading: Reading, state: ScalingState) -> Verdict:
    """Hold. A gap breaks "without a break", so waiting begins anew; a release that has begun goes on after it."""
    unsure = situation.signals[reading.name].unsure
    if unsure:
        words = f"figures of signal {', '.join(unsure)} are missing"
    elif not reading.view.samples:
        words = "nothing has been measured yet"
    else:
        words = f"metrics are missing in {reading.missing} of the last {len(reading.view.samples)} samples"
    state = replace(state, above_safe_since=None)
    return Verdict(state, "metrics-missing", f"{words}: stays at {count_of(reading.target)}, never shrinks blindly")


def _can_release(situation: Situation, reading: Reading) -> bool:
    """Return whether fewer instances would do, by every sample of the window.

    The begin of a release asks for the safe line in all of them; its later steps, as published, for the fatal one.
    """
    if reading.missing or not reading.complete or situation.floor(reading.name) >= reading.target:
        return False
    elastic = elastic_of(reading)
    under_way = reading.view.state.release_from is not None
    line = elastic.fatal_level if under_way else elastic.safe_level
    return not any(is_below(level, line) for level in reading.levels)


def _steady(situation: Situation, reading: Reading, state: ScalingState) -> Verdict:
    elastic = elastic_of(reading)
    below_safe = sum(is_below(level, elastic.safe_level) for level in reading.levels)
    level = level_of(lowest_level(reading))
    if below_safe >= situation.timing.agree:
        lines = f"fatal {elastic.fatal_level:g}, safe {elastic.safe_level:g}"
        words = f"water level between its lines (lowest {level}, {lines})"
        return Verdict(without_release(state, reading.target), "steady", words)
    if (planned := situation.floors.get(reading.name)) and planned.instances == reading.target:
        words = f"lowest water level {level}; {planned.words}"
        return Verdict(replace(state, above_safe_since=None), "steady", words)
    if reading.target == elastic.min_instances:
        words = f"lowest water level {level}, at its minimum of {count_of(reading.target)}"
        return Verdict(without_release(state, reading.target), "steady", words)
    if not reading.complete:
        words = f"{len(reading.present)} of {situation.timing.samples} samples measured so far"
    else:
        words = f"lowest water level {level}; this load needs all {count_of(reading.target)} to stay safe"
    return Verdict(replace(state, above_safe_since=None), "steady", words)


def _seconds_to_wait(situation: Situation, state: ScalingState) -> float:
    timing, now = situation.timing, situation.view.now
    if state.release_from is not None:
        return state.released_at + timing.shrink_every_s - now
    since = now if state.above_safe_since is None else state.above_safe_since
    return since + timing.shrink_after_s - now


def _next_step(situation: Situation, state: ScalingState) -> int:
    """Return the step that is next, from 1; the last is repeated until the floor is reached."""
    taken = 0 if state.release_from is None else state.release_step
    return min(taken + 1, len(situation.timing.release_shares))


def _what_dependants_do(situation: Situation, reading: Reading, step: int) -> str:
    """Return in words what must happen before this service takes `step`; "" if nothing."""
    said = [_blocks(situation, one, step) for one in situation.dependants(reading.name) if one.scalable]
    return "; ".join(words for words in said if words)


def _blocks(situation: Situation, dependant: Reading, step: int) -> str:
    """Return in words why services that `dependant` needs may not take `step` yet; "" if they may."""
    name, state = dependant.name, dependant.view.state
    if dependant.still_leaving:
        return f"{count_of(dependant.still_leaving)} of {name} still leave"
    if dependant.fires:
        return f"{name} is below its fatal line"
    if dependant.missing and dependant.target > elastic_of(dependant).min_instances:
        return f"metrics of {name} are missing"
    if not _can_release(situation, dependant):
        return ""
    taken = 0 if state.release_from is None else state.release_step
    if taken < step:
        return f"{name} releases first ({taken} of {len(situation.timing.release_shares)} steps taken)"
    if dependant.view.coming:
        return f"{count_of(dependant.view.coming)} of {name} still to come"
    return ""


def _release(situation: Situation, reading: Reading, state: ScalingState) -> Verdict:
    step = _next_step(situation, state)
    share = situation.timing.release_shares[step - 1]
    lowest = elastic_of(reading).min_instances
    release_from = reading.target if state.release_from is None else state.release_from
    planned = release_from - math.floor(share * (release_from - lowest) + ROUNDING)
    target = max(situation.floor(reading.name), min(planned, reading.target - 1))
    words = (
        f"{_above(situation, reading)}; step {step} of {len(situation.timing.release_shares)} gives back {share:.0%} "
        f"of what was added: from {reading.target:,} to {count_of(target)}"
    )
    numbers = {"release_step": step, "release_share": share, "release_from": release_from}
    if target == lowest:
        return Verdict(without_release(state, target), "release-step", words, numbers)
    state = replace(state, target=target, release_from=release_from, release_step=step, released_at=situation.view.now)
    return Verdict(state, "release-step", words, numbers)


def _above(situation: Situation, reading: Reading) -> str:
    safe = elastic_of(reading).safe_level
    floor = situation.floor(reading.name)
    return (
        f"water level above safe {safe:g} (lowest {level_of(lowest_level(reading))}), "
        f"{floor:,} of {count_of(reading.target)} would do"
    )
