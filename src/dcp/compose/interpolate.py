"""Variables in values, by the rules of the Compose specification (12-interpolation).

A text is read whole before anything is looked up, so that a malformed `${…` is found even in a default that is not
used, while a required variable (`${A:?…}`) is only missed where its value is wanted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Lookup: TypeAlias = Callable[[str], str | None]
"""The value of a variable; None if it is not set."""

MAX_NESTING = 50

_NAME = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")
_OPERATOR = re.compile(r":?[-?+]")


class InterpolationError(ValueError):
    """The text is malformed, or a required variable has no value. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Interpolated:
    """The text with values in place, and the variables that were wanted and are not set, each once."""

    text: str
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Variable:
    """`${name}`, or `${name` operator word `}`."""

    name: str
    operator: str = ""
    word: "_Parts" = ()


_Parts: TypeAlias = "tuple[str | _Variable, ...]"


def interpolate(text: str, lookup: Lookup) -> Interpolated:
    """Return `text` with every variable replaced; what is not set is empty. Raises InterpolationError.

    `$$` is a dollar sign, and so is a `$` that begins neither a name nor a brace.
    """
    if "$" not in text:
        return Interpolated(text)
    parts, _ = _Reader(text).parts(0, 0)
    unset: dict[str, None] = {}
    return Interpolated(_fill(parts, lookup, unset), tuple(unset))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads parts out of `text`."""

    text: str

    def parts(self, at: int, nesting: int) -> tuple[_Parts, int]:
        """Return the parts from `at` to the end (nesting 0) or to the brace that closes the word, and where that is."""
        if nesting > MAX_NESTING:
            raise InterpolationError(f"variables are nested more than {MAX_NESTING} deep", "use fewer defaults")
        text, parts, braces = self.text, list[str | _Variable](), 0
        while at < len(text):
            if text[at] == "$":
                part, at = self._dollar(at, nesting)
                parts.append(part)
                continue
            if nesting and text[at] == "}":
                if not braces:
                    return tuple(parts), at
                braces -= 1
            elif nesting and text[at] == "{":
                braces += 1
            parts.append(text[at])
            at += 1
        if nesting:
            raise InterpolationError("a ${ is not closed", "add the missing }, or write $${ for a literal ${")
        return tuple(parts), at

    def _dollar(self, at: int, nesting: int) -> tuple[str | _Variable, int]:
        following = self.text[at + 1 : at + 2]
        if following == "$":
            return "$", at + 2
        if following == "{":
            return self._braced(at, nesting)
        name = _NAME.match(self.text, at + 1)
        return (_Variable(name[0]), name.end()) if name else ("$", at + 1)

    def _braced(self, at: int, nesting: int) -> tuple[_Variable, int]:
        name = _NAME.match(self.text, at + 2)
        if not name:
            raise InterpolationError("a ${ is followed by no name", "write ${NAME}, or $${ for a literal ${")
        end = name.end()
        if self.text[end : end + 1] == "}":
            return _Variable(name[0]), end + 1
        operator = _OPERATOR.match(self.text, end)
        if not operator:
            found = f"is followed by {self.text[end]!r}" if end < len(self.text) else "is not closed"
            hint = "Compose knows ${A}, ${A:-default}, ${A-default}, ${A:?error}, ${A?error}, ${A:+other}, ${A+other}"
            raise InterpolationError(f"${{{name[0]} {found}", hint)
        word, closing = self.parts(operator.end(), nesting + 1)
        return _Variable(name[0], operator[0], word), closing + 1


def _fill(parts: _Parts, lookup: Lookup, unset: dict[str, None]) -> str:
    return "".join(part if isinstance(part, str) else _value(part, lookup, unset) for part in parts)


def _value(variable: _Variable, lookup: Lookup, unset: dict[str, None]) -> str:
    value = lookup(variable.name)
    # With a colon an empty value counts as none.
    present = value is not None and (value != "" or not variable.operator.startswith(":"))
    kind = variable.operator[-1:]
    if kind == "+":
        return _fill(variable.word, lookup, unset) if present else ""
    if present and value is not None:
        return value
    if kind == "-":
        return _fill(variable.word, lookup, unset)
    if kind == "?":
        words = _fill(variable.word, lookup, unset)
        state = "is not set" if value is None else "is empty"
        message = f"the required variable {variable.name} {state}" + (f": {words}" if words else "")
        raise InterpolationError(message, f"set {variable.name} in the environment or in .env")
    unset[variable.name] = None
    return ""
