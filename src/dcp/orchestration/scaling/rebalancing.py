"""Spreads services again over what fails together, after hosts, racks or zones came back: a few instances at a time.

A service leans if one of the domains that it is spread over has at least two instances more than another with room
(with a maximal skew: more than that), or if all of them stand on one host while another one is in use. Only hosts that
cost nothing more take part, so what consolidation won stays won; and each move lowers the sum of squares of the
instances by domain, the outermost first, so none is undone by the next.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dcp.hosts.model import SourceKind
from dcp.orchestration.scaling.consolidation import AskOf, domain, levels, standing
from dcp.orchestration.scaling.hosts_wanted import HostPlan
from dcp.orchestration.scaling.moves import Moves, MovesView, budgets, is_home, unhurried, with_closed
from dcp.orchestration.services.model import Instance
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.place import place


@dataclass(frozen=True, slots=True)
class _Lean:
    """Some of what is on the `crowded` hosts should rather be on one of `elsewhere`."""

    crowded: frozenset[str]
    elsewhere: tuple[Candidate, ...]
    ask: Ask
    """For as many as are too many, spread over what lies within the domain only."""
    words: str


def decide_rebalancing(view: MovesView, ask_of: AskOf) -> Moves | None:
    """Return the moves that spread one service better; None if all stand as well as they can."""
    ready = tuple(host for host in view.candidates if host.ready)
    clouds = frozenset(host.host_id for host in view.candidates if host.kind is SourceKind.CLOUD)
    homes = tuple(host for host in ready if host.host_id not in clouds and is_home(host, view))
    rented = tuple(host for host in ready if host.host_id in clouds and view.on_host.get(host.host_id, 0) > 0)
    bounds = budgets(view)
    for service in sorted(bounds):
        own = tuple(one for one in view.instances if one.service == service)
        ask = unhurried(ask_of(service, bounds[service]))
        # What is at home does not leave for a cloud.
        for movable, takers in ((own, homes), (tuple(one for one in own if one.host_id in clouds), rented)):
            if moves := _spread(ask, movable, takers, clouds, view):
                return moves
    return None


def _spread(
    ask: Ask, movable: tuple[Instance, ...], takers: tuple[Candidate, ...], clouds: frozenset[str], view: MovesView
) -> Moves | None:
    if not movable or not takers:
        return None
    counts = standing(ask.service, view.candidates)
    for lean in _leans(ask, counts, view.candidates, takers):
        going = _going(movable, lean, counts, clouds)
        ask_now = replace(lean.ask, count=min(lean.ask.count, len(going)))
        placement = place((ask_now,), with_closed(lean.elsewhere, view), view.seed)
        if going and placement.assignments:
            chosen = going[: len(placement.assignments)]
            return Moves(HostPlan(replace(placement, unplaced=()), ()), {movable[0].service: chosen}, lean.words)
    return None


def _leans(
    ask: Ask, counts: Mapping[str, int], hosts: tuple[Candidate, ...], takers: tuple[Candidate, ...]
) -> Iterator[_Lean]:
    """Yield where the service leans: between the outermost domains first, then within each; then all on one host."""
    there = tuple(host for host in hosts if host.host_id in counts)
    outer: tuple[str, ...] = ()
    for depth, keys in enumerate(levels(ask)):
        inner = replace(ask, spread=ask.spread[depth + 1 :])
        skew = ask.spread[depth].max_skew or 1
        for around in sorted({domain(host.labels, outer) for host in there}):
            inside = tuple(host for host in there if domain(host.labels, outer) == around)
            near = tuple(host for host in takers if domain(host.labels, outer) == around)
            if lean := _between(inner, keys, skew, counts, inside, near):
                yield lean
        outer = keys
    if len(there) == 1 and (total := sum(counts.values())) > 1:
        (alone,) = there
        home = domain(alone.labels, outer)
        near = tuple(one for one in takers if one is not alone and one.instances and domain(one.labels, outer) == home)
        if near:
            some = replace(ask, count=min(ask.count, total // 2), spread=())
            yield _Lean(frozenset(counts), near, some, f"all {total} instances stood on {alone.host_id}")


def _between(
    ask: Ask,
    keys: tuple[str, ...],
    skew: int,
    counts: Mapping[str, int],
    there: tuple[Candidate, ...],
    takers: tuple[Candidate, ...],
) -> _Lean | None:
    """Return how the service leans between the domains of one level; None if it does not."""
    open_to_it = {domain(host.labels, keys) for host in takers}
    by_domain = Counter(dict.fromkeys(open_to_it, 0))
    for host in there:
        by_domain[domain(host.labels, keys)] += counts[host.host_id]
    if not open_to_it:
        return None
    most = max(by_domain, key=lambda one: (by_domain[one], one))
    least = min(open_to_it, key=lambda one: (by_domain[one], one))
    difference = by_domain[most] - by_domain[least]
    if difference <= skew:
        return None
    return _Lean(
        frozenset(host.host_id for host in there if domain(host.labels, keys) == most),
        tuple(host for host in takers if domain(host.labels, keys) == least),
        replace(ask, count=min(ask.count, difference // 2)),
        f"{keys[-1]} {most[-1]} had {by_domain[most]} of its instances, {least[-1]} {by_domain[least]}",
    )


def _going(
    movable: tuple[Instance, ...], lean: _Lean, counts: Mapping[str, int], clouds: frozenset[str]
) -> tuple[str, ...]:
    """Return who may move: from cloud hosts first, then from the hosts with most of the service, the newest first."""
    crowd = [one for one in movable if one.host_id in lean.crowded]
    crowd.sort(key=lambda one: (one.host_id not in clouds, -counts[one.host_id], -one.created_at, one.id))
    return tuple(one.id for one in crowd)
