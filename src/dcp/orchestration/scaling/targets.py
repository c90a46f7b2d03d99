"""The targets of all services of an application, decided together: growth first, then what may be given back."""

from collections.abc import Mapping
from dataclasses import replace

from dcp.kernel.events import Number
from dcp.orchestration.scaling.brakes import brake
from dcp.orchestration.scaling.grow import decide_growth
from dcp.orchestration.scaling.model import ApplicationView, Braked, Direction, ScalingState, TargetDecision
from dcp.orchestration.scaling.reading import Reading, arriving_requests_per_s
from dcp.orchestration.scaling.shrink import decide_shrink
from dcp.orchestration.scaling.situation import Situation, elastic_of, measure
from dcp.orchestration.scaling.switches import switch
from dcp.orchestration.scaling.verdict import Verdict, count_of, lowest_level, without_release

BY_APPLY = frozenset({"not-elastic", "bounds-changed"})
"""Reasons of targets that a person set by applying a file."""


def decide_targets(view: ApplicationView) -> tuple[TargetDecision, ...]:
    """Return one decision for each service, in the order of the view.

    Deciding again from the same samples, with the new states and before any instance has changed, holds: it may be
    called as often as wanted.
    """
    situation = measure(view)
    growth = decide_growth(situation)
    return tuple(_decision(situation, situation.readings[one.spec.name], growth) for one in view.services)


def frozen(decision: TargetDecision, before: ScalingState, why: str) -> TargetDecision:
    """Return the decision while a person keeps the targets as they are; what it would have done stays in its words."""
    if decision.reason in BY_APPLY:
        return decision
    words = f"frozen ({why}): stays at {count_of(before.target)}"
    held: tuple[Braked, ...] = ()
    if decision.target != before.target:
        words = f"{words}; would be {decision.target:,}: {decision.words}"
        held = (Braked("frozen", words, {"target": before.target, "wanted": decision.target}),)
    return replace(
        decision,
        direction=Direction.HOLD,
        target=before.target,
        reason="frozen",
        words=words,
        state=before,
        braked=held,
    )


def _decision(situation: Situation, reading: Reading, growth: Mapping[str, Verdict]) -> TargetDecision:
    if not reading.scalable:
        verdict = _not_elastic(reading)
    else:
        verdict = growth.get(reading.name) or decide_shrink(situation, reading)
    before = reading.view.state.target
    if reading.target != before and verdict.target == reading.target:
        verdict = _planned(situation, reading) or _bounds_changed(situation, reading)
    decision = TargetDecision(
        service=reading.name,
        direction=_direction(before, verdict.target),
        target=verdict.target,
        reason=verdict.reason,
        words=verdict.words,
        numbers={**_numbers(situation, reading), **verdict.numbers},
        state=verdict.state,
    )
    decision = brake(decision, reading, situation.timing, situation.view.now, BY_APPLY)
    return switch(decision, reading, situation.view.now)


def _not_elastic(reading: Reading) -> Verdict:
    if reading.view.spec.elastic is None:
        words = f"not elastic: always {count_of(reading.target)}"
    else:
        words = f"its capacity is not known, so it is not scaled: stays at {count_of(reading.target)}"
    return Verdict(without_release(reading.view.state, reading.target), "not-elastic", words)


def _planned(situation: Situation, reading: Reading) -> Verdict | None:
    """Return the verdict where a floor set the target."""
    floor = situation.floors.get(reading.name)
    if floor is None or floor.instances != reading.target:
        return None
    state = replace(without_release(reading.view.state, reading.target), grown_at=situation.view.now)
    words = f"{floor.words}: from {reading.view.state.target:,} to {count_of(reading.target)}"
    return Verdict(state, floor.reason, words, {"floor": floor.instances})


def _bounds_changed(situation: Situation, reading: Reading) -> Verdict:
    spec, before = reading.view.spec, reading.view.state.target
    state = without_release(reading.view.state, reading.target)
    if reading.target > before:
        state = replace(state, grown_at=situation.view.now)
    words = f"{before:,} is outside its bounds {spec.min_instances:,} to {spec.max_instances:,}: now {reading.target:,}"
    return Verdict(state, "bounds-changed", words)


def _direction(before: int, after: int) -> Direction:
    if after == before:
        return Direction.HOLD
    return Direction.GROW if after > before else Direction.SHRINK


def _numbers(situation: Situation, reading: Reading) -> dict[str, Number]:
    view = reading.view
    numbers: dict[str, Number] = {
        "target_before": view.state.target,
        "serving": view.serving,
        "coming": view.coming,
        "leaving": view.leaving,
        "samples": len(reading.present),
        "samples_missing": reading.missing,
        "arriving_requests_per_s": round(arriving_requests_per_s(reading, situation.timing.agree), 2),
        "demand_requests_per_s": round(situation.demand[reading.name], 2),
    }
    if reading.present:
        numbers["waiting"] = reading.present[-1].waiting
    if reading.levels and reading.levels[-1] is not None:
        numbers["level"] = round(reading.levels[-1], 3)
    lowest = lowest_level(reading)
    if lowest is not None:
        numbers["level_lowest"] = round(lowest, 3)
    if reading.scalable:
        elastic = elastic_of(reading)
        numbers |= {
            "below_fatal": reading.below_fatal,
            "fatal_level": elastic.fatal_level,
            "safe_level": elastic.safe_level,
            "needed": situation.needed(reading.name, elastic.safe_level),
        }
    return numbers
