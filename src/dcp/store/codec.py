"""Frozen dataclasses to JSON text and back, by the types alone (Pydantic's TypeAdapter).

The text is always valid JSON: a float that is infinite or not a number is written as a word ("Infinity", "NaN"). Where
the type says float it is read back as the float it was; among the numbers of an event or a decision, which may hold
words anyway, it stays a word, so that what is read can be sent on as JSON.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from dcp.kernel.events import Number


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(kind: Any, value: object) -> str:
    """Return `value`, which is of type `kind`, as JSON text."""
    # The adapter of a dataclass would write null for what is not finite, which cannot be read back.
    return pydantic_core.to_json(value, inf_nan_mode="strings", fallback=_as_dict).decode()


def from_json(kind: Any, text: str) -> Any:
    """Return the value of type `kind` that `to_json` wrote."""
    return _adapter(kind).validate_json(text)


@lru_cache(maxsize=1024)
def from_known_json(kind: Any, text: str) -> Any:
    """Return the value of `to_json`, one object for the same text: for frozen values that are read all the time."""
    return from_json(kind, text)


def numbers_to_json(numbers: Mapping[str, Number]) -> str:
    """Return the numbers of a decision as JSON text with sorted keys."""
    return to_json(dict[str, int | float | str], dict(sorted(numbers.items())))


def numbers_from_json(text: str) -> dict[str, Number]:
    """Return the numbers that `numbers_to_json` wrote."""
    result: dict[str, Number] = from_json(dict[str, int | float | str], text)
    return result


def _as_dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")
