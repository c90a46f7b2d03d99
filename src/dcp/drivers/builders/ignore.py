"""`.dockerignore`: which files of a folder the builder gets.

Patterns are those of the file's own reference: `*` and `?` stay within a name, `**` spans folders, a leading `!` takes
back, the last pattern that fits decides. A pattern that fits a folder fits all that is in it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_ALWAYS_SENT = frozenset({".dockerignore"})


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one file, in order: (whether it takes back, what it fits)."""

    patterns: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @property
    def takes_back(self) -> bool:
        """Whether a folder that is left out may hold files that are not."""
        return any(back for back, _ in self.patterns)

    def fits(self, path: str) -> bool:
        """Return whether `path` (with `/`, relative to the folder) is left out."""
        left_out = False
        for back, pattern in self.patterns:
            if pattern.fullmatch(path):
                left_out = not back
        return left_out


def read_ignore(text: str) -> Ignore:
    """Return the patterns in `text`. Raises ValueError for one that cannot be read."""
    found: list[tuple[bool, re.Pattern[str]]] = []
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        back = pattern.startswith("!")
        parts = [part for part in pattern.removeprefix("!").strip().split("/") if part not in ("", ".")]
        if parts:
            found.append((back, _expression("/".join(parts), line)))
    return Ignore(tuple(found))


def ignore_of(folder: Path, dockerfile: str) -> Ignore:
    """Return what a folder leaves out: `DOCKERFILE.dockerignore` goes before `.dockerignore`."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = folder / name
        if path.is_file():
            return read_ignore(path.read_text(encoding="utf-8-sig"))
    return Ignore()


def is_always_sent(path: str, dockerfile: str) -> bool:
    """The builder reads these itself, whatever is left out."""
    return path == dockerfile or path in _ALWAYS_SENT


def _expression(pattern: str, line: str) -> re.Pattern[str]:
    text, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            text, at = text + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            text, at = text + ".*", at + 2
        elif pattern[at] == "*":
            text, at = text + "[^/]*", at + 1
        elif pattern[at] == "?":
            text, at = text + "[^/]", at + 1
        elif pattern[at] == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise ValueError(f"{line!r} is not a pattern: its [ has no ]")
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            text, at = text + f"[{'^' + inside[1:] if inside[0] in '^!' else inside}]", end + 1
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            text, at = text + re.escape(pattern[at + 1]), at + 2
        else:
            text, at = text + re.escape(pattern[at]), at + 1
    try:
        return re.compile(text + "(?:/.*)?", re.DOTALL)
    except re.error as error:
        raise ValueError(f"{line!r} is not a pattern: {error}") from error
