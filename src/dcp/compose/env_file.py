"""Environment files by the rules of the Compose specification: quotes, escapes, comments, `export`, interpolation.

A value in quotes may go over several lines. `NAME` alone takes the caller's value, and is left out if there is none.
"""

import re
from dataclasses import dataclass, field

from dcp.compose.interpolate import InterpolationError, Lookup, interpolate

_ENTRY = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-\[\]]*)[ \t]*(=)?", re.ASCII)
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
}
_COMMENT = re.compile(r"\s#.*$")
_ESCAPE = re.compile(r"\\(0[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong on one line of the file (counted from 1)."""

    line: int
    message: str
    hint: str = ""


@dataclass(slots=True)
class EnvFile:
    """Values in the order of the file, variables wanted and not set (with the line), and faults."""

    values: dict[str, str] = field(default_factory=dict)
    unset: list[LineFault] = field(default_factory=list)
    faults: list[LineFault] = field(default_factory=list)


def parse_env(text: str, lookup: Lookup) -> EnvFile:
    """Return what an environment file says. A variable in a value is the caller's, else an earlier one of the file."""
    result = EnvFile()
    reader = _Reader(text.replace("\r\n", "\n"), lookup, result)
    while reader.at < len(reader.text):
        reader.entry()
    return result


def parse_raw(text: str) -> EnvFile:
    """Return what a file of `format: raw` says: NAME=VALUE lines, the values untouched."""
    result = EnvFile()
    for number, line in enumerate(text.splitlines(), start=1):
        name, assigned, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not assigned or not name.strip():
            result.faults.append(LineFault(number, "is not NAME=VALUE", "put one NAME=VALUE on each line"))
        else:
            result.values[name.strip()] = value
    return result


class _Reader:
    """Walks through the text, entry by entry."""

    def __init__(self, text: str, lookup: Lookup, result: EnvFile) -> None:
        self.text = text
        self.at = 0
        self._lookup = lookup
        self._result = result

    def entry(self) -> None:
        """Read one line, or the lines of one quoted value."""
        start = self.at
        line = self._rest_of_line()
        if not line.strip() or line.lstrip().startswith("#"):
            self.at = start + len(line) + 1
            return
        self.at += len(line) - len(line.lstrip())
        match = _ENTRY.match(self.text, self.at)
        after = self.text[match.end() : match.end() + 1] if match else ""
        if match is None or (not match[2] and after not in ("", "\n", "#")):
            self._fault(start, "does not begin with NAME=", "put one NAME=VALUE on each line")
            self.at = start + len(line) + 1
            return
        self.at = match.end()
        value = self._rest_of_line()
        quote = value.lstrip()[:1]
        if not match[2]:
            self._inherit(match[1])
        elif quote in _QUOTED:
            self.at += len(value) - len(value.lstrip())
            self._quoted(match[1], quote, start)
        else:
            self._unquoted(match[1], start)

    def _inherit(self, name: str) -> None:
        value = self._lookup(name)
        if value is not None:
            self._result.values[name] = value
        self.at += len(self._rest_of_line()) + 1

    def _unquoted(self, name: str, start: int) -> None:
        rest = self._rest_of_line()
        self._assign(name, _COMMENT.sub("", rest).strip(), start)
        self.at += len(rest) + 1

    def _quoted(self, name: str, quote: str, start: int) -> None:
        match = _QUOTED[quote].match(self.text, self.at)
        if match is None:
            self._fault(start, "a quoted value is not closed", f"add the missing {quote}")
            self.at = len(self.text)
            return
        self.at = match.end()
        rest = self._rest_of_line()
        if rest.strip() and not rest.lstrip().startswith("#"):
            self._fault(start, "there is text after the closing quote", "put the whole value in quotes")
        elif quote == "'":
            self._result.values[name] = match[1].replace("\\'", "'")
        else:
            self._assign(name, _ESCAPE.sub(_unescape, match[1]), start)
        self.at += len(rest) + 1

    def _assign(self, name: str, value: str, start: int) -> None:
        try:
            filled = interpolate(value, self._variable)
        except InterpolationError as error:
            self._fault(start, str(error), error.hint)
            return
        self._result.values[name] = filled.text
        line = self._line(start)
        self._result.unset += [LineFault(line, variable) for variable in filled.unset]

    def _variable(self, name: str) -> str | None:
        value = self._lookup(name)
        return self._result.values.get(name) if value is None else value

    def _rest_of_line(self) -> str:
        end = self.text.find("\n", self.at)
        return self.text[self.at : end if end >= 0 else len(self.text)]

    def _line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def _fault(self, position: int, message: str, hint: str) -> None:
        self._result.faults.append(LineFault(self._line(position), message, hint))


def _unescape(match: re.Match[str]) -> str:
    """Return what an escape in double quotes means; one that is not known stays as it was written."""
    escaped = match[1]
    if escaped == "$":
        return "$$"  # interpolation comes afterwards and turns it into one dollar sign
    if len(escaped) > 1:
        return chr(int(escaped, 8))
    return _ESCAPED.get(escaped, match[0])
