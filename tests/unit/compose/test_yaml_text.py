"""YAML as Compose means it, with lines, and without surprises."""

import pytest

from dcp.compose.yaml_text import MAX_VALUES, parse_yaml


def problems(text: str) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in parse_yaml(text, "compose.yaml").problems]


def test_scalars_are_what_compose_takes_them_for() -> None:
    text = 'v: [no, yes, true, ~, 5, -5, 0.5, !!str 5, "5", !!int "5"]'
    assert parse_yaml(text, "f").data == {"v": ["no", "yes", True, None, 5, -5, 0.5, "5", "5", 5]}


@pytest.mark.parametrize(
    "text", ["1.10", "0755", "1e3", ".nan", "22:22", "2024-01-01", "0x1F", "+5", "<<", "=", "1_000"]
)
def test_what_reading_would_change_stays_as_it_is_written(text: str) -> None:
    assert parse_yaml(f"v: {text}", "f").data == {"v": text}


def test_keys_are_text() -> None:
    assert parse_yaml("{1: a, true: b, 1.0: c, ~: d}", "f").data == {"1": "a", "true": "b", "1.0": "c", "~": "d"}


def test_anchors_and_merge_keys_work() -> None:
    text = """
        x-a: &a {one: 1, both: a, deep: {x: 1}}
        x-b: &b {two: 2, both: b}
        c: {<<: *a, one: mine}
        d: {<<: [*b, *a]}
        e: *a
    """
    data = parse_yaml(text, "f").data
    assert isinstance(data, dict)
    assert data["c"] == {"one": "mine", "both": "a", "deep": {"x": 1}}
    assert data["d"] == {"two": 2, "both": "b", "one": 1, "deep": {"x": 1}}
    assert data["e"] == data["x-a"]


def test_every_value_has_the_line_where_it_is_written() -> None:
    document = parse_yaml("x: &x\n  deep: 1\na:\n  <<: *x\n  own:\n    - 1\n    - 2\n", "f")
    assert document.line(("a", "own", 1)) == 7
    assert document.line(("a", "deep")) == 2
    assert document.line(("a", "own", 1, "further", "down")) == 7
    assert document.line(("nowhere",)) is None


def test_a_key_given_twice_is_a_fault_with_both_lines() -> None:
    assert problems("a:\n  b: 1\n  c: 2\n  b: 3\n") == [("a.b", "line 4: is given twice, first on line 2")]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: 1\nb: [", "compose.yaml:2"),
        ("a: 1\n\tb: 2", "compose.yaml:2"),
        ("a: b: c", "compose.yaml:1"),
        ("a: *nobody", "compose.yaml:1"),
        ("a: 1\n---\nb: 2", "compose.yaml:2"),
        ("a: 1\nb: \x07", "compose.yaml:2"),
        ("a: &a [*a]", "compose.yaml:1"),
        ("? [x]\n: 1", "compose.yaml:1"),
        ("[" * 5000, "compose.yaml"),
        ("{a: " * 150 + "1" + "}" * 150, "compose.yaml:1"),
        ("a:\n  b: !reset 1", "a.b"),
        ("a: !!python/object:os.system x", "a"),
        ("a: !!binary eA==", "a"),
        ("a: {<<: 3}", "a"),
    ],
)
def test_what_is_not_understood_is_named_by_its_place(text: str, path: str) -> None:
    assert [found for found, _ in problems(text)] == [path]


def test_aliases_cannot_grow_a_file_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    ((path, message),) = problems("\n".join(lines))
    assert path == "compose.yaml"
    assert str(MAX_VALUES) in message
