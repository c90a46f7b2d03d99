"""Filters: how many more instances each host can take, and why not more."""

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcp.scheduling.fleet import Flags, Fleet, Numbers
from dcp.scheduling.model import Ask, Candidate

_CONSTRAINT = re.compile(r"\s*node\.(id|source|labels\.[^\s=!]+)\s*(==|!=)\s*(.*?)\s*")


class RefusalReason(StrEnum):
    """Why a host takes no instance: the first that holds, in this order."""

    CONSTRAINT = "constraint"
    FAILED_LATELY = "failed-lately"
    MAX_PER_HOST = "max-per-host"
    CPU_AND_MEMORY = "cpu-and-memory"
    CPU = "cpu"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Room:
    """How many more instances of one ask fit on each host, by each filter."""

    allowed: Flags
    """Every constraint holds."""
    left_out: Flags
    """The service could not be started there lately."""
    by_count: Numbers
    """Up to `max_per_host`."""
    by_cpu: Numbers
    by_memory: Numbers

    def fits(self) -> Numbers:
        """Return how many more instances fit on each host."""
        fewest = np.minimum(np.minimum(self.by_cpu, self.by_memory), self.by_count)
        return np.where(self.allowed & ~self.left_out, np.maximum(fewest, 0), 0)

    def refusals(self) -> dict[RefusalReason, Flags]:
        """Return which hosts are refused for which reason; a host that fits is in none, any other in exactly one."""
        cpu, memory, count = self.by_cpu < 1, self.by_memory < 1, self.by_count < 1
        open_to_it = self.allowed & ~self.left_out
        counted_out = open_to_it & count
        short = open_to_it & ~count
        return {
            RefusalReason.CONSTRAINT: ~self.allowed,
            RefusalReason.FAILED_LATELY: self.allowed & self.left_out,
            RefusalReason.MAX_PER_HOST: counted_out,
            RefusalReason.CPU_AND_MEMORY: short & cpu & memory,
            RefusalReason.CPU: short & cpu & ~memory,
            RefusalReason.MEMORY: short & memory & ~cpu,
        }


def room_for(fleet: Fleet, ask: Ask) -> Room:
    """Return the room that each host has for instances of `ask` now."""
    bound = ask.count if ask.max_per_host is None else ask.max_per_host
    taken = 0 if ask.max_per_host is None else fleet.same(ask.service)
    return Room(
        allowed=_allowed(fleet, ask.constraints),
        left_out=np.array([host.host_id in ask.not_on for host in fleet.hosts], dtype=np.bool_)
        if ask.not_on
        else np.zeros(len(fleet), dtype=np.bool_),
        by_count=np.full(len(fleet), bound, dtype=np.int64) - taken,
        by_cpu=_times(fleet.cpu_free, ask.resources.cpu_millis, ask.count),
        by_memory=_times(fleet.memory_free, ask.resources.memory_bytes, ask.count),
    )


def unmet_constraint(host: Candidate, constraints: tuple[str, ...]) -> str:
    """Return the first constraint that does not hold on `host`; "" if all hold.

    A label that a host does not have is an empty one. A constraint that cannot be read holds nowhere: placing what
    it was meant to keep out would be the worse mistake.
    """
    return next((constraint for constraint in constraints if not _holds(host, constraint)), "")


def _holds(host: Candidate, constraint: str) -> bool:
    match = _CONSTRAINT.fullmatch(constraint)
    if match is None:
        return False
    key, operator, wanted = match.groups()
    if key == "id":
        value = host.host_id
    elif key == "source":
        value = str(host.kind)
    else:
        value = host.labels.get(key.removeprefix("labels."), "")
    return (value == wanted) is (operator == "==")


def _allowed(fleet: Fleet, constraints: tuple[str, ...]) -> Flags:
    if not constraints:
        return np.ones(len(fleet), dtype=np.bool_)
    return np.array([not unmet_constraint(host, constraints) for host in fleet.hosts], dtype=np.bool_)


def _times(free: Numbers, one: int, most: int) -> Numbers:
    """Return how often `one` fits; what needs nothing fits even where nothing is free."""
    if one <= 0:
        return np.full(free.shape, most, dtype=np.int64)
    return np.minimum(free // one, most)
