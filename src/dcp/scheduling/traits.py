"""What an instance that stands on a host means to those that come later.

It is counted by host for each instance, so that a fleet knows it of what other applications placed there too.
"""

from collections.abc import Iterable

from dcp.scheduling.model import HOST, Ask, Trait

HEAVY, PORT, LEANS, AVOIDS = "heavy", "port", "leans", "avoids"
CPU_BOUND, IO_BOUND = "cpu", "io"


def heavy(kind: str) -> Trait:
    """Return the trait of hosts that have an instance of a heavy kind."""
    return Trait(HEAVY, kind)


def port(number: int) -> Trait:
    """Return the trait of hosts of which a port is taken."""
    return Trait(PORT, str(number))


def leans(way: str) -> Trait:
    """Return the trait of hosts with instances that lean to `cpu` or `io`."""
    return Trait(LEANS, way)


def avoids(service: str, within: str) -> Trait:
    """Return the trait of hosts with an instance that may not stand in one host or domain with `service`."""
    return Trait(AVOIDS, service, within)


def traits_of(ask: Ask) -> tuple[Trait, ...]:
    """Return what each instance of `ask` brings to its host."""
    if not (ask.heavy or ask.host_ports or ask.leans or ask.apart):
        return ()
    return (
        *((heavy(ask.heavy),) if ask.heavy else ()),
        *(port(number) for number in sorted(ask.host_ports)),
        *((leans(ask.leans),) if ask.leans else ()),
        *(avoids(one.service, one.within) for one in ask.apart if not one.preferred and one.service != ask.service),
    )


def to_words(traits: Iterable[Trait]) -> tuple[str, ...]:
    """Return traits as text that `from_words` reads: `port:8080`, `avoids:shop/web:zone`."""
    return tuple(":".join((one.kind, one.name, *((one.within,) if one.within else ()))) for one in traits)


def from_words(words: Iterable[str]) -> tuple[Trait, ...]:
    """Return the traits that `to_words` wrote."""
    return tuple(Trait(*one.split(":", 2)) for one in words)


def avoided_in_domains(several: Iterable[Iterable[str]]) -> frozenset[str]:
    """Return the services that somebody keeps out of a whole domain, from traits in words."""
    traits = (one for words in several for one in from_words(words))
    return frozenset(one.name for one in traits if one.kind == AVOIDS and one.within != HOST)
