"""Pydantic's findings as ours: each with its dotted path, in plain words, with a hint where one helps."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from dcp.kernel.errors import Problem

_WORDS = {
    "extra_forbidden": "this key is not known",
    "missing": "is missing",
    "unexpected_keyword_argument": "this key is not known",
    "missing_argument": "is missing",
    "model_type": "must be a mapping of keys",
    "dataclass_type": "must be a mapping of keys",
    "union_tag_not_found": "{discriminator} is missing",
    "union_tag_invalid": "{discriminator} {tag!r} is not known; it is one of {expected_tags}",
    "too_short": "must have at least {min_length}",
    "json_invalid": "is not valid JSON: {error}",
}
"""By Pydantic's type of error; what is not here keeps Pydantic's own words."""


def problems_of_validation(
    errors: Iterable[Mapping[str, Any]], *, hidden: frozenset[str] = frozenset(), model: type[BaseModel] | None = None
) -> tuple[Problem, ...]:
    """Return one problem for each of Pydantic's errors (`ValidationError.errors()`).

    `hidden` are parts of a location that Pydantic adds and the user never wrote (the names of a union's members).
    `model`, where given, says which keys are known where, for the hint beside an unknown one.
    """
    return tuple(_problem(error, hidden, model) for error in errors)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every Pydantic model inside a type: `list[A | B] | None` holds A and B."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _problem(error: Mapping[str, Any], hidden: frozenset[str], model: type[BaseModel] | None) -> Problem:
    location = tuple(error["loc"])
    # Pydantic adds the member of a union right after the position in its list.
    shown = [p for i, p in enumerate(location) if not (p in hidden and i and isinstance(location[i - 1], int))]
    path = ".".join(str(part) for part in shown)
    message = _message(error)
    hint = ""
    if error["type"] == "extra_forbidden" and model is not None:
        hint = _hint(str(location[-1]), sorted(_keys_at(model, location[:-1])))
    return Problem(path, message, hint)


def _message(error: Mapping[str, Any]) -> str:
    """Return what is wrong, with the value that was given where it is short enough to recognise."""
    template = _WORDS.get(error["type"])
    if template is not None:
        return template.format(**_context(error))
    words = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    words = words[:1].lower() + words[1:]
    given = error.get("input")
    if not isinstance(given, str | int | float) or repr(given) in words or len(str(given)) > 60:
        return words
    return f"{given!r} {'' if words.startswith(('is ', 'should ')) else 'is '}{words}"


def _context(error: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: str(value) for name, value in error.get("ctx", {}).items()}
    return {**found, "discriminator": found.get("discriminator", "").strip("'"), "tag": found.get("tag", "")}


def _hint(unknown: str, known: list[str]) -> str:
    close = get_close_matches(unknown, known, 1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> set[str]:
    here: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        below = [found for m in here if part in m.model_fields for found in models_in(m.model_fields[part].annotation)]
        # What is no field is the name of a union's member: keep the member of that name only.
        here = below or [m for m in here if _member_name(m) == part] or here
    return {key for m in here for key in m.model_fields}


def _member_name(model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    return str(get_args(kind.annotation)[0]) if kind is not None and get_args(kind.annotation) else ""
