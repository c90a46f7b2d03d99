"""What a lab is about to make, written down before it is made, so that `down` finds it whatever happened meanwhile.

Names alone would do for almost all of it: every trace carries the lab's name. The journal holds what cannot be derived
(whether a folder was there before) and the name itself, should the lab's own file be damaged.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcp.lab.spec import LabSpec, spec_from_json

SPEC = "lab.json"
JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is made: its kind (`lab`, `link`, `namespace`, `mount`, `cgroup`, `rule`, `folder`) and name."""

    kind: str
    name: str


class Journal:
    """The journal in one lab's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / JOURNAL

    def add(self, entries: Iterable[Entry]) -> None:
        """Write down what is new among `entries`; on disk when this returns."""
        known = set(self.read())
        lines = [json.dumps([one.kind, one.name]) for one in dict.fromkeys(entries) if one not in known]
        if not lines:
            return
        with self._path.open("a", encoding="utf-8") as file:
            # A line that a crash cut short must not swallow the next one.
            file.write("\n" + "\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[Entry, ...]:
        """Return everything that can be read; a line that is cut short is passed over."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ()
        return tuple(entry for line in text.splitlines() if (entry := _entry(line)))


def save_spec(directory: Path, spec: LabSpec) -> None:
    """Write the specification, whole or not at all."""
    write_whole(directory / SPEC, json.dumps(spec.to_json(), indent=1) + "\n")


def load_spec(directory: Path) -> LabSpec | None:
    """Return the specification of the lab in `directory`, None if there is none or it cannot be read."""
    try:
        return spec_from_json(json.loads((directory / SPEC).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_whole(path: Path, text: str | bytes, mode: int = 0o644) -> None:
    """Replace a file: readers see the old one or the new one."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _entry(line: str) -> Entry | None:
    try:
        kind, name = json.loads(line)
    except (ValueError, TypeError):
        return None
    return Entry(kind, name) if isinstance(kind, str) and isinstance(name, str) else None
