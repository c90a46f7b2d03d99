"""A watch over scaling itself: does growth help, and does it go to and fro? Pure.

*Without effect*: the service grew `STEPS` times in a row, each time after all instances of the time before served, and
answers no more requests than at the first of them. More of it does not help, whatever holds it up is elsewhere.

*To and fro*: growth followed closely on giving back, `REGRETS` times within a few hours. What was given back was
needed; until that is long enough ago, nothing more is given back.
"""

from dataclasses import replace

from dcp.orchestration.scaling.model import Braked, BrakeMemory, Direction, Timing
from dcp.orchestration.scaling.reading import Reading, completed_requests_per_s
from dcp.orchestration.scaling.verdict import count_of, rate_of, span_of

STEPS = 3
EFFECT = 1.1
"""Growth that has an effect lets at least a tenth more requests be answered."""
REGRETS = 3
REGRET_STEPS = 2
"""Growth within so many shrink periods after giving back regrets it."""
REGRET_WINDOWS = 6
"""Regrets count for so many times the time that a shrink waits."""
WATCHED = frozenset({"below-fatal", "still-below-fatal", "at-maximum"})
"""Reasons of growth that its own load asked for."""
NO_EFFECT, TO_AND_FRO = "watchdog-no-effect", "watchdog-to-and-fro"


def observe(memory: BrakeMemory, reading: Reading, timing: Timing, now: float) -> BrakeMemory:
    """Forget steps once the service no longer fires or answers clearly more, and regrets that are long ago."""
    since = now - REGRET_WINDOWS * timing.shrink_after_s
    memory = replace(memory, regrets=tuple(at for at in memory.regrets if at > since))
    if not memory.steps:
        return memory
    answers = completed_requests_per_s(reading, timing.agree)
    sure = reading.complete and not reading.missing
    helped = sure and answers >= EFFECT * memory.answered_requests_per_s > 0
    if helped or (sure and not reading.fires):
        return replace(memory, steps=0, answered_requests_per_s=0.0, steps_from=0)
    return memory


def without_effect(memory: BrakeMemory, reading: Reading, reason: str, timing: Timing) -> Braked | None:
    """Return why growth is held that the service's own load asks for; None: it is not."""
    if reason not in WATCHED or memory.steps < STEPS:
        return None
    before, now = memory.answered_requests_per_s, completed_requests_per_s(reading, timing.agree)
    words = (
        f"growth has no effect: {memory.steps} steps from {memory.steps_from:,} to "
        f"{count_of(reading.view.state.target)}, and {rate_of(now)} are answered, {rate_of(before)} before; "
        "look for what holds it up elsewhere, or let it grow by `dcp confirm`"
    )
    numbers = {
        "steps": memory.steps,
        "steps_from": memory.steps_from,
        "answered_before_requests_per_s": round(before, 2),
        "answered_requests_per_s": round(now, 2),
    }
    return Braked(NO_EFFECT, words, numbers)


def to_and_fro(memory: BrakeMemory, timing: Timing, now: float) -> Braked | None:
    """Return why nothing is given back; None: nothing speaks against it. `memory` was brought up to date."""
    if len(memory.regrets) < REGRETS:
        return None
    window_s = REGRET_WINDOWS * timing.shrink_after_s
    left_s = memory.regrets[-REGRETS] + window_s - now
    words = (
        f"scaling goes to and fro: {len(memory.regrets)} times in {span_of(window_s)} it grew right after giving back; "
        f"gives nothing back for {span_of(left_s)}"
    )
    return Braked(TO_AND_FRO, words, {"regrets": len(memory.regrets), "window_s": window_s, "left_s": round(left_s)})


def remember(
    memory: BrakeMemory, reading: Reading, direction: Direction, reason: str, timing: Timing, now: float
) -> BrakeMemory:
    """Return the memory after a target moved."""
    if direction is not Direction.GROW:
        return memory
    if memory.shrunk_at > memory.grown_at and now - memory.shrunk_at <= REGRET_STEPS * timing.shrink_every_s:
        memory = replace(memory, regrets=(*memory.regrets, now)[-2 * REGRETS :])
    if reason not in WATCHED or reading.not_there_yet or reading.missing:
        return memory
    if memory.steps:
        return replace(memory, steps=memory.steps + 1)
    answers = completed_requests_per_s(reading, timing.agree)
    return replace(memory, steps=1, answered_requests_per_s=answers, steps_from=reading.view.state.target)
