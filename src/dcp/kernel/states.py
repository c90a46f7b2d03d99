"""State machines are tables: the allowed transitions stand beside the enum and `advance` refuses everything else."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

StateT = TypeVar("StateT", bound=StrEnum)


class IllegalTransition(ValueError):
    """The table does not allow this step; always a fault in our code."""


def advance(table: Mapping[StateT, frozenset[StateT]], before: StateT, after: StateT) -> StateT:
    """Return `after` if the table allows `before -> after`; raise IllegalTransition otherwise."""
    if after not in table[before]:
        raise IllegalTransition(f"{type(before).__name__}: {before} -> {after} is not allowed")
    return after
