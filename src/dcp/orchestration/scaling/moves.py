"""Brings an instance home: from a cloud host to a private one that has room again.

Shrinking takes instances on cloud hosts first, but what is left at the floor may still be there, because its private
host was lost when it was placed. The new instance serves before the old one leaves; the way back is never taken, as
placement prefers private hosts, so a move is not undone by the next.
"""

from dataclasses import dataclass

from dcp.hosts.model import Offer, SourceKind
from dcp.orchestration.scaling.asks import ask_of
from dcp.orchestration.scaling.hosts_wanted import HostPlan, place_with_new_hosts
from dcp.orchestration.services.model import ApplicationSpec, Instance
from dcp.scheduling.model import Candidate


@dataclass(frozen=True, slots=True)
class Move:
    """Where the new instance goes, and which one it relieves."""

    host_plan: HostPlan
    instance_id: str


def decide_move(
    spec: ApplicationSpec,
    instances: tuple[Instance, ...],
    candidates: tuple[Candidate, ...],
    offers: tuple[Offer, ...],
    last_host: int,
    seed: int,
) -> Move | None:
    """Return the move of one instance from a cloud host, the dearest first; None if no private one has room."""
    prices = {c.host_id: c.price_usd_per_hour for c in candidates if c.kind is SourceKind.CLOUD}
    away = sorted((i for i in instances if i.host_id in prices), key=lambda i: (-prices[i.host_id], i.created_at, i.id))
    private = tuple(candidate for candidate in candidates if candidate.kind is SourceKind.PRIVATE)
    ours = tuple(offer for offer in offers if offer.kind is SourceKind.PRIVATE)
    tried: set[str] = set()
    for instance in away:
        if instance.service in tried:
            continue
        tried.add(instance.service)
        ask = ask_of(spec, instance.service, 1)
        plan = place_with_new_hosts((ask,), private, ours, last_host, seed)
        if plan.placement.assignments:
            return Move(plan, instance.id)
    return None
