"""Frees cloud hosts: what runs on some of them goes to room on others, or onto fewer and cheaper new ones.

Only whole hosts are worth anything, so the set of hosts is chosen that saves most among those whose instances all find
room elsewhere. Every plan lowers what the hosts in use cost, and none brings a service's instances together on one host
or in one of the domains that it is spread over; so a plan never undoes an earlier one, and where nothing is to be won
nothing moves.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations

from dcp.hosts.model import SourceKind
from dcp.orchestration.scaling.hosts_wanted import HostPlan, place_with_new_hosts
from dcp.orchestration.scaling.moves import Moves, MovesView, budgets, is_home, unhurried, with_closed
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.scheduling.labels import domain_of
from dcp.scheduling.model import Ask, Assignment, Candidate

LEAST_SAVING = 0.15
"""Hosts are bought for less only if that saves such a share: starts cost something, and prices waver."""
EXACT_HOSTS = 6
"""Up to so many hosts every set is tried, the one that saves most first; of more the dearest are added one by one."""
TRIES = 32
"""Placements tried at a look, at most, beyond that."""
AskOf = Callable[[str, int], Ask]


@dataclass(frozen=True, slots=True)
class Freeable:
    """A cloud host whose instances may all move."""

    candidate: Candidate
    instances: tuple[Instance, ...]

    @property
    def price(self) -> float:
        return self.candidate.price_usd_per_hour


Found = tuple[tuple[Freeable, ...], HostPlan]


def decide_consolidation(view: MovesView, ask_of: AskOf) -> Moves | None:
    """Return the moves that free the hosts whose going saves most; None if none can go for something."""
    freeable = _freeable(view)
    if not freeable:
        return None
    return _into_room(freeable, view, ask_of) or _onto_cheaper(freeable, view, ask_of)


def _freeable(view: MovesView) -> tuple[Freeable, ...]:
    """Return cloud hosts with nothing on them but instances that may move, those that save most for a move first."""
    there: dict[str, list[Instance]] = {}
    for one in view.instances:
        there.setdefault(one.host_id, []).append(one)
    found = [
        Freeable(host, tuple(there[host.host_id]))
        for host in view.candidates
        if host.kind is SourceKind.CLOUD
        and host.price_usd_per_hour > 0
        and len(there.get(host.host_id, ())) == view.on_host.get(host.host_id, 0) > 0
    ]
    return tuple(sorted(found, key=lambda one: (-one.price / len(one.instances), one.candidate.host_id)))


def _into_room(freeable: tuple[Freeable, ...], view: MovesView, ask_of: AskOf) -> Moves | None:
    """Free what fits on hosts that are in use anyway."""
    if not _any_room(freeable, view):
        return None
    choose = _best_of_all if len(freeable) <= EXACT_HOSTS else _one_by_one
    if found := choose(freeable, view, ask_of):
        return _moves(*found)
    return _in_parts(freeable[0], view, ask_of)


def _any_room(freeable: tuple[Freeable, ...], view: MovesView) -> bool:
    """Return whether the smallest instance that may move has room anywhere else, so that looking on is worth it."""
    smallest = [
        min((i.resources for i in one.instances), key=lambda r: (r.cpu_millis, r.memory_bytes)) for one in freeable
    ]
    cpu, memory = min(one.cpu_millis for one in smallest), min(one.memory_bytes for one in smallest)
    return any(
        host.total.cpu_millis - host.used.cpu_millis >= cpu
        and host.total.memory_bytes - host.used.memory_bytes >= memory
        for host in _in_use(view, frozenset())
    )


def _best_of_all(freeable: tuple[Freeable, ...], view: MovesView, ask_of: AskOf) -> Found | None:
    """Try every set, the one that saves most and then moves fewest first."""
    every = chain.from_iterable(combinations(freeable, size) for size in range(1, len(freeable) + 1))
    for some in sorted(every, key=lambda some: (-_price(some), _moved(some))):
        if _within_budgets(some, view) and (plan := _plan(some, view, ask_of, buy=False)):
            return some, plan
    return None


def _one_by_one(freeable: tuple[Freeable, ...], view: MovesView, ask_of: AskOf) -> Found | None:
    """Add the host that saves most for a move, as long as all that moves finds room."""
    found: Found | None = None
    for one in freeable[:TRIES]:
        some = (*(found[0] if found else ()), one)
        if _within_budgets(some, view) and (plan := _plan(some, view, ask_of, buy=False)):
            found = some, plan
    return found


def _in_parts(one: Freeable, view: MovesView, ask_of: AskOf) -> Moves | None:
    """Begin to free a host with more instances than may move at once; what is left is the cheapest to free next.

    They go where they would if all went, so that the others still find room.
    """
    if _within_budgets((one,), view) or (plan := _plan((one,), view, ask_of, buy=False)) is None:
        return None
    left, part, kept = Counter(budgets(view)), list[Instance](), list[Assignment]()
    for instance in one.instances:
        if left[instance.service] > 0 and len(part) < view.limit:
            left[instance.service] -= 1
            part.append(instance)
    counts = Counter(map(key_of, part))
    for assignment in plan.placement.assignments:
        if counts[assignment.service] > 0:
            counts[assignment.service] -= 1
            kept.append(assignment)
    placement = replace(plan.placement, assignments=tuple(kept))
    return _moves((replace(one, instances=tuple(part)),), replace(plan, placement=placement))


def _onto_cheaper(freeable: tuple[Freeable, ...], view: MovesView, ask_of: AskOf) -> Moves | None:
    """Free hosts by buying others that cost less together. Only sets of the dearest hosts are tried."""
    cheapest = min((o.host_type.price_usd_per_hour for o in view.offers if o.available != 0), default=None)
    if cheapest is None:
        return None
    best: tuple[float, Moves] | None = None
    for size in range(1, min(len(freeable), TRIES) + 1):
        some = freeable[:size]
        if not _within_budgets(some, view):
            break
        if cheapest > (1 - LEAST_SAVING) * _price(some) or not (plan := _plan(some, view, ask_of, buy=True)):
            continue
        saved = _price(some) - sum(new.offer.host_type.price_usd_per_hour for new in plan.new_hosts)
        if saved >= LEAST_SAVING * _price(some) and (best is None or saved > best[0]):
            best = saved, _moves(some, plan)
    return best[1] if best else None


def _within_budgets(some: Iterable[Freeable], view: MovesView) -> bool:
    counts, bounds = Counter(i.service for one in some for i in one.instances), budgets(view)
    return counts.total() <= view.limit and all(count <= bounds[name] for name, count in counts.items())


def _plan(some: tuple[Freeable, ...], view: MovesView, ask_of: AskOf, *, buy: bool) -> HostPlan | None:
    """Return where all instances of these hosts go; None if some find no room, or would stand too close together."""
    counts = Counter(i.service for one in some for i in one.instances)
    asks = tuple(unhurried(ask_of(service, count)) for service, count in counts.items())
    going = frozenset(one.candidate.host_id for one in some)
    offers = view.offers if buy else ()
    candidates = with_closed(_in_use(view, going), view, going)
    plan = place_with_new_hosts(asks, candidates, offers, view.last_host, view.seed, view.allowance)
    return None if plan.placement.unplaced or _brings_together(plan, some, asks, view) else plan


def _in_use(view: MovesView, going: frozenset[str]) -> tuple[Candidate, ...]:
    """Return the hosts that stay: private ones, and cloud ones in use. An empty cloud host is about to go itself."""
    return tuple(
        host
        for host in view.candidates
        if host.ready
        and host.host_id not in going
        and (is_home(host, view) if host.kind is SourceKind.PRIVATE else view.on_host.get(host.host_id, 0) > 0)
    )


def _brings_together(plan: HostPlan, some: tuple[Freeable, ...], asks: Iterable[Ask], view: MovesView) -> bool:
    """Return whether a service that stands on two or more hosts, or domains it spreads over, would stand on one."""
    labels = {host.host_id: host.labels for host in view.candidates}
    labels |= {new.host_id: dict(new.offer.host_type.labels) for new in plan.new_hosts}
    moved = Counter((key_of(i), i.host_id) for one in some for i in one.instances)
    for ask in asks:
        before = standing(ask.service, view.candidates)
        after = before - Counter({host: count for (name, host), count in moved.items() if name == ask.service})
        after.update(a.host_id for a in plan.placement.assignments if a.service == ask.service)
        if len(after) < min(2, len(before)):
            return True
        for keys in levels(ask):
            there = {domain(labels[host], keys) for host in before}
            if len({domain(labels[host], keys) for host in after}) < min(2, len(there)):
                return True
    return False


def standing(service: str, hosts: Iterable[Candidate]) -> Counter[str]:
    """Return how many instances of a service are on each host that has any."""
    return Counter({host.host_id: host.instances[service] for host in hosts if host.instances.get(service)})


def levels(ask: Ask) -> tuple[tuple[str, ...], ...]:
    """Return the labels that make up a domain, for each domain that a service is spread over, the outermost first."""
    found: list[tuple[str, ...]] = []
    for one in ask.spread:
        found.append(domain_of(one.label, found[-1] if found else ()))
    return tuple(found)


def domain(labels: Mapping[str, str], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the domain that a host with these labels is in."""
    return tuple(labels.get(key, "") for key in keys)


def key_of(instance: Instance) -> str:
    """Return the name of the instance's service among all applications."""
    return str(ServiceKey(instance.application, instance.service))


def _moves(some: tuple[Freeable, ...], plan: HostPlan) -> Moves:
    bought = sum(new.offer.host_type.price_usd_per_hour for new in plan.new_hosts)
    relieved: dict[str, tuple[str, ...]] = {}
    for instance in (i for one in some for i in one.instances):
        relieved[instance.service] = (*relieved.get(instance.service, ()), instance.id)
    names = ", ".join(one.candidate.host_id for one in some[:3]) + (f" and {len(some) - 3} more" if some[3:] else "")
    return Moves(plan, relieved, f"so that {names} can go, which saves ${_price(some) - bought:g} an hour")


def _price(some: Iterable[Freeable]) -> float:
    return sum(one.price for one in some)


def _moved(some: Iterable[Freeable]) -> int:
    return sum(len(one.instances) for one in some)
