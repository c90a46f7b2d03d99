"""What becomes of every key of a Compose file: one table decides, and the documentation is made from it.

A key is honoured, or it is a note without effect, or leaving it out is harmless and a warning says so, or leaving it
out would change what runs and it is refused. What the table does not list is refused as unknown.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from dcp.compose.findings import Findings
from dcp.compose.yaml_text import Path, Value


class Treatment(StrEnum):
    """What dcp does with a key."""

    HONOURED = "honoured"
    NO_EFFECT = "no effect"  # a note to readers, by the Compose specification itself
    WARNED = "warning"  # left out; what runs is the same
    REFUSED = "refused"  # leaving it out would change what runs


@dataclass(frozen=True, slots=True)
class Key:
    """One key: where it may stand (`*` for any name or position), what becomes of it, why, and what to do instead."""

    path: str
    treatment: Treatment
    note: str
    hint: str = ""
    harmless: Callable[[Value], bool] | None = None
    """Values of a refused key that only bring a warning."""


def check_keys(data: Value, table: Iterable[Key], findings: Findings) -> None:
    """Note every key of `data` that is not honoured."""
    _Check(table, findings).mapping(data, (), "")


class _Check:
    """The table by the place of each key, and the walk over the data."""

    def __init__(self, table: Iterable[Key], findings: Findings) -> None:
        self._findings = findings
        self._below: dict[str, dict[str, Key]] = {}
        self._places: set[str] = set()
        for key in table:
            parent, _, name = key.path.rpartition(".")
            self._below.setdefault(parent, {})[name] = key
            parts = key.path.split(".")
            self._places |= {".".join(parts[:length]) for length in range(1, len(parts))}

    def value(self, value: Value, path: Path, place: str) -> None:
        if isinstance(value, dict):
            self.mapping(value, path, place)
        elif isinstance(value, list) and f"{place}.*" in self._places:
            for position, item in enumerate(value):
                self.value(item, (*path, position), f"{place}.*")

    def mapping(self, value: Value, path: Path, place: str) -> None:
        if not isinstance(value, dict):
            return
        known = self._below.get(place)
        for name, inner in value.items():
            at = (*path, name)
            if known is None:
                if f"{place}.*" in self._places:
                    self.value(inner, at, f"{place}.*")
            elif (key := known.get(name)) is not None:
                self._known(key, inner, at)
            elif not _is_extension(name, place):
                self._unknown(name, at, known, place)

    def _known(self, key: Key, value: Value, at: Path) -> None:
        if key.treatment is Treatment.HONOURED:
            self.value(value, at, key.path)
        elif key.treatment is Treatment.NO_EFFECT or asks_for_nothing(value):
            return
        elif key.treatment is Treatment.WARNED or (key.harmless is not None and key.harmless(value)):
            self._findings.warn(at, f"left out: {key.note}", key.hint)
        else:
            self._findings.error(at, f"is not honoured: {key.note}", key.hint)

    def _unknown(self, name: str, at: Path, known: dict[str, Key], place: str) -> None:
        if name == "x-dcp":
            self._findings.error(at, "x-dcp stands on a service", "move it to services.NAME.x-dcp")
            return
        close = get_close_matches(name, known, n=1)
        ours = "x-dcp" in place.split(".")
        otherwise = f"there are {', '.join(known)}" if ours else "remove it, or name it x-… if it is a note of yours"
        hint = f"did you mean {close[0]}?" if close else otherwise
        self._findings.error(at, "is not a key that dcp knows here", hint)


def asks_for_nothing(value: Value) -> bool:
    """Return whether a value is what leaving the key out means: null, false or empty."""
    return value is None or value is False or value == "" or value == [] or value == {}


def _is_extension(name: str, place: str) -> bool:
    """Return whether Compose lets anybody write this key; inside x-dcp every key is ours."""
    return name.startswith("x-") and name != "x-dcp" and "x-dcp" not in place.split(".")
