"""Environment files by the rules of the Compose specification."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.compose.env_file import parse_env, parse_raw

CALLER = {"HOME": "/home/me", "OVERRIDE": "caller"}


def values(text: str) -> dict[str, str]:
    parsed = parse_env(text, CALLER.get)
    assert parsed.faults == []
    return parsed.values


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("V=plain", "plain"),
        ("V= two words ", "two words"),
        ("V = spaced", "spaced"),
        ("export V=exported", "exported"),
        ("V=", ""),
        ('V=""', ""),
        ("V=a # comment", "a"),
        ("V=a# no comment", "a# no comment"),
        ("V=#fff", "#fff"),
        ("V= # comment", ""),
        ('V="a # no comment"', "a # no comment"),
        ('V="a" # comment', "a"),
        ("V='$HOME ${HOME}'", "$HOME ${HOME}"),
        ("V=$HOME/x", "/home/me/x"),
        ('V="${NOPE:-d} $HOME"', "d /home/me"),
        ("V='Let\\'s go!'", "Let's go!"),
        ('V="{\\"a\\": \\"b\\"}"', '{"a": "b"}'),
        ('V="a\\tb\\nc\\\\d"', "a\tb\nc\\d"),
        ("V='a\\tb'", "a\\tb"),
        ("V=a\\tb", "a\\tb"),
        ('V="\\0101 \\q"', "A \\q"),
        ('V="\\$HOME $$HOME"', "$HOME $HOME"),
        ("V=x=y", "x=y"),
        ('V="over\ntwo lines"', "over\ntwo lines"),
        ("V=windows\r", "windows"),
    ],
)
def test_a_line_gives_a_value(line: str, value: str) -> None:
    assert values(f"{line}\nLAST=1\n") == {"V": value, "LAST": "1"}
    assert values(line) == {"V": value}


def test_comments_and_blank_lines_say_nothing() -> None:
    assert values("\n# a=b\n   # c=d\n\n") == {}


def test_a_variable_is_the_callers_else_an_earlier_one() -> None:
    text = """
        FIRST=1
        SECOND=$FIRST$OVERRIDE
        OVERRIDE=file
        THIRD=$OVERRIDE
    """
    assert values(dedent(text)) == {"FIRST": "1", "SECOND": "1caller", "OVERRIDE": "file", "THIRD": "caller"}


def test_a_name_alone_takes_the_callers_value() -> None:
    assert values("HOME\nNOPE\nOVERRIDE # why\n") == {"HOME": "/home/me", "OVERRIDE": "caller"}


def test_what_is_not_set_is_empty_and_named_with_its_line() -> None:
    parsed = parse_env("A=1\nB=<$NOPE>\n", CALLER.get)
    assert parsed.values == {"A": "1", "B": "<>"}
    assert [(unset.line, unset.message) for unset in parsed.unset] == [(2, "NOPE")]


@pytest.mark.parametrize(
    "line", ["two words", "=x", "1A=x", "A: x", 'A="open', "A='open", 'A="x" y', "A=${x", "A=${B:?wanted}", "- A=1"]
)
def test_a_faulty_line_is_named_and_the_rest_is_read(line: str) -> None:
    parsed = parse_env(f"FIRST=1\n{line}\nLAST=1\n", CALLER.get)
    assert [fault.line for fault in parsed.faults] == [2]
    assert all(fault.hint for fault in parsed.faults)
    assert parsed.values["FIRST"] == "1"
    assert "A" not in parsed.values


def test_raw_values_are_as_they_are_written() -> None:
    parsed = parse_raw("# comment\nA='x' $HOME # y\n\nB=\nnothing\n")
    assert parsed.values == {"A": "'x' $HOME # y", "B": ""}
    assert [fault.line for fault in parsed.faults] == [5]


@given(st.text(alphabet="AB=\"'$ {}\\#\n\r\tx:-", max_size=80))
def test_any_text_is_read_to_its_end(text: str) -> None:
    parse_env(text, CALLER.get)
    parse_raw(text)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=30), max_size=5))
def test_values_in_single_quotes_come_back(wanted: dict[str, str]) -> None:
    wanted = {name: value.replace("\r", "").replace("\\", "") for name, value in wanted.items()}
    lines = (f"{name}='{value}'" for name, value in ((n, v.replace("'", "\\'")) for n, v in wanted.items()))
    assert values("\n".join(lines)) == wanted
