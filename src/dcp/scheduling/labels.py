"""Labels and domains of hosts as columns of numbers: the same number for the same value."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from dcp.scheduling.model import FAILURE_DOMAINS
from dcp.scheduling.tally import Positions

Flags = NDArray[np.bool_]
Value = tuple[str, ...]


class LabelColumn:
    """What each host has under some labels, taken together; a missing label is an empty one."""

    __slots__ = ("codes", "keys", "values")

    def __init__(self, keys: Value, hosts: Iterable[Mapping[str, str]]) -> None:
        self.keys = keys
        self.values: dict[Value, int] = {}
        self.codes: Positions = self.codes_of(hosts)

    def codes_of(self, hosts: Iterable[Mapping[str, str]]) -> Positions:
        """Return the numbers of hosts with these labels; a new value gets a new number."""
        every = tuple(hosts)
        values = list(zip(*([labels.get(key, "") for labels in every] for key in self.keys), strict=True))
        for value in dict.fromkeys(values):
            self.values.setdefault(value, len(self.values))
        return np.fromiter(map(self.values.__getitem__, values), dtype=np.intp, count=len(values))

    def equals(self, *value: str) -> Flags:
        """Return which hosts have that value."""
        found: Flags = self.codes == self.values.get(value, -1)
        return found

    def only(self, *value: str) -> bool:
        """Return whether no host ever had another value."""
        return not self.values or list(self.values) == [value]

    def shared_with(self, hosts: Flags) -> Flags:
        """Return which hosts have the value of one of `hosts`."""
        there = np.zeros(len(self.values), dtype=np.bool_)
        there[self.codes[hosts]] = True
        return there[self.codes]

    def copy(self) -> "LabelColumn":
        """Return one that changes apart from this one."""
        other = LabelColumn(self.keys, ())
        other.values, other.codes = self.values.copy(), self.codes.copy()
        return other


def domain_of(label: str, within: Value = ()) -> Value:
    """Return the labels that together name one domain: `label`, what it lies in by nature, and `within`."""
    outer = FAILURE_DOMAINS[: FAILURE_DOMAINS.index(label)] if label in FAILURE_DOMAINS else ()
    return tuple(dict.fromkeys((*within, *outer, label)))
