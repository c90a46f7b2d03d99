"""YAML text as a Pydantic form: every fault with its path, its line, and a hint."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dcp.compose.yaml_text import Document, parse_yaml
from dcp.kernel.errors import InvalidInput, Problem
from dcp.settings.faults import problems_of_validation

Form = TypeVar("Form", bound=BaseModel)


def read_text(path: Path, subject: str) -> str:
    """Return the text of a file; `subject` is what an error calls it. Raises InvalidInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput((Problem(str(path), f"cannot be read: {words}"),), subject=subject) from error


def parse_form(
    text: str, name: str, model: type[Form], subject: str, *, hidden: frozenset[str] = frozenset(), hint: str = ""
) -> Form:
    """Return the form that `text` fills; `name` is what problems call the file. Raises InvalidInput with every problem.

    `hidden`: see `problems_of_validation`. `hint` shows a mapping to somebody who wrote none.
    """
    document = parse_yaml(text, name)
    problems = document.problems
    if not problems and not isinstance(document.data, dict | None):
        problems = (Problem(name, "must be a mapping of keys", hint),)
    if not problems:
        try:
            return model.model_validate(document.data or {})
        except ValidationError as error:
            found = problems_of_validation(error.errors(), hidden=hidden, model=model)
            problems = tuple(_located(problem, document) for problem in found)
    raise InvalidInput(problems, subject=f"{subject} {name}")


def _located(problem: Problem, document: Document) -> Problem:
    parts = tuple(int(part) if part.isdigit() else part for part in problem.path.split(".") if part)
    line = document.line(parts)
    return Problem(problem.path, f"line {line}: {problem.message}" if line else problem.message, problem.hint)
