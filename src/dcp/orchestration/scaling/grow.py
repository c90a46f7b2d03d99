"""Growth: when, to how many, and together with whom.

A service whose water level is below the fatal line in enough samples *fires*. What it then gets is sized from demand,
not found by steps: the first decision of a surge already asks for all that the surge needs, of this service and of all
that its load reaches. The published +30% step remains as the smallest growth, and as the way on when the measured
capacity was too good.

Growth that is under way is trusted. It was sized for the safe level, so until the time to catch up has passed, more is
asked for only if even all of it would leave the service below the fatal line: a second surge does that at once, noise
and the queue of the first one do not.
"""

import math
from collections.abc import Mapping

from dcp.orchestration.scaling.model import Policy, ScalingState
from dcp.orchestration.scaling.reading import Reading, catches_up, judged_below_fatal, waiting_too_many
from dcp.orchestration.scaling.situation import ROUNDING, Situation, elastic_of
from dcp.orchestration.scaling.verdict import (
    Verdict,
    count_of,
    level_of,
    lowest_level,
    rate_of,
    without_release,
)


def decide_growth(situation: Situation) -> Mapping[str, Verdict]:
    """Return a verdict for every service that fires, or that the load of a firing caller makes too small."""
    verdicts: dict[str, Verdict] = {}
    for name in situation.order:
        reading = situation.readings[name]
        if not reading.scalable:
            continue
        verdict = _below_fatal(situation, reading) if reading.fires else _load_of_callers(situation, reading)
        if verdict is not None:
            verdicts[name] = _dependencies_first(situation, reading, verdict, verdicts)
    return verdicts


def _below_fatal(situation: Situation, reading: Reading) -> Verdict:
    if _too_small(situation, reading):
        needed = situation.needed(reading.name, elastic_of(reading).safe_level)
        wanted = max(_one_step_up(situation, reading), needed)
        return _grown(
            situation, reading, wanted, "below-fatal", f"{_fired(situation, reading)}; {_sized(situation, reading)}"
        )
    if reading.not_there_yet:
        words = f"{_fired(situation, reading)}; {count_of(reading.not_there_yet)} of {reading.target:,} still to come"
        return _held(reading, "coming", words)
    judged = judged_below_fatal(reading, situation.timing.agree)
    if judged and not catches_up(reading, situation.timing):
        return _still_below_fatal(situation, reading)
    return _held(reading, "catching-up", f"{_fired(situation, reading)}; {_catching_up(situation, reading, judged)}")


def _load_of_callers(situation: Situation, reading: Reading) -> Verdict | None:
    """Grow with the callers that fire, in the same plan, before the load arrives."""
    pressing = [caller.name for caller in situation.callers(reading.name) if _presses(situation, caller)]
    if not pressing or not _too_small(situation, reading):
        return None
    words = (
        f"its caller {' and '.join(pressing)} is below its fatal line and will send more; {_sized(situation, reading)}"
    )
    wanted = situation.needed(reading.name, elastic_of(reading).safe_level)
    return _grown(situation, reading, wanted, "load-of-callers", words)


def _presses(situation: Situation, caller: Reading) -> bool:
    """Return whether a caller fires, and not only because it works off its queue with all that it asked for.

    While it does, it sends a rush that ends by itself; a dependency that the rush really hurts fires on its own.
    """
    if not caller.fires or caller.not_there_yet or _too_small(situation, caller):
        return caller.fires
    return bool(judged_below_fatal(caller, situation.timing.agree)) and not catches_up(caller, situation.timing)


def _still_below_fatal(situation: Situation, reading: Reading) -> Verdict:
    """All wanted instances serve, nothing is being worked off, and it is still not enough: one step more."""
    slow = [one.name for one in situation.dependencies(reading.name) if _slows_its_callers(situation, one)]
    if slow:
        words = (
            f"{_fired(situation, reading)}; its dependency {' and '.join(slow)} is below its own fatal line or "
            "still growing, and more callers of a slow dependency would not help"
        )
        return _held(reading, "waits-for-dependencies", words)
    words = f"{_fired(situation, reading)}, although all {count_of(reading.target)} serve: one step more"
    return _grown(situation, reading, _one_step_up(situation, reading), "still-below-fatal", words)


