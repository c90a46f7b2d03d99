"""Everything wrong or worth saying about one Compose file, gathered as the reading goes on."""

from collections.abc import Iterable

from dcp.compose.yaml_text import Document, Path, dotted
from dcp.kernel.errors import Problem

_RESOURCES = "deploy.resources"
OTHER_PLACES = {
    "deploy.replicas": ("scale",),
    f"{_RESOURCES}.limits.cpus": ("cpus", f"{_RESOURCES}.reservations.cpus"),
    f"{_RESOURCES}.limits.memory": ("mem_limit", f"{_RESOURCES}.reservations.memory", "mem_reservation"),
    **{f"x-dcp.health.{key}": (f"healthcheck.{key}",) for key in ("interval", "timeout", "retries", "start_period")},
}
"""Keys of a service that may say the same as another one, in the order in which they are used."""


class Findings:
    """Problems and warnings, each with its line. A fault inside a part that is already faulty is left out."""

    def __init__(self, document: Document) -> None:
        self._lines = {dotted(path): line for path, line in document.lines.items()}
        self._problems: dict[tuple[int, Problem], None] = {}
        self._warnings: dict[tuple[int, Problem], None] = {}
        self._faulty: set[str] = set()
        for problem in document.problems:
            self._note(self._problems, problem, located=False)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return the problems from the top of the file to its end."""
        return _in_order(self._problems)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings from the top of the file to its end."""
        return _in_order(self._warnings)

    def error(self, path: Path, message: str, hint: str = "") -> None:
        """Note a fault at `path`."""
        where = dotted(path)
        if not self._covered(where):
            self._note(self._problems, Problem(where, message, hint))

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """Note something at `path` that does not keep the file from being used."""
        self._note(self._warnings, Problem(dotted(path), message, hint))

    def is_faulty(self, path: Path) -> bool:
        """Return whether a fault was noted at `path` itself."""
        return dotted(path) in self._faulty

    def as_written(self, path: Path) -> Path:
        """Return the longest part of `path` that stands in the file: a single value may be read as a list of one."""
        while path and dotted(path) not in self._lines:
            path = path[:-1]
        return path

    def elsewhere(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        """Note faults and warnings outside the Compose file, whose paths name their own file and line."""
        for problem in problems:
            self._note(self._problems, problem, located=False)
        for warning in warnings:
            self._note(self._warnings, warning, located=False)

    def consequences(self, problems: Iterable[Problem]) -> None:
        """Note faults found in what was made of the file, except where a fault already stands at, above or below."""
        faulty = set(self._faulty)
        above = {".".join(parts[:length]) for parts in map(_parts, faulty) for length in range(3, len(parts))}
        for problem in problems:
            where = self._as_stated(problem.path)
            if not self._covered(where, faulty) and where not in above:
                self._note(self._problems, Problem(where, problem.message, problem.hint))

    def _as_stated(self, where: str) -> str:
        """Return the place where the file states what `where` names, if it uses another of the ways to state it."""
        if where in self._lines:
            return where
        service, key = where.split(".", 2)[:2], where.partition(".")[2].partition(".")[2]
        others = (".".join((*service, other)) for other in OTHER_PLACES.get(key, ()))
        return next((other for other in others if other in self._lines), where)

    def _covered(self, where: str, faulty: set[str] | None = None) -> bool:
        parts = _parts(where)
        known = self._faulty if faulty is None else faulty
        return any(".".join(parts[:length]) in known for length in range(1, len(parts) + 1))

    def _note(self, notes: dict[tuple[int, Problem], None], problem: Problem, *, located: bool = True) -> None:
        if notes is self._problems:
            self._faulty.add(problem.path)
        line = self._line(problem.path)
        if located and line:
            problem = Problem(problem.path, f"line {line}: {problem.message}", problem.hint)
        notes[(line, problem)] = None

    def _line(self, where: str) -> int:
        """Return the line of the value at a path, else of the nearest value around it, else 0."""
        while where:
            if where in self._lines:
                return self._lines[where]
            where = where.rpartition(".")[0]
        return 0


def _in_order(notes: Iterable[tuple[int, Problem]]) -> tuple[Problem, ...]:
    return tuple(problem for _, problem in sorted(notes, key=lambda note: note[0]))


def _parts(where: str) -> list[str]:
    return where.split(".")
