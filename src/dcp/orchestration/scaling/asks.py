"""What a specification asks of the scheduler."""

from collections.abc import Iterable
from dataclasses import replace

from dcp.orchestration.services.model import ApplicationSpec, ServiceKey
from dcp.scheduling.model import Ask, Neighbour
from dcp.scheduling.traits import to_words, traits_of


def ask_of(spec: ApplicationSpec, name: str, count: int) -> Ask:
    """Return the question where `count` more instances of a service go."""
    service = spec.service(name)
    rules, port = service.rules, service.container.host_port
    return Ask(
        service=str(ServiceKey(spec.name, name)),
        count=count,
        resources=service.resources,
        constraints=service.constraints,
        max_per_host=service.most_per_host,
        sites=frozenset(rules.sites),
        hardware=frozenset(rules.hardware),
        dedicated=rules.dedicated,
        host_ports=frozenset() if port is None else frozenset({port}),
        heavy=rules.heavy,
        leans=rules.leans,
        empty_only=rules.empty_only,
        beside=_named(rules.beside, spec.name),
        apart=_named(rules.apart, spec.name),
        spread=rules.spread,
        weights=service.wishes.weighed(),
        priority=service.wishes.priority,
        group=service.wishes.group,
    )


def traits_for(spec: ApplicationSpec, name: str) -> tuple[str, ...]:
    """Return in words what each instance of a service brings to its host."""
    return to_words(traits_of(ask_of(spec, name, 1)))


def _named(neighbours: Iterable[Neighbour], application: str) -> tuple[Neighbour, ...]:
    return tuple(
        one if "/" in one.service else replace(one, service=str(ServiceKey(application, one.service)))
        for one in neighbours
    )
