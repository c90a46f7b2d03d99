"""Degrade switches: which features of a service are off, because it is too small and capacity does not come. Pure.

*Too small*: the water level is below the fatal line in as many samples as make a service grow. What grows in time
brings it above the line before `after_s` is over, and nothing is switched. *Room enough*: every sample is there and
above the safe line. In between, and while metrics are missing, everything stays as it is. Nothing is given back while
anything is off.
"""

from dataclasses import replace

from dcp.orchestration.scaling.model import ScalingState, SwitchMemory, TargetDecision
from dcp.orchestration.scaling.reading import Reading, is_below
from dcp.orchestration.scaling.situation import elastic_of
from dcp.orchestration.scaling.verdict import level_of, span_of
from dcp.orchestration.services.degrade import Degrade
from dcp.orchestration.services.model import ServiceSpec


def features_off(spec: ServiceSpec, state: ScalingState) -> tuple[str, ...]:
    """Return the features that are off, the first to go first."""
    return spec.degrade.features[: state.switches.off] if spec.degrade else ()


def switch(decision: TargetDecision, reading: Reading, now: float) -> TargetDecision:
    """Return the decision with one feature more or less switched off, if it is time for that."""
    degrade, before = reading.view.spec.degrade, reading.view.state.switches
    if degrade is None or not reading.scalable:
        return replace(decision, state=replace(decision.state, switches=SwitchMemory()))
    memory = replace(before, off=min(before.off, len(degrade.features)))
    memory = replace(
        memory,
        short_since=_since(reading.fires, memory.short_since, now),
        roomy_since=_since(_has_room(reading), memory.roomy_since, now),
    )
    memory, words = _switched(degrade, memory, reading, now)
    numbers = {**decision.numbers, "features_off": memory.off} if memory.off or before.off else decision.numbers
    return replace(
        decision,
        words=f"{decision.words}; {words}" if words else decision.words,
        numbers=numbers,
        state=replace(decision.state, switches=memory),
    )


def _switched(degrade: Degrade, memory: SwitchMemory, reading: Reading, now: float) -> tuple[SwitchMemory, str]:
    """Return the memory after a switch, and words; the same memory and none where it is not time for one."""
    if now - memory.changed_at < degrade.every_s:
        return memory, ""
    short, roomy = memory.short_since, memory.roomy_since
    if short is not None and now - short >= degrade.after_s and memory.off < len(degrade.features):
        name = degrade.features[memory.off]
        words = f"switches {name} off: too small for {span_of(now - short)}"
        return replace(memory, off=memory.off + 1, changed_at=now), words
    if roomy is not None and now - roomy >= degrade.every_s and memory.off:
        name = degrade.features[memory.off - 1]
        words = f"switches {name} on: {level_of(reading.levels[-1])} for {span_of(now - roomy)}"
        return replace(memory, off=memory.off - 1, changed_at=now), words
    return memory, ""


def _since(holds: bool, before: float | None, now: float) -> float | None:
    if not holds:
        return None
    return now if before is None else before


def _has_room(reading: Reading) -> bool:
    safe = elastic_of(reading).safe_level
    return reading.complete and not reading.missing and not any(is_below(level, safe) for level in reading.levels)
