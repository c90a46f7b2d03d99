"""Plain data and line numbers from the text of a Compose file.

PyYAML's safe loader parses; the walk over its nodes is ours, because a Compose file needs what the stock constructor
does not do: duplicate keys are faults, every value keeps its line, keys are text, aliases cannot grow a file without
bound. Scalars follow YAML 1.2 as Compose does (`no` and `22:22` are text), and a number whose text would not survive
being read (`1.10`, `0755`) stays text, so that an environment variable has the value that was written.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from dcp.kernel.errors import Problem

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Path = tuple[str | int, ...]

MAX_VALUES = 300_000
"""Values in one file after aliases are followed; a file of 1,000 services has some 45,000."""
MAX_DEPTH = 100

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+", re.ASCII)
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Document:
    """The data of one file, the line of every value (counted from 1), and what is wrong with its form."""

    data: Value = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, path: Path) -> int | None:
        """Return the line of the value at `path`, or of the nearest value around it."""
        for length in range(len(path), 0, -1):
            if (found := self.lines.get(path[:length])) is not None:
                return found
        return None


def dotted(path: Path) -> str:
    """Return a path as users read it: `services.feed.ports.0`."""
    return ".".join(str(part) for part in path)


def parse_yaml(text: str, name: str) -> Document:
    """Return the document; faults of syntax are problems whose path is `name` and the line."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        words = ", ".join(part for part in (error.context, error.problem) if part)
        return Document(problems=(Problem(where, f"not valid YAML: {words}", _syntax_hint(words)),))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        words = f"character U+{error.character:04X} is not allowed in YAML"
        return Document(problems=(Problem(f"{name}:{line}", words, "save the file as plain UTF-8 text"),))
    except yaml.YAMLError as error:
        return Document(problems=(Problem(name, f"not valid YAML: {error}"),))
    except RecursionError:
        return Document(problems=(Problem(name, "is nested too deeply", f"at most {MAX_DEPTH} levels"),))
    walk = _Walk(name)
    data = walk.value(node, ()) if node is not None else None
    return Document(data, walk.lines, tuple(walk.problems))


class _Loader(yaml.SafeLoader):
    """The safe loader without YAML 1.1's guesses at types: plain scalars are marked as such and read by `_plain`."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {  # noqa: RUF012
        "<": [(f"{_TAG}merge", re.compile(r"<<$"))],
        None: [(f"{_TAG}plain", re.compile(""))],
    }


class _Walk:
    """Turns nodes into data, noting lines and faults as it goes."""

    def __init__(self, name: str) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._left = MAX_VALUES
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Value:
        self.lines[path] = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or len(path) > MAX_DEPTH or id(node) in self._open:
            self._refuse(node)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self._fault(path, node, f"the tag {_short(node.tag)} is not known", "remove the tag")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> Value:
        data: dict[str, Value] = {}
        own: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(path, key_node, "a key must be text", "write the key on one line without brackets")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in own:
                hint = "a key may stand only once in a mapping"
                self._fault((*path, key), key_node, f"is given twice, first on line {own[key]}", hint)
                continue
            own[key] = line
            data[key] = self.value(value_node, (*path, key))
            self.lines[(*path, key)] = line
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(value_node, path, data)
        return data

    def _merge(self, node: yaml.Node, path: Path, data: dict[str, Value]) -> None:
        """Add what a merge key (`<<`) brings, where the mapping does not say otherwise; of several the first wins."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            outside, self.lines = self.lines, {}
            merged = self.value(source, path)
            inside, self.lines = self.lines, outside
            if not isinstance(merged, dict):
                self._fault(path, source, "<< must merge a mapping", "such as <<: *defaults")
                continue
            new = {key: value for key, value in merged.items() if key not in data}
            data.update(new)
            depth = len(path)
            self.lines.update({at: line for at, line in inside.items() if len(at) > depth and at[depth] in new})

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Value:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("plain", "null", "bool", "int", "float"):
            return _plain(node.value)
        if kind in ("str", "merge"):
            return str(node.value)
        self._fault(path, node, f"the tag {_short(node.tag)} is not known", "remove the tag")
        return None

    def _refuse(self, node: yaml.Node) -> None:
        """Note once that the file contains itself, is too deep or too large; go no further down."""
        line = node.start_mark.line + 1
        if id(node) in self._open:
            problem = Problem(f"{self._name}:{line}", "an alias contains itself", "remove the alias")
        elif self._left < 0:
            words = f"holds more than {MAX_VALUES} values once aliases are followed"
            problem = Problem(self._name, words, "use fewer aliases, or split the application")
        else:
            problem = Problem(f"{self._name}:{line}", "is nested too deeply", f"at most {MAX_DEPTH} levels")
        if problem not in self.problems:
            self.problems.append(problem)

    def _fault(self, path: Path, node: yaml.Node, message: str, hint: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(dotted(path) or f"{self._name}:{line}", f"line {line}: {message}", hint))


def _plain(text: str) -> Value:
    """Return what a plain scalar means."""
    if text in _NULL:
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    if _DECIMAL.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _syntax_hint(words: str) -> str:
    if "\\t" in words:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in words:
        return "put the value in quotes, or check the indentation"
    return "check the indentation and the quotes around this line"
