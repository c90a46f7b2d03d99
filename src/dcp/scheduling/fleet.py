"""The hosts as columns: one NumPy array for each property, so that a question to all hosts is one expression.

A fleet lives as long as one likes: hosts that join, leave or change and instances that come and go are deltas, and a
question builds nothing anew. Hosts stand in the order of a hash of their identifiers and the seed. Ties go to the
first, so they are broken alike whatever order the hosts were given in, and not always in favour of the same names.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.tally import Numbers, Positions, Tally

Flags = NDArray[np.bool_]
Figures = NDArray[np.float64]
Ties = NDArray[np.uint64]
CPU, MEMORY = 0, 1


class Fleet:
    """Hosts by position, and what is free on them. Positions are those of `hosts`; they change as hosts come and go."""

    def __init__(self, seed: int = 0, hosts: Iterable[Candidate] = ()) -> None:
        self.seed = seed
        self.hosts: list[Candidate] = []
        """What is known of each host, as it was last told; what is used and who is there stands in the columns."""
        self.total: Numbers = np.zeros((2, 0), dtype=np.int64)
        """By resource (CPU in thousandths, memory in bytes) and host."""
        self.free: Numbers = np.zeros((2, 0), dtype=np.int64)
        self.size: Figures = np.zeros((2, 0))
        """The total, 1 at least, as scores need it; and what is used of it."""
        self.used: Figures = np.zeros((2, 0))
        self.ready: Flags = np.zeros(0, dtype=np.bool_)
        self.private: Flags = np.zeros(0, dtype=np.bool_)
        self._ties: Ties = np.zeros(0, dtype=np.uint64)
        self._positions: dict[str, int] = {}
        self._labels: dict[str, LabelColumn] = {}
        self._images: dict[str, Flags] = {}
        self._services: dict[str, Tally] = {}
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
        if not new:
            return
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
        new_positions = np.where(stays, np.cumsum(stays) - 1, -1)
        self.hosts = [host for host, stay in zip(self.hosts, stays.tolist(), strict=True) if stay]
        self._number()
        self.total, self.free = self.total[:, stays], self.free[:, stays]
        self.size, self.used = self.size[:, stays], self.used[:, stays]
        self.ready, self.private, self._ties = self.ready[stays], self.private[stays], self._ties[stays]
        for labels in self._labels.values():
            labels.codes = labels.codes[stays]
        self._images = {image: column[stays] for image, column in self._images.items()}
        for tally in self._services.values():
            tally.renumber(new_positions)

    def change(self, host: Candidate) -> None:
        """Take over what a host is now: its size, state, price, labels and images. What stands there stays."""
        position = self._positions[host.host_id]
        total = _amounts([host.total])[:, 0]
        self.free[:, position] += total - self.total[:, position]
        self.total[:, position] = total
        self.size[:, position] = np.maximum(total, 1)
        self.ready[position] = host.ready
        self.private[position] = host.kind is SourceKind.PRIVATE
        self.hosts[position] = host
        for key, labels in self._labels.items():
            labels.codes[position] = labels.code(host.labels.get(key, ""))
        for image, column in self._images.items():
            column[position] = image in host.images

    def placed(self, ask: Ask, host_id: str, count: int = 1) -> None:
        """Count `count` more instances of `ask.service`, as large as `ask` says, on a host."""
        self.take(ask, np.array([self._positions[host_id]], dtype=np.intp), np.array([count], dtype=np.int64))

    def ended(self, ask: Ask, host_id: str, count: int = 1) -> None:
        """Take away what `placed` has counted."""
        self.placed(ask, host_id, -count)

    def take(self, ask: Ask, positions: Positions, counts: Numbers) -> None:
        """Put `counts` instances of `ask` onto the hosts at `positions`, which ascend."""
        for resource, one in ((CPU, ask.resources.cpu_millis), (MEMORY, ask.resources.memory_bytes)):
            self.free[resource, positions] -= counts * one
            self.used[resource, positions] += counts * one
        self._services.setdefault(ask.service, Tally()).add(positions, counts, len(self.hosts))

    def copy(self) -> "Fleet":
        """Return the same fleet, to try something on: what changes on one does not change on the other."""
        other = Fleet(self.seed)
        other.hosts, other._positions = self.hosts.copy(), self._positions.copy()
        other.total, other.free = self.total.copy(), self.free.copy()
        other.size, other.used = self.size.copy(), self.used.copy()
        other.ready, other.private, other._ties = self.ready.copy(), self.private.copy(), self._ties
        other._labels = {key: labels.copy() for key, labels in self._labels.items()}
        other._images = {image: column.copy() for image, column in self._images.items()}
        other._services = {service: tally.copy() for service, tally in self._services.items()}
        return other

    def same(self, service: str) -> Numbers | None:
        """Return how many instances of `service` each host has; None: there are none at all."""
        tally = self._services.get(service)
        return tally.column(len(self.hosts)) if tally is not None and len(tally.positions) else None

    def count_on(self, service: str, host_id: str) -> int:
        """Return how many instances of `service` one host has."""
        tally = self._services.get(service)
        return tally.at(self._positions[host_id]) if tally is not None else 0

    def label(self, key: str) -> "LabelColumn":
        """Return what each host has as its label `key`; a missing one is empty."""
        if key not in self._labels:
            self._labels[key] = LabelColumn([host.labels.get(key, "") for host in self.hosts])
        return self._labels[key]

    def has_image(self, image: str) -> Flags:
        """Return which hosts have an image."""
        if image not in self._images:
            self._images[image] = _flags([image in host.images for host in self.hosts])
        return self._images[image]

    def among(self, host_ids: Iterable[str]) -> Flags:
        """Return which hosts are among `host_ids`."""
        found = np.zeros(len(self.hosts), dtype=np.bool_)
        found[[self._positions[host_id] for host_id in host_ids if host_id in self._positions]] = True
        return found

    def free_on(self, position: int) -> Resources:
        """Return what is free on the host at `position`."""
        return Resources(int(self.free[CPU, position]), int(self.free[MEMORY, position]))

    def _insert(self, at: Positions, ties: Ties, new: Sequence[Candidate]) -> None:
        """Put `new` hosts, in their order, before the hosts at the positions `at`."""
        before = len(self.hosts)
        new_positions = np.arange(before) + np.searchsorted(at, np.arange(before), side="right")
        self.hosts = _inserted(self.hosts, at.tolist(), new)
        self._number()
        total = _amounts([host.total for host in new])
        used = _amounts([host.used for host in new])
        self.total = np.insert(self.total, at, total, axis=1)
        self.free = np.insert(self.free, at, total - used, axis=1)
        self.size = np.insert(self.size, at, np.maximum(total, 1), axis=1)
        self.used = np.insert(self.used, at, used, axis=1)
        self.ready = np.insert(self.ready, at, [host.ready for host in new])
        self.private = np.insert(self.private, at, [host.kind is SourceKind.PRIVATE for host in new])
        self._ties = np.insert(self._ties, at, ties)
        for key, labels in self._labels.items():
            labels.codes = np.insert(labels.codes, at, [labels.code(host.labels.get(key, "")) for host in new])
        for image, column in self._images.items():
            self._images[image] = np.insert(column, at, [image in host.images for host in new])
        for tally in self._services.values():
            tally.renumber(new_positions)
        self._count(new)

    def _number(self) -> None:
        self._positions = {host.host_id: position for position, host in enumerate(self.hosts)}

    def _count(self, new: Iterable[Candidate]) -> None:
        """Count the instances that stand on new hosts."""
        found: dict[str, list[tuple[int, int]]] = {}
        for host in new:
            for service, count in host.instances.items():
                if count:
                    found.setdefault(service, []).append((self._positions[host.host_id], count))
        for service, pairs in found.items():
            positions, counts = zip(*pairs, strict=True)
            self._services.setdefault(service, Tally()).add(
                np.array(positions, dtype=np.intp), np.array(counts, dtype=np.int64), len(self.hosts)
            )


class LabelColumn:
    """One label of every host, as numbers: the same for the same value."""

    __slots__ = ("codes", "values")

    def __init__(self, labels: Iterable[str]) -> None:
        self.values: dict[str, int] = {}
        self.codes: NDArray[np.int32] = np.array([self.code(label) for label in labels], dtype=np.int32)

    def code(self, label: str) -> int:
        """Return the number of a value; a new value gets a new one."""
        return self.values.setdefault(label, len(self.values))

    def equals(self, label: str) -> Flags:
        """Return which hosts have that value."""
        found: Flags = self.codes == self.values.get(label, -1)
        return found

    def copy(self) -> "LabelColumn":
        """Return one that changes apart from this one."""
        other = LabelColumn(())
        other.values, other.codes = self.values.copy(), self.codes.copy()
        return other


def fleet_of(candidates: Iterable[Candidate], seed: int) -> Fleet:
    """Return the columns of `candidates`."""
    return Fleet(seed, candidates)


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


def _amounts(found: Sequence[Resources]) -> Numbers:
    return np.array([[one.cpu_millis for one in found], [one.memory_bytes for one in found]], dtype=np.int64)


def _flags(values: Sequence[bool]) -> Flags:
    return np.array(values, dtype=np.bool_)
