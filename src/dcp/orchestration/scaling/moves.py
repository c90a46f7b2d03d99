"""Brings instances home: from cloud hosts to private ones that have room again, several at once.

Shrinking takes instances on cloud hosts first, but what is left at the floor may still be there, because private hosts
were lost, lent or full when it was placed. The new instance serves before the old one leaves. Whole cloud hosts are
emptied, the dearest first, so that they can go. The way back is never taken, as placement prefers private hosts; and
nothing moves to where it might soon have to leave.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, SourceKind
from dcp.hosts.pool import ALONE, Pool
from dcp.orchestration.scaling.hosts_wanted import HostPlan, place_with_new_hosts
from dcp.orchestration.scaling.plan import PlannedInstance
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.scheduling.model import Ask, Candidate

SERVICE_SHARE = 0.25
"""Of a service's instances at most so many move at once, and one at least."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Where the new instances go, and which ones they relieve, by service and in order."""

    host_plan: HostPlan
    relieved: Mapping[str, tuple[str, ...]]
    words: str
    """What is won by them."""


@dataclass(frozen=True, slots=True)
class MovesView:
    """Everything `decide_moves` looks at."""

    now: float
    instances: tuple[Instance, ...]
    """Those that may move: they serve, and have for a while."""
    on_host: Mapping[str, int]
    """Instances of all applications."""
    candidates: tuple[Candidate, ...]
    sources: Mapping[str, str]
    """By host."""
    offers: tuple[Offer, ...]
    last_host: int
    seed: int
    limit: int
    """Instances at once, at most."""
    stays_s: float
    """Nothing moves to a host that has to leave within so long."""
    allowance: Allowance = UNBOUNDED
    pool: Pool = ALONE


def decide_moves(view: MovesView, ask_of: Callable[[str, int], Ask]) -> Moves | None:
    """Return the moves to make now; None if no private host has room. `ask_of(service, count)` asks."""
    away = _away(view)
    homes = tuple(one for one in view.candidates if is_home(one, view))
    candidates = with_closed(homes, view)
    offers = tuple(offer for offer in view.offers if offer.kind is SourceKind.PRIVATE and _stays(offer.source, view))
    if not away or not (homes or any(offer.available != 0 for offer in offers)):
        return None

    def placed(counts: Counter[str]) -> tuple[HostPlan, Counter[str]]:
        asks = tuple(unhurried(ask_of(service, min(count, view.limit))) for service, count in counts.items())
        found = place_with_new_hosts(asks, candidates, offers, view.last_host, view.seed, view.allowance)
        return found, Counter(ServiceKey.parse(one.service).name for one in found.placement.assignments)

    _, room = placed(Counter(one.service for one in away))
    chosen = _first(away, room & Counter(budgets(view)), view.limit)
    if not chosen:
        return None
    host_plan, counts = placed(Counter(one.service for one in chosen))
    placement = replace(host_plan.placement, unplaced=())  # what has no room at home stays where it is
    relieved = {
        name: tuple(one.id for one in chosen if one.service == name)[: counts[name]] for name in counts if counts[name]
    }
    return Moves(replace(host_plan, placement=placement), relieved, "goes home from a cloud") if relieved else None


def with_closed(some: tuple[Candidate, ...], view: MovesView, going: Collection[str] = ()) -> tuple[Candidate, ...]:
    """Return `some`, and the others but those `going`, closed: rules look at what stands there."""
    known = {one.host_id for one in some}
    others = (one for one in view.candidates if one.instances and one.host_id not in known)
    return (*some, *(replace(one, schedulable=False) for one in others if one.host_id not in going))


def budgets(view: MovesView) -> dict[str, int]:
    """Return how many instances of each service may move at once: a share of them, so that a mistake hits few."""
    keys = {one.service: str(ServiceKey(one.application, one.service)) for one in view.instances}
    counts = {name: sum(host.instances.get(key, 0) for host in view.candidates) for name, key in keys.items()}
    return {name: min(view.limit, max(1, int(SERVICE_SHARE * count))) for name, count in counts.items()}


def relieving(planned: Iterable[PlannedInstance], moves: Moves) -> tuple[PlannedInstance, ...]:
    """Return the planned instances, each with the one that it relieves and what is won by it."""
    left = {name: list(reversed(ids)) for name, ids in moves.relieved.items()}
    relieving: list[PlannedInstance] = []
    for one in planned:
        old = left[one.instance.service].pop()
        why = f"{one.why}; relieves {old}: {moves.words}"
        relieving.append(replace(one, instance=replace(one.instance, replaces=old), why=why))
    return tuple(relieving)


def _away(view: MovesView) -> list[Instance]:
    """Return what is on cloud hosts: dear hosts first, then those that are empty soonest."""
    prices = {one.host_id: one.price_usd_per_hour for one in view.candidates if one.kind is SourceKind.CLOUD}
    return sorted(
        (one for one in view.instances if one.host_id in prices),
        key=lambda one: (-prices[one.host_id], view.on_host.get(one.host_id, 0), one.host_id, one.created_at, one.id),
    )


def is_home(candidate: Candidate, view: MovesView) -> bool:
    """Return whether it is a private host with room, where what moves there may stay."""
    return (
        candidate.kind is SourceKind.PRIVATE
        and candidate.total != candidate.used
        and candidate.host_id not in view.pool.kept
        and _stays(view.sources.get(candidate.host_id, ""), view)
    )


def _stays(source: str, view: MovesView) -> bool:
    """Return whether what moves there may stay for long: no end of hours is near, and no owner claims hosts there."""
    until = view.pool.until.get(source)
    return (until is None or until - view.now > view.stays_s) and source not in view.pool.uncertain


def unhurried(ask: Ask) -> Ask:
    """Nothing has to move, so a host that could not start the service is left out for good; groups were placed once."""
    barred = tuple(f"node.id!={host_id}" for host_id in sorted(ask.not_on))
    return replace(ask, constraints=(*ask.constraints, *barred), not_on=frozenset(), group="")


def _first(away: Iterable[Instance], room: Counter[str], limit: int) -> list[Instance]:
    chosen: list[Instance] = []
    for one in away:
        if len(chosen) < limit and room[one.service] > 0:
            room[one.service] -= 1
            chosen.append(one)
    return chosen