def _dependencies_first(
    situation: Situation, reading: Reading, verdict: Verdict, decided: Mapping[str, Verdict]
) -> Verdict:
    """Under the policy `dependency-first` put growth off until the dependencies' growth serves."""
    if situation.view.policy is not Policy.DEPENDENCY_FIRST or verdict.target <= reading.target:
        return verdict
    waits = [one for one in situation.dependencies(reading.name) if _is_growing(situation, one, decided)]
    if not waits:
        return verdict
    names = " and ".join(one.name for one in waits)
    words = f"{verdict.words}; the policy is dependency-first and {names} does not serve its target yet"
    return _held(reading, "waits-for-dependencies", words)


def _is_growing(situation: Situation, reading: Reading, decided: Mapping[str, Verdict]) -> bool:
    if reading.name in decided and decided[reading.name].target > reading.target:
        return True
    return bool(reading.not_there_yet) and situation.grew_lately(reading.name)


def _slows_its_callers(situation: Situation, reading: Reading) -> bool:
    return reading.fires or (bool(reading.not_there_yet) and situation.grew_lately(reading.name))


def _too_small(situation: Situation, reading: Reading) -> bool:
    """Return whether the demand needs more than the target; see the module's text for the line that counts."""
    elastic = elastic_of(reading)
    line = elastic.fatal_level if situation.grew_lately(reading.name) else elastic.safe_level
    return situation.needed(reading.name, line) > reading.target


def _one_step_up(situation: Situation, reading: Reading) -> int:
    return max(reading.target + 1, math.ceil(reading.target * situation.timing.growth_ratio - ROUNDING))


def _grown(situation: Situation, reading: Reading, wanted: int, reason: str, words: str) -> Verdict:
    highest = reading.view.spec.max_instances
    numbers = {"wanted": wanted}
    if wanted <= highest:
        state = ScalingState(target=wanted, grown_at=situation.view.now)
        return Verdict(state, reason, f"{words}: from {reading.target:,} to {count_of(wanted)}", numbers)
    words = f"{words}: {count_of(wanted)} wanted, {highest:,} is its maximum"
    if reading.target == highest:
        return Verdict(without_release(reading.view.state, highest), "at-maximum", words, numbers)
    state = ScalingState(target=highest, grown_at=situation.view.now)
    return Verdict(state, "at-maximum", f"{words}: from {reading.target:,} to {highest:,}", numbers)


def _held(reading: Reading, reason: str, words: str) -> Verdict:
    return Verdict(without_release(reading.view.state, reading.target), reason, words)


def _fired(situation: Situation, reading: Reading) -> str:
    fatal = elastic_of(reading).fatal_level
    return (
        f"water level below fatal {fatal:g} in {reading.below_fatal} of the last {situation.timing.samples} samples "
        f"(lowest {level_of(lowest_level(reading))})"
    )


def _sized(situation: Situation, reading: Reading) -> str:
    safe = elastic_of(reading).safe_level
    queue = round(waiting_too_many(reading))
    waiting = f", with {queue:,} requests that wait to be worked off" if queue else ""
    needed = situation.needed(reading.name, safe)
    return f"{rate_of(situation.demand[reading.name])} to carry{waiting} needs {needed:,} at safe level {safe:g}"


def _catching_up(situation: Situation, reading: Reading, judged: bool | None) -> str:
    waiting = reading.present[-1].waiting
    if catches_up(reading, situation.timing):
        return f"all {reading.target:,} serve and fewer requests wait from sample to sample, now {waiting:,}"
    if judged is None:
        return f"all {reading.target:,} serve, for fewer than the {situation.timing.agree} samples it takes to judge"
    return f"all {reading.target:,} serve and the newest samples are better"
