"""Filters: how many more instances each host can take, and why not more."""

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcp.hosts.model import SourceKind
from dcp.scheduling.fleet import CPU, MEMORY, Flags, Fleet
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.tally import Numbers

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
    """How many more instances of one ask fit on each host, by each filter; None: the filter leaves nothing out."""

    hosts: int
    most: int
    """No host takes more: it is all that is asked for."""
    allowed: Flags | None
    """Every constraint holds."""
    left_out: Flags | None
    """The service could not be started there lately."""
    by_count: Numbers | None
    """Up to `max_per_host`."""
    by_cpu: Numbers | None
    by_memory: Numbers | None

    def fits(self) -> Numbers:
        """Return how many more instances fit on each host."""
        found = np.full(self.hosts, self.most, dtype=np.int64)
        for bound in (self.by_count, self.by_cpu, self.by_memory):
            if bound is not None:
                np.minimum(found, bound, out=found)
        np.maximum(found, 0, out=found)
        if self.allowed is not None:
            found[~self.allowed] = 0
        if self.left_out is not None:
            found[self.left_out] = 0
        return found

    def refusals(self) -> dict[RefusalReason, Flags]:
        """Return which hosts are refused for which reason; a host that fits is in none, any other in exactly one."""
        cpu, memory, count = (self._spent(one) for one in (self.by_cpu, self.by_memory, self.by_count))
        allowed = np.ones(self.hosts, dtype=np.bool_) if self.allowed is None else self.allowed
        left_out = np.zeros(self.hosts, dtype=np.bool_) if self.left_out is None else self.left_out
        open_to_it = allowed & ~left_out
        short = open_to_it & ~count
        return {
            RefusalReason.CONSTRAINT: ~allowed,
            RefusalReason.FAILED_LATELY: allowed & left_out,
            RefusalReason.MAX_PER_HOST: open_to_it & count,
            RefusalReason.CPU_AND_MEMORY: short & cpu & memory,
            RefusalReason.CPU: short & cpu & ~memory,
            RefusalReason.MEMORY: short & memory & ~cpu,
        }

    def roomy(self) -> Flags:
        """Return which hosts have the resources for one more, whatever else keeps it out."""
        return ~self._spent(self.by_cpu) & ~self._spent(self.by_memory)

    def _spent(self, bound: Numbers | None) -> Flags:
        return np.zeros(self.hosts, dtype=np.bool_) if bound is None else bound < 1


def room_for(fleet: Fleet, ask: Ask) -> Room:
    """Return the room that each host has for instances of `ask` now."""
    return Room(
        hosts=len(fleet),
        most=ask.count,
        allowed=_allowed(fleet, ask.constraints),
        left_out=fleet.among(ask.not_on) if ask.not_on else None,
        by_count=None if ask.max_per_host is None else _less(fleet, ask.max_per_host, ask.service),
        by_cpu=_times(fleet.free[CPU], ask.resources.cpu_millis),
        by_memory=_times(fleet.free[MEMORY], ask.resources.memory_bytes),
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


def _allowed(fleet: Fleet, constraints: tuple[str, ...]) -> Flags | None:
    """Return which hosts meet every constraint, as `unmet_constraint` says of one host."""
    if not constraints:
        return None
    allowed = np.ones(len(fleet), dtype=np.bool_)
    for constraint in constraints:
        match = _CONSTRAINT.fullmatch(constraint)
        if match is None:
            allowed[:] = False
            break
        equal = _equal(fleet, match[1], match[3])
        allowed &= equal if match[2] == "==" else ~equal
    return allowed


def _equal(fleet: Fleet, key: str, wanted: str) -> Flags:
    if key == "id":
        return fleet.among((wanted,))
    if key == "source":
        kinds = {str(SourceKind.PRIVATE): fleet.private, str(SourceKind.CLOUD): ~fleet.private}
        return kinds.get(wanted, np.zeros(len(fleet), dtype=np.bool_))
    return fleet.label(key.removeprefix("labels.")).equals(wanted)


def _less(fleet: Fleet, most: int, service: str) -> Numbers:
    same = fleet.same(service)
    return np.full(len(fleet), most, dtype=np.int64) if same is None else most - same


def _times(free: Numbers, one: int) -> Numbers | None:
    """Return how often `one` fits; what needs nothing fits even where nothing is free."""
    if one <= 0:
        return None
    times: Numbers = free // one
    return times
