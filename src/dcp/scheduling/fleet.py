"""The hosts as columns: one NumPy array for each property, so that a question to all hosts is one expression.

A fleet lives as long as one likes: hosts that join, leave or change and instances that come and go are deltas, and a
question builds nothing anew. Hosts stand in the order of a hash of their identifiers and the seed. Ties go to the
first, so they are broken alike whatever order the hosts were given in, and not always in favour of the same names.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.labels import Flags, LabelColumn, domain_of
from dcp.scheduling.model import HOST, Ask, Candidate, Trait
from dcp.scheduling.tally import Numbers, Positions, Tally
from dcp.scheduling.traits import AVOIDS, traits_of

Figures = NDArray[np.float64]
Ties = NDArray[np.uint64]
CPU, MEMORY, DISK = 0, 1, 2
"""Rows of resources; named ones come after them."""
_PLAIN = ("cpu", "memory", "disk")
_COLUMNS = ("total", "free", "size", "used", "ready", "private", "schedulable", "price", "_ties", "_standing")


class Fleet:
    """Hosts by position, and what is free on them. Positions are those of `hosts`; they change as hosts come and go."""

    def __init__(self, seed: int = 0, hosts: Iterable[Candidate] = ()) -> None:
        self.seed = seed
        self.hosts: list[Candidate] = []
        """What is known of each host, as it was last told; what is used and who is there stands in the columns."""
        self.resources: list[str] = list(_PLAIN)
        self.total: Numbers = np.zeros((len(_PLAIN), 0), dtype=np.int64)
        """By resource and host: thousandths of a processor, bytes of memory, bytes of disk, pieces."""
        self.free: Numbers = self.total
        self.size: Figures = np.zeros((len(_PLAIN), 0))
        """The total, 1 at least, as scores need it; and what is used of it."""
        self.used: Figures = self.size
        self.ready: Flags = np.zeros(0, dtype=np.bool_)
        self.private: Flags = self.ready
        self.schedulable: Flags = self.ready
        self.price: Figures = np.zeros(0)
        self._ties: Ties = np.zeros(0, dtype=np.uint64)
        self._standing: Numbers = np.zeros(0, dtype=np.int64)
        self._positions: dict[str, int] = {}
        self._domains: dict[tuple[str, ...], LabelColumn] = {}
        self._images: dict[str, Flags] = {}
        self._services: dict[str, Tally] = {}
        self._traits: dict[Trait, Tally] = {}
        self._avoided: dict[str, set[str]] = {}
        self.join(hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def __contains__(self, host_id: str) -> bool:
        return host_id in self._positions

    def position(self, host_id: str) -> int:
        """Return where a host stands; KeyError if it is not here."""
        return self._positions[host_id]

    def join(self, hosts: Iterable[Candidate]) -> None:
        """Add hosts, with what is used and who is there already. ValueError: one of them is here."""
        given = tuple(hosts)
        new = {host.host_id: host for host in given}
        if len(new) < len(given) or new.keys() & self._positions.keys():
            raise ValueError("a host stands in the fleet twice")
        if new:
            tied = sorted((_tie(host_id, self.seed), host_id) for host_id in new)
            ties = np.array([tie for tie, _ in tied], dtype=np.uint64)
            self._insert(np.searchsorted(self._ties, ties), ties, [new[host_id] for _, host_id in tied])

    def leave(self, host_ids: Iterable[str]) -> None:
        """Forget hosts and what stands on them. One that is not here is gone already."""
        gone = [self._positions[host_id] for host_id in set(host_ids) if host_id in self._positions]
        if not gone:
            return
        stays = np.ones(len(self.hosts), dtype=np.bool_)
        stays[gone] = False
        self.hosts = [host for host, stay in zip(self.hosts, stays.tolist(), strict=True) if stay]
        self._number()
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[..., stays])
        for domain in self._domains.values():
            domain.codes = domain.codes[stays]
        self._images = {image: column[stays] for image, column in self._images.items()}
        self._renumber(np.where(stays, np.cumsum(stays) - 1, -1))

    def change(self, host: Candidate) -> None:
        """Take over what a host is now: its size, state, price, labels and images. What stands there stays."""
        position = self._positions[host.host_id]
        total = self._amounts([host.total])[:, 0]
        self.free[:, position] += total - self.total[:, position]
        self.total[:, position] = total
        self.size[:, position] = np.maximum(total, 1)
        for name, values in _facts([host]).items():
            getattr(self, name)[position] = values[0]
        self.hosts[position] = host
        for domain in self._domains.values():
            domain.codes[position] = domain.codes_of([host.labels])[0]
        for image, column in self._images.items():
            column[position] = image in host.images

    def placed(self, ask: Ask, host_id: str, count: int = 1) -> None:
        """Count `count` more instances of `ask` on a host."""
        self.take(ask, np.array([self._positions[host_id]], dtype=np.intp), np.array([count], dtype=np.int64))

    def ended(self, ask: Ask, host_id: str, count: int = 1) -> None:
        """Take away what `placed` has counted."""
        self.placed(ask, host_id, -count)

    def take(self, ask: Ask, positions: Positions, counts: Numbers) -> None:
        """Put `counts` instances of `ask` onto the hosts at `positions`, which ascend."""
        for resource, one in self.needs(ask.resources):
            self.free[resource, positions] -= counts * one
            self.used[resource, positions] += counts * one
        self._standing[positions] += counts
        self._services.setdefault(ask.service, Tally()).add(positions, counts, len(self.hosts))
        for trait in traits_of(ask):
            self._bring(trait, positions, counts)

    def copy(self) -> "Fleet":
        """Return the same fleet, to try something on: what changes on one does not change on the other."""
        other = Fleet(self.seed)
        other.hosts, other.resources = self.hosts.copy(), self.resources.copy()
        other._positions = self._positions.copy()
        for name in _COLUMNS:
            setattr(other, name, getattr(self, name).copy())
        other._domains = {keys: domain.copy() for keys, domain in self._domains.items()}
        other._images = {image: column.copy() for image, column in self._images.items()}
        other._services = {service: tally.copy() for service, tally in self._services.items()}
        other._traits = {trait: tally.copy() for trait, tally in self._traits.items()}
        other._avoided = {service: within.copy() for service, within in self._avoided.items()}
        return other

    def needs(self, resources: Resources) -> list[tuple[int, int]]:
        """Return which resources are needed, by row, and how much of each."""
        return [(self._resource(name), amount) for name, amount in resources.amounts().items() if amount]

    def same(self, service: str) -> Numbers | None:
        """Return how many instances of `service` each host has; None: there are none at all."""
        return self._column(self._services.get(service))

    def count_on(self, service: str, host_id: str) -> int:
        """Return how many instances of `service` one host has."""
        tally = self._services.get(service)
        return tally.at(self._positions[host_id]) if tally is not None else 0

    def with_trait(self, trait: Trait) -> Numbers | None:
        """Return how many instances with a trait each host has; None: there are none at all."""
        return self._column(self._traits.get(trait))

    def avoided(self, service: str) -> list[str]:
        """Return the domains within which somebody may not stand with `service`, `host` among them."""
        return sorted(self._avoided.get(service, ()))

    def empty(self) -> Flags:
        """Return which hosts have nothing on them."""
        found: Flags = self._standing == 0
        return found

    def label(self, key: str) -> LabelColumn:
        """Return what each host has as its label `key`."""
        return self.domains((key,))

    def domains(self, keys: tuple[str, ...]) -> LabelColumn:
        """Return which domain each host is in: one for each value of these labels together."""
        if keys not in self._domains:
            self._domains[keys] = LabelColumn(keys, (host.labels for host in self.hosts))
        return self._domains[keys]

    def widened(self, hosts: Flags, within: str) -> Flags:
        """Return which hosts stand in one domain with one of `hosts`."""
        return hosts if within == HOST else self.domains(domain_of(within)).shared_with(hosts)

    def has_image(self, image: str) -> Flags:
        """Return which hosts have an image."""
        if image not in self._images:
            self._images[image] = np.array([image in host.images for host in self.hosts], dtype=np.bool_)
        return self._images[image]

    def among(self, host_ids: Iterable[str]) -> Flags:
        """Return which hosts are among `host_ids`."""
        found = np.zeros(len(self.hosts), dtype=np.bool_)
        found[[self._positions[host_id] for host_id in host_ids if host_id in self._positions]] = True
        return found

    def free_on(self, position: int) -> Resources:
        """Return what is free on the host at `position`."""
        free = dict(zip(self.resources, self.free[:, position].tolist(), strict=True))
        cpu, memory, disk = (free.pop(name) for name in _PLAIN)
        return Resources(cpu, memory, disk, tuple(sorted((name, amount) for name, amount in free.items() if amount)))

    def _column(self, tally: Tally | None) -> Numbers | None:
        return tally.column(len(self.hosts)) if tally is not None and len(tally.positions) else None

    def _insert(self, at: Positions, ties: Ties, new: Sequence[Candidate]) -> None:
        """Put `new` hosts, in their order, before the hosts at the positions `at`."""
        before = np.arange(len(self.hosts))
        self.hosts = _inserted(self.hosts, at.tolist(), new)
        self._number()
        total, used = self._amounts([host.total for host in new]), self._amounts([host.used for host in new])
        columns: dict[str, Any] = {
            "total": total,
            "free": total - used,
            "size": np.maximum(total, 1),
            "used": used,
            "_ties": ties,
            "_standing": [sum(host.instances.values()) for host in new],
            **_facts(new),
        }
        for name in _COLUMNS:
            setattr(self, name, np.insert(getattr(self, name), at, columns[name], axis=-1))
        for domain in self._domains.values():
            domain.codes = np.insert(domain.codes, at, domain.codes_of(host.labels for host in new))
        for image, column in self._images.items():
            self._images[image] = np.insert(column, at, [image in host.images for host in new])
        self._renumber(before + np.searchsorted(at, before, side="right"))
        self._count(new)

    def _number(self) -> None:
        self._positions = {host.host_id: position for position, host in enumerate(self.hosts)}

    def _renumber(self, new_positions: Positions) -> None:
        for tally in (*self._services.values(), *self._traits.values()):
            tally.renumber(new_positions)

    def _count(self, new: Iterable[Candidate]) -> None:
        """Count the instances that stand on new hosts, and what they bring there."""
        found: dict[str | Trait, list[tuple[int, int]]] = {}
        for host in new:
            where = self._positions[host.host_id]
            for service, count in host.instances.items():
                if count:
                    found.setdefault(service, []).append((where, count))
            for trait, count in host.traits.items():
                if count:
                    found.setdefault(trait, []).append((where, count))
        for what, pairs in found.items():
            positions, counts = np.array(sorted(pairs), dtype=np.int64).T
            if isinstance(what, Trait):
                self._bring(what, positions, counts)
            else:
                self._services.setdefault(what, Tally()).add(positions, counts, len(self.hosts))

    def _bring(self, trait: Trait, positions: Positions, counts: Numbers) -> None:
        self._traits.setdefault(trait, Tally()).add(positions, counts, len(self.hosts))
        if trait.kind == AVOIDS:
            self._avoided.setdefault(trait.name, set()).add(trait.within)

    def _amounts(self, found: Sequence[Resources]) -> Numbers:
        """Return amounts by resource and host."""
        given = [one.amounts() for one in found]
        for name in {name for amounts in given for name in amounts}:
            self._resource(name)
        return np.array([[amounts.get(name, 0) for amounts in given] for name in self.resources], dtype=np.int64)

    def _resource(self, name: str) -> int:
        """Return the row of a resource; a new one gets a new row."""
        if name not in self.resources:
            self.resources.append(name)
            for column, nothing in (("total", 0), ("free", 0), ("size", 1), ("used", 0)):
                before = getattr(self, column)
                row = np.full((1, before.shape[1]), nothing, dtype=before.dtype)
                setattr(self, column, np.concatenate((before, row)))
        return self.resources.index(name)


def fleet_of(candidates: Iterable[Candidate], seed: int) -> Fleet:
    """Return the columns of `candidates`."""
    return Fleet(seed, candidates)


def _facts(hosts: Sequence[Candidate]) -> dict[str, list[Any]]:
    """Return what is copied from hosts as it is, by column."""
    return {
        "ready": [host.ready for host in hosts],
        "private": [host.kind is SourceKind.PRIVATE for host in hosts],
        "schedulable": [host.schedulable for host in hosts],
        "price": [host.price_usd_per_hour for host in hosts],
    }


def _tie(host_id: str, seed: int) -> int:
    """Return the place of a host among equals: the same on every machine, another one for another seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{host_id}".encode(), digest_size=8).digest(), "big")


def _inserted(hosts: list[Candidate], at: Sequence[int], new: Sequence[Candidate]) -> list[Candidate]:
    if not hosts:
        return list(new)
    pieces = [hosts[: at[0]]]
    for host, begin, end in zip(new, at, (*at[1:], len(hosts)), strict=True):
        pieces.append([host, *hosts[begin:end]])
    return [host for piece in pieces for host in piece]
