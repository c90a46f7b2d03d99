"""How many instances of one service to add and to remove now: towards its target, after failures, on a changed file.

A failed instance is replaced after a back-off that doubles; a changed specification replaces instances a few at a
time, new ones first unless the file says otherwise. What is on a host that has to be empty soon is replaced all at
once, the new ones always first.
"""

from dataclasses import dataclass, replace

from dcp.orchestration.scaling.brakes import BLAST_RADIUS
from dcp.orchestration.services.model import Instance, RestartCondition, ServiceSpec
from dcp.orchestration.services.states import LEAVING, InstanceState

BACK_OFF_LIMIT_S = 60.0
"""A service that keeps failing is tried once a minute at least, so that it recovers by itself."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to do for one service now."""

    add: int = 0
    remove: int = 0
    removable: tuple[Instance, ...] = ()
    """Instances to choose the removed ones from."""
    remove_reason: str = "shrink"
    not_before: float = 0.0
    """Added instances start no earlier."""
    hold: str = ""
    hold_words: str = ""


def decide_replacement(
    spec: ServiceSpec,
    target: int,
    instances: tuple[Instance, ...],
    outdated: frozenset[str],
    failures: tuple[Instance, ...],
    now: float,
    displaced: frozenset[str] = frozenset(),
    overdue: frozenset[str] = frozenset(),
) -> Replacement:
    """Return additions and removals that bring `instances` (not ended) to `target` current ones.

    `displaced` names those that are on a host which has to be empty soon, `overdue` those of them whose time is up.
    """
    staying = [i for i in instances if not i.leave_reason and i.state not in LEAVING]
    if displaced and (step := _relocate(spec, target, staying, (displaced, overdue), failures, now)):
        return step
    newcomers = _newcomers(staying)
    wanted = [i for i in staying if i not in newcomers]
    old = tuple(i for i in wanted if i.id in outdated)
    if len(wanted) > target:
        surplus = len(wanted) - target
        if not old:
            return Replacement(remove=surplus, removable=tuple(wanted))
        return _surplus_in_update(spec, target, wanted, old)
    missing = target - len(wanted)
    if missing == 0 and newcomers:
        return _relieve(staying, newcomers)
    if missing == 0 and old:
        return _update_step(spec, wanted, old)
    if missing == 0:
        return Replacement()
    return _with_back_off(spec, missing, failures, now)


def _relocate(
    spec: ServiceSpec,
    target: int,
    staying: list[Instance],
    leave: tuple[frozenset[str], frozenset[str]],
    failures: tuple[Instance, ...],
    now: float,
) -> Replacement | None:
    """Add what the displaced ones leave missing; let each of them go as soon as enough others serve, or time is up."""
    displaced, overdue = leave
    going = [i for i in staying if i.id in displaced]
    if not going:
        return None
    kept = [i for i in staying if i.id not in displaced]
    idle = [i for i in going if not _serves(i)]
    spare = max(0, sum(map(_serves, staying)) - target)
    serving = sorted((i for i in going if _serves(i)), key=lambda i: i.id not in overdue)
    due = sum(1 for i in serving if i.id in overdue)
    leaving = (*idle, *serving)[: len(idle) + max(spare, due)]
    missing = target - len(kept)
    added = _with_back_off(spec, missing, failures, now) if missing > 0 else Replacement()
    return replace(added, remove=len(leaving), removable=leaving, remove_reason="displaced")


def _serves(instance: Instance) -> bool:
    return instance.state == InstanceState.SERVING and instance.serving_at is not None


def _newcomers(staying: list[Instance]) -> list[Instance]:
    """Those that came for another one that is still there: they do not count towards the target yet."""
    present = {i.id for i in staying}
    return [i for i in staying if i.replaces in present]


def _relieve(staying: list[Instance], newcomers: list[Instance]) -> Replacement:
    relieved = {i.replaces for i in newcomers if i.state == InstanceState.SERVING and i.serving_at is not None}
    removable = tuple(i for i in staying if i.id in relieved)
    return Replacement(remove=len(removable), removable=removable, remove_reason="moved")


def _surplus_in_update(
    spec: ServiceSpec, target: int, wanted: list[Instance], old: tuple[Instance, ...]
) -> Replacement:
    """Old instances leave as soon as enough others serve; those that never served leave at once."""
    serving = sum(1 for i in wanted if i.state == InstanceState.SERVING)
    idle_old = tuple(i for i in old if i.state != InstanceState.SERVING)
    surplus = len(wanted) - target
    if idle_old:
        return Replacement(remove=min(surplus, len(idle_old)), removable=idle_old, remove_reason="replaced")
    spare = max(0, serving - target) if spec.update.start_first else surplus
    return Replacement(remove=min(surplus, spare, len(old)), removable=old, remove_reason="replaced")


def _update_step(spec: ServiceSpec, wanted: list[Instance], old: tuple[Instance, ...]) -> Replacement:
    if any(i.state != InstanceState.SERVING for i in wanted if i not in old):
        return Replacement()
    wished = min(len(old), max(1, spec.update.parallelism))
    at_once = spec.brakes.at_once(len(wanted))
    step = wished if at_once is None else min(wished, at_once)
    held = Replacement()
    if step < wished:
        share = f"blast radius {spec.brakes.blast_radius:.0%}"
        words = f"{spec.name}: {share}: {step} of {len(wanted)} are replaced at once, not {wished}"
        held = Replacement(hold=BLAST_RADIUS, hold_words=words)
    if spec.update.start_first:
        return replace(held, add=step)
    return replace(held, remove=step, removable=old, remove_reason="replaced")


def _with_back_off(spec: ServiceSpec, missing: int, failures: tuple[Instance, ...], now: float) -> Replacement:
    policy = spec.restart
    if not failures:
        return Replacement(add=missing)
    if policy.condition == RestartCondition.NONE:
        words = f"{spec.name}: {missing} instances missing; its restart policy is none"
        return Replacement(hold="restart-none", hold_words=words)
    if policy.condition == RestartCondition.ON_FAILURE and failures[-1].reason == "completed":
        words = f"{spec.name}: ended with exit code 0, which its restart policy on-failure accepts"
        return Replacement(hold="completed", hold_words=words)
    last_at = failures[-1].ended_at or now
    recent = [failed for failed in failures if (failed.ended_at or now) > last_at - policy.window_s]
    if policy.max_attempts and len(recent) >= policy.max_attempts:
        words = f"{spec.name}: failed {len(recent)} times in {policy.window_s:.0f} s; change the file to try again"
        return Replacement(hold="crash-loop", hold_words=words)
    delay_s = min(BACK_OFF_LIMIT_S, policy.delay_s * 2 ** min(len(recent) - 1, 16))
    return Replacement(add=missing, not_before=last_at + delay_s)
