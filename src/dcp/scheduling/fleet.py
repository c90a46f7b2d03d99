"""The hosts as columns: one NumPy array for each property, so that a question to all hosts is one expression.

Hosts stand in the order of a hash of their identifiers and the seed. Ties go to the first, so they are broken alike
whatever order the hosts were given in, and not always in favour of the same names.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.model import Ask, Candidate

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Fleet:
    """Hosts and what is free on them. `take` changes it; everything else reads."""

    hosts: tuple[Candidate, ...]
    cpu_total: Numbers
    memory_total: Numbers
    cpu_free: Numbers
    memory_free: Numbers
    ready: Flags
    private: Flags
    counts: dict[str, Numbers]
    """Instances of a service on each host, for services that were asked about."""

    def __len__(self) -> int:
        return len(self.hosts)

    def same(self, service: str) -> Numbers:
        """Return how many instances of `service` each host has."""
        if service not in self.counts:
            self.counts[service] = _numbers([host.instances.get(service, 0) for host in self.hosts])
        return self.counts[service]

    def take(self, position: int, ask: Ask, count: int) -> None:
        """Put `count` instances onto the host at `position`."""
        self.cpu_free[position] -= count * ask.resources.cpu_millis
        self.memory_free[position] -= count * ask.resources.memory_bytes
        self.same(ask.service)[position] += count

    def free(self, position: int) -> Resources:
        """Return what is free on the host at `position`."""
        return Resources(int(self.cpu_free[position]), int(self.memory_free[position]))


def fleet_of(candidates: tuple[Candidate, ...], seed: int) -> Fleet:
    """Return the columns of `candidates`, in the order that `seed` gives their identifiers."""
    hosts = tuple(sorted(candidates, key=lambda host: (tie_break(host.host_id, seed), host.host_id)))
    cpu_total = _numbers([host.total.cpu_millis for host in hosts])
    memory_total = _numbers([host.total.memory_bytes for host in hosts])
    return Fleet(
        hosts=hosts,
        cpu_total=cpu_total,
        memory_total=memory_total,
        cpu_free=cpu_total - _numbers([host.used.cpu_millis for host in hosts]),
        memory_free=memory_total - _numbers([host.used.memory_bytes for host in hosts]),
        ready=np.array([host.ready for host in hosts], dtype=np.bool_),
        private=np.array([host.kind is SourceKind.PRIVATE for host in hosts], dtype=np.bool_),
        counts={},
    )


def tie_break(host_id: str, seed: int) -> bytes:
    """Return the place of a host among equals: the same on every machine, another one for another seed."""
    return hashlib.blake2b(f"{seed}/{host_id}".encode(), digest_size=8).digest()


def _numbers(values: list[int]) -> Numbers:
    return np.array(values, dtype=np.int64)
