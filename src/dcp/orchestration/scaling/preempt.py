"""Instances that give way to services of higher priority of the same application.

Only for what neither the hosts that are there nor new ones hold. Those who leave are ended like any other, and what
they made room for is placed by the next decision, which asks for higher priorities first. Until they are gone nobody
else is asked to leave, so nobody leaves twice for the same. Nobody leaves for a part of a group that
has to be whole. Between applications nobody gives way: a victim of another one would be replaced by its own controller
at once, and take the place back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from dcp.orchestration.scaling.plan import Removal
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceKey
from dcp.orchestration.services.states import LEAVING
from dcp.scheduling.fleet import fleet_of
from dcp.scheduling.model import Ask, Candidate, Unplaced
from dcp.scheduling.preempt import Preemption, Standing, decide_preemptions

PREEMPTED = "preempted"


def preempted(
    spec: ApplicationSpec,
    refused: Sequence[Unplaced],
    instances: Iterable[Instance],
    candidates: Callable[[], Sequence[Candidate]],
    ask_of: Callable[[str, int], Ask],
    seed: int,
) -> tuple[Removal, ...]:
    """Return who leaves so that what was `refused` fits; `candidates` are the hosts as they will be."""
    priorities = {one.name: one.wishes.priority for one in spec.services}
    groups = {one.name for one in spec.services if one.wishes.group}
    refused = [one for one in refused if ServiceKey.parse(one.service).name not in groups]
    own = [one for one in instances if one.service in priorities]
    if not _may(refused, priorities) or any(one.leave_reason == PREEMPTED for one in own):
        return ()
    staying = [one for one in own if not one.leave_reason and one.state not in LEAVING]
    asks = {name: ask_of(name, 1) for name in priorities}
    standing = [Standing(one.id, one.host_id, asks[one.service]) for one in staying]
    fleet = fleet_of(candidates(), seed)
    found: list[Removal] = []
    for one in sorted(refused, key=lambda one: -priorities.get(ServiceKey.parse(one.service).name, 0)):
        name = ServiceKey.parse(one.service).name
        for chosen in decide_preemptions(fleet, ask_of(name, one.count), standing):
            found += _removals(chosen, one.service, priorities[name])
            for victim in chosen.victims:
                fleet.ended(victim.ask, victim.host_id)
                standing.remove(victim)
            fleet.placed(asks[name], chosen.host_id)
    return tuple(found)


def _may(refused: Sequence[Unplaced], priorities: Mapping[str, int]) -> bool:
    lowest = min(priorities.values(), default=0)
    return any(priorities.get(ServiceKey.parse(one.service).name, lowest) > lowest for one in refused)


def _removals(chosen: Preemption, service: str, priority: int) -> Iterable[Removal]:
    for victim in chosen.victims:
        words = (
            f"priority {victim.ask.priority} gives way on {chosen.host_id} to {service} of priority {priority}, which "
            f"fits nowhere else: the least harm of {chosen.compared:,} {'host' if chosen.compared == 1 else 'hosts'}"
        )
        yield Removal(victim.instance_id, PREEMPTED, words)
