"""Instances that give way to services of higher priority, of the same application or of others.

Only for what neither the hosts that are there nor new ones hold. Those who leave are ended like any other, and what
they made room for is placed by the next decision, which asks for higher priorities first. Until they are gone nobody
else is asked to leave for the application, so nobody leaves twice for the same. Nobody leaves for a part of a group
that has to be whole.

Between applications the place has to be kept: the controller of the one that left wants a replacement at once, and
would take the room back. So whoever leaves carries the name of the service that gets its place, and for a while after
its end its room counts as used for every other application, until an instance of that service stands there. Chains
end: each step goes to a lower priority.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dcp.orchestration.scaling.asks import ask_of as ask_of_spec
from dcp.orchestration.scaling.plan import Removal
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceKey
from dcp.orchestration.services.states import LEAVING
from dcp.scheduling.fleet import fleet_of
from dcp.scheduling.model import Ask, Candidate, Unplaced
from dcp.scheduling.preempt import Preemption, Standing, decide_preemptions

PREEMPTED = "preempted"


@dataclass(frozen=True, slots=True)
class PreemptionView:
    """Everything `preempted` looks at."""

    specs: Mapping[str, ApplicationSpec]
    """Of all applications whose instances may give way, by name; its own among them."""
    application: str
    refused: Sequence[Unplaced]
    instances: Sequence[Instance]
    """Of every application; those that the same plan removes are left out."""
    seed: int

    @property
    def spec(self) -> ApplicationSpec:
        return self.specs[self.application]


def preempted(
    view: PreemptionView, candidates: Callable[[], Sequence[Candidate]], ask_of: Callable[[str, int], Ask]
) -> tuple[Removal, ...]:
    """Return who leaves so that what was refused fits; `candidates` are the hosts as they will be."""
    priorities = {one.name: one.wishes.priority for one in view.spec.services}
    groups = {one.name for one in view.spec.services if one.wishes.group}
    named = [(ServiceKey.parse(one.service), one) for one in view.refused]
    refused = [(key, one) for key, one in named if key.name not in groups and priorities.get(key.name, 0) > 0]
    if not refused or any(_leaves_for(one, view.application) for one in view.instances):
        return ()
    standing = _standing(view)
    fleet = fleet_of(candidates(), view.seed)
    found: list[Removal] = []
    for key, one in sorted(refused, key=lambda pair: -priorities[pair[0].name]):
        for chosen in decide_preemptions(fleet, ask_of(key.name, one.count), standing):
            found += _removals(chosen, one.service, priorities[key.name])
            for victim in chosen.victims:
                fleet.ended(victim.ask, victim.host_id)
                standing.remove(victim)
            fleet.placed(ask_of(key.name, 1), chosen.host_id)
    return tuple(found)


def places_kept(gave_way: Iterable[Instance], instances: Iterable[Instance], application: str) -> tuple[Instance, ...]:
    """Return those of `gave_way` whose place is kept for a service of another application that is not there yet."""
    kept = [one for one in gave_way if one.place_for and ServiceKey.parse(one.place_for).application != application]
    if not kept:
        return ()
    came: dict[tuple[str, str], float] = {}
    for one in instances:
        place = (one.host_id, f"{one.application}/{one.service}")
        came[place] = max(one.created_at, came.get(place, one.created_at))
    return tuple(
        replace(one, traits=())
        for one in kept
        if one.ended_at is not None and came.get((one.host_id, one.place_for), 0.0) < one.ended_at
    )


def _leaves_for(one: Instance, application: str) -> bool:
    return one.leave_reason == PREEMPTED and ServiceKey.parse(one.place_for).application == application


def _standing(view: PreemptionView) -> list[Standing]:
    """Return who may be asked to leave, with what each takes and its priority as its application has it now."""
    asks: dict[ServiceKey, Ask] = {}
    for spec in view.specs.values():
        asks |= {ServiceKey(spec.name, one.name): ask_of_spec(spec, one.name, 1) for one in spec.services}
    staying = [one for one in view.instances if not one.leave_reason and one.state not in LEAVING]
    return [
        Standing(one.id, one.host_id, replace(asks[key], resources=one.resources))
        for one in staying
        if (key := ServiceKey(one.application, one.service)) in asks
    ]


def _removals(chosen: Preemption, service: str, priority: int) -> Iterable[Removal]:
    for victim in chosen.victims:
        words = (
            f"priority {victim.ask.priority} gives way on {chosen.host_id} to {service} of priority {priority}, which "
            f"fits nowhere else: the least harm of {chosen.compared:,} {'host' if chosen.compared == 1 else 'hosts'}"
        )
        yield Removal(victim.instance_id, PREEMPTED, words, place_for=service)
