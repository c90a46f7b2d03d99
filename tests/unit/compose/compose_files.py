"""A Compose file written and read in one line."""

from pathlib import Path
from textwrap import dedent

import pytest

from dcp import compose
from dcp.compose import ComposeResult
from dcp.kernel.errors import InvalidInput
from dcp.orchestration.services.model import ServiceSpec


class Written:
    """A folder with a Compose file and whatever stands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def read(self, text: str, *profiles: str, name: str | None = None, **environment: str) -> ComposeResult:
        path = self.file("compose.yaml", text)
        return compose.read(path, environment=environment, profiles=profiles, name=name)

    def service(self, keys: str, **environment: str) -> ServiceSpec:
        """Return the service `a` with these keys (flow or block YAML); `b` stands beside it."""
        return self.read(one_service(keys), **environment).spec.service("a")

    def warnings(self, keys: str, **environment: str) -> dict[str, str]:
        """Return the warnings for service `a`, by path; without those for resources that are not stated."""
        found = self.read(one_service(keys), **environment).warnings
        return {w.path: w.message for w in found if "does not state" not in w.message}

    def faults(self, text: str, *profiles: str, **environment: str) -> dict[str, str]:
        """Return the problems of a whole file by path."""
        with pytest.raises(InvalidInput) as caught:
            self.read(text, *profiles, **environment)
        assert all(problem.hint for problem in caught.value.problems), "every problem says what to do"
        return {problem.path: problem.message for problem in caught.value.problems}


def one_service(keys: str) -> str:
    """Return a file whose service `a` has `keys`."""
    lines = dedent(keys).strip().splitlines()
    command = "" if any(line.startswith(("command:", "image:", "entrypoint:")) for line in lines) else "command: run"
    inside = "\n".join(f"    {line}" for line in [*lines, command])
    return f"services:\n  a:\n{inside}\n  b: {{command: run}}\n"
