"""Reads one service into its model; every fault goes under its path, and what is sound around it is kept.

A service with faults is read again without the faulty parts, so that the rest of it is still checked against the rest
of the file: the user sees all faults at once, and none that only follows from another.
"""

import copy
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dcp.compose.findings import Findings
from dcp.compose.schema import SHAPES, SecretSource, Service
from dcp.compose.yaml_text import Path, Value

_ROUNDS = 20
_MISSING_HINTS = {
    "condition": "service_started or service_healthy",
    "max": "state how many instances there may be",
    "units_per_s": "state both figures, measured at the same moment; see docs/compose.md",
    "query": "PromQL that gives one number, such as sum(queue_length)",
    "per_instance": "how much of the figure one instance carries",
    "from": "a time of day, such as 19:00",
    "until": "a time of day, such as 23:00",
    "requests_per_s": "state both figures, measured at the same moment; see docs/compose.md",
    "http": "such as /healthz",
    "target": "the port inside a container",
    "path": "the path of the file",
}
_MAPPING = ("must be a mapping", "write its keys below it, indented")
_LIST = ("must be a list", "write one item on each line, after a dash")
_SHAPES = {"dict_type": _MAPPING, "model_type": _MAPPING, "tuple_type": _LIST, "list_type": _LIST}


def read_service(value: Value, path: Path, findings: Findings) -> Service:
    """Return the service at `path`, without the parts that are faulty."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        findings.error(path, *_MAPPING)
        return Service()
    rest: dict[str, Any] = copy.deepcopy(value)
    for attempt in range(_ROUNDS):
        try:
            return Service.model_validate(rest)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_input=False):
                at = tuple(step for step in details["loc"] if step not in SHAPES)
                if attempt == 0:
                    findings.error((*path, *_as_written(value, at)), *_words(details))
                _leave_out(rest, at, missing=details["type"] == "missing")
    return Service()


def read_secrets(value: Value, findings: Findings) -> dict[str, SecretSource]:
    """Return the secrets that the file defines, without faulty ones."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        findings.error(("secrets",), *_MAPPING)
        return {}
    found = {}
    for name, inner in value.items():
        try:
            found[name] = SecretSource.model_validate(inner or {})
        except ValidationError as error:
            for details in error.errors(include_url=False, include_input=False):
                findings.error(("secrets", name, *details["loc"]), *_words(details))
    return found


def _as_written(value: Value, at: Path) -> Path:
    """Return `at` without the steps inside a short form, such as the target of `"8080:80"`."""
    holder: Any = value
    for position, step in enumerate(at):
        if isinstance(holder, dict):
            holder = holder.get(str(step))
        elif isinstance(holder, list) and isinstance(step, int):
            holder = holder[step]
        else:
            return at[:position]
    return at


def _words(details: ErrorDetails) -> tuple[str, str]:
    context = details.get("ctx", {})
    kind = details["type"]
    if kind == "missing":
        return "is missing", _MISSING_HINTS.get(str(details["loc"][-1]), "")
    if kind in _SHAPES:
        return _SHAPES[kind]
    return str(context.get("message", details["msg"])), str(context.get("hint", ""))


def _leave_out(data: dict[str, Any], at: Path, *, missing: bool) -> None:
    """Take the faulty part out of `data`: the key that misses something, or the key itself, or the list it is in."""
    steps = at[:-1] if missing else at
    holder: Any = data
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        inner = holder.get(step) if isinstance(holder, dict) else None
        if last or not isinstance(inner, dict):
            if isinstance(holder, dict):
                holder.pop(step, None)
            return
        holder = inner
