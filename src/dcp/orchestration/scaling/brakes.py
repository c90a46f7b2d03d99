"""Brakes: what scaling wants, held back to what its brakes allow, each with a name and its numbers. Pure.

Every brake says how far a target may go; the lowest counts for growth, the highest for giving back. None of them lowers
a target: what is held stays as it is. What a person sets by applying a file is not braked.

A growth that was cut is not over: the service goes on asking for all of it. A step of giving back that was cut goes on
where it stopped, and counts as taken once all of it was given.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from dcp.orchestration.scaling import watchdog
from dcp.orchestration.scaling.model import (
    Braked,
    BrakeMemory,
    Direction,
    ScalingState,
    TargetDecision,
    Timing,
)
from dcp.orchestration.scaling.reading import Reading
from dcp.orchestration.scaling.verdict import count_of, span_of
from dcp.orchestration.services.brakes import ROUNDING, Brakes

GROWTH, COOLDOWN, BLAST_RADIUS, CONFIRM = "brake-growth", "brake-cooldown", "brake-blast-radius", "brake-confirm"
DEGRADED = "brake-degraded"
REASONS = frozenset({GROWTH, COOLDOWN, BLAST_RADIUS, CONFIRM, DEGRADED, watchdog.NO_EFFECT, watchdog.TO_AND_FRO})
PARTS = 16
"""Changes within this part of the window of growth are remembered as one, the later time and the lower target."""

Limit = tuple[int, Braked]
"""The target that a brake allows, and what it says."""


def brake(
    decision: TargetDecision, reading: Reading, timing: Timing, now: float, unbraked: frozenset[str]
) -> TargetDecision:
    """Return the decision as far as its brakes let it go. Those with a reason in `unbraked` are only remembered."""
    before, spec = reading.view.state, reading.view.spec
    memory = watchdog.observe(_forget(before.brakes, now), reading, timing, now)
    limits: tuple[Limit, ...] = ()
    if decision.reason not in unbraked:
        if decision.target > before.target:
            limits = tuple(_on_growth(decision, reading, memory, timing, now))
        elif decision.target < before.target:
            limits = tuple(_on_giving_back(reading, memory, timing, now))
    decision = _held(decision, reading, limits)
    if decision.target != before.target and decision.reason not in unbraked:
        memory = watchdog.remember(memory, reading, decision.direction, decision.reason, timing, now)
        memory = _remember(memory, spec.brakes, before.target, decision.direction, now)
    return replace(decision, state=replace(decision.state, brakes=memory))


def _on_growth(
    decision: TargetDecision, reading: Reading, memory: BrakeMemory, timing: Timing, now: float
) -> Iterator[Limit]:
    brakes, target, wanted = reading.view.spec.brakes, reading.view.state.target, decision.target
    confirmed = memory.confirmed_to if now < memory.confirmed_until else 0
    if brakes.confirm_above is not None and wanted > max(brakes.confirm_above, confirmed):
        yield _unconfirmed(brakes.confirm_above, confirmed, reading, wanted)
    if brakes.growth is not None:
        yield _rate(brakes, brakes.growth, memory, target, now)
    left_s = memory.grown_at + brakes.grow_cooldown_s - now
    if left_s > 0:
        yield target, _cooling(left_s, brakes.grow_cooldown_s, "grew")
    if brakes.watchdog and confirmed < wanted:
        held = watchdog.without_effect(memory, reading, decision.reason, timing)
        if held is not None:
            yield max(target, confirmed), held


def _on_giving_back(reading: Reading, memory: BrakeMemory, timing: Timing, now: float) -> Iterator[Limit]:
    brakes, target = reading.view.spec.brakes, reading.view.state.target
    leaving = reading.still_leaving
    at_once = brakes.at_once(target + leaving)
    if at_once is not None:
        words = (
            f"blast radius {brakes.blast_radius:.0%}: {at_once:,} of {count_of(target + leaving)} may leave at once, "
            f"{leaving:,} still leave"
        )
        yield target - max(0, at_once - leaving), Braked(BLAST_RADIUS, words, {"at_once": at_once, "leaving": leaving})
    left_s = max(memory.grown_at, memory.shrunk_at) + brakes.shrink_cooldown_s - now
    if left_s > 0:
        yield target, _cooling(left_s, brakes.shrink_cooldown_s, "changed")
    off = reading.view.state.switches.off
    if off:
        yield target, Braked(DEGRADED, f"{off} of its features are off", {"features_off": off})
    if brakes.watchdog and (held := watchdog.to_and_fro(memory, timing, now)):
        yield target, held


def _unconfirmed(above: int, confirmed: int, reading: Reading, wanted: int) -> Limit:
    name, allowed = reading.name, max(above, confirmed)
    words = f"{wanted:,} are more than the {allowed:,} that need no person: `dcp confirm {name}={wanted}` lets it grow"
    numbers = {"wanted": wanted, "confirm_above": above, "confirmed": confirmed}
    return allowed, Braked(CONFIRM, words, numbers)


def _rate(brakes: Brakes, growth: float, memory: BrakeMemory, target: int, now: float) -> Limit:
    lowest = min([target, *(low for _, low in memory.lows)])
    allowed = max(lowest + 1, math.floor(growth * lowest + ROUNDING))
    words = f"growth at most {growth:g} times {lowest:,} within {span_of(brakes.growth_within_s)}: {allowed:,} for now"
    numbers = {"growth": growth, "lowest": lowest, "allowed": allowed, "growth_within_s": brakes.growth_within_s}
    return allowed, Braked(GROWTH, words, numbers)


def _cooling(left_s: float, cooldown_s: float, did: str) -> Braked:
    words = f"cooldown: it {did} less than {span_of(cooldown_s)} ago, {span_of(left_s)} to go"
    return Braked(COOLDOWN, words, {"cooldown_s": cooldown_s, "left_s": round(left_s, 1)})


def _held(decision: TargetDecision, reading: Reading, limits: tuple[Limit, ...]) -> TargetDecision:
    before, spec = reading.view.state, reading.view.spec
    if decision.target > before.target:
        binding = [(max(before.target, at), said) for at, said in limits if at < decision.target]
        target = min((at for at, _ in binding), default=decision.target)
    else:
        binding = [(min(before.target, at), said) for at, said in limits if at > decision.target]
        target = max((at for at, _ in binding), default=decision.target)
    if not binding:
        return decision
    target = min(max(target, spec.min_instances), spec.max_instances)
    braked = tuple(said for _, said in binding)
    moves = target != before.target
    return replace(
        decision,
        target=target,
        direction=decision.direction if moves else Direction.HOLD,
        reason=decision.reason if moves else braked[0].reason,
        words=f"{decision.words}; held at {count_of(target)}: {'; '.join(one.words for one in braked)}",
        numbers={**decision.numbers, "wanted": decision.target},
        state=_cut(decision, before, target),
        braked=braked,
    )


def _cut(decision: TargetDecision, before: ScalingState, target: int) -> ScalingState:
    """Return what to remember of a decision that was cut: what is left of it is still wanted."""
    if decision.target > before.target:
        return replace(decision.state, target=target, grown_at=before.grown_at)
    return replace(
        decision.state,
        target=target,
        above_safe_since=before.above_safe_since,
        release_from=before.release_from if target == before.target else before.release_from or before.target,
        release_step=before.release_step,
        released_at=before.released_at,
    )


def _forget(memory: BrakeMemory, now: float) -> BrakeMemory:
    lows = tuple((until, low) for until, low in memory.lows if until > now)
    return memory if lows == memory.lows else replace(memory, lows=lows)


def _remember(memory: BrakeMemory, brakes: Brakes, target: int, direction: Direction, now: float) -> BrakeMemory:
    if direction is not Direction.GROW:
        return replace(memory, shrunk_at=now)
    memory = replace(memory, grown_at=now)
    if brakes.growth is None:
        return memory
    part_s = brakes.growth_within_s / PARTS
    until = math.ceil((now + brakes.growth_within_s) / part_s) * part_s
    if memory.lows and memory.lows[-1][0] >= until:
        return replace(memory, lows=(*memory.lows[:-1], (until, min(target, memory.lows[-1][1]))))
    return replace(memory, lows=(*memory.lows, (until, target)))
