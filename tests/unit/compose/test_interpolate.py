"""Variables by the rules of the Compose specification."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.compose.interpolate import InterpolationError, interpolate

VARIABLES = {"A": "a", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A", "a"),
        ("${A}", "a"),
        ("x${A}y$A/z", "xaya/z"),
        ("${A:-d}", "a"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET:-d}", "d"),
        ("${UNSET-d}", "d"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET:-${EMPTY:-$A}}", "a"),
        ("${UNSET-${ALSO_UNSET-deep}}", "deep"),
        ('${UNSET:-{"a":{}}}', '{"a":{}}'),
        ("${UNSET:-$${A}}", "${A}"),
        ("${A:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${UNSET+other}", ""),
        ("${A:+${A}${A}}", "aa"),
        ("${A:?wanted}", "a"),
        ("${EMPTY?wanted}", ""),
        ("$$A", "$A"),
        ("$$$A", "$a"),
        ("$${A}", "${A}"),
        ("costs $5, 100$", "costs $5, 100$"),
        ("}${A}}{", "}a}{"),
    ],
)
def test_a_variable_is_replaced(text: str, result: str) -> None:
    assert interpolate(text, VARIABLES.get).text == result
    assert interpolate(text, VARIABLES.get).unset == ()


def test_what_is_not_set_is_empty_and_named_once() -> None:
    result = interpolate("<$NOPE${NOPE}${ALSO}>", VARIABLES.get)
    assert (result.text, result.unset) == ("<>", ("NOPE", "ALSO"))


def test_a_default_that_is_not_used_wants_nothing() -> None:
    assert interpolate("${A:-$NOPE}", VARIABLES.get).unset == ()
    assert interpolate("${A:-${NOPE:?never}}", VARIABLES.get).text == "a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NOPE:?say $A}", "the required variable NOPE is not set: say a"),
        ("${EMPTY:?}", "the required variable EMPTY is empty"),
        ("${NOPE?}", "the required variable NOPE is not set"),
    ],
)
def test_a_required_variable_is_missed(text: str, words: str) -> None:
    with pytest.raises(InterpolationError, match=f"^{words}$".replace("$A", "")) as caught:
        interpolate(text, VARIABLES.get)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${A:-b", "${A/b/c}", "${A:b}", "${1}", "${A:-${}", "${A-" * 99])
def test_a_malformed_variable_is_refused(text: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, VARIABLES.get)
    assert caught.value.hint


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_a_dollar_is_unchanged(text: str) -> None:
    assert interpolate(text, VARIABLES.get).text == text


@given(st.text())
def test_doubled_dollars_give_the_text_back(text: str) -> None:
    result = interpolate(text.replace("$", "$$"), VARIABLES.get)
    assert (result.text, result.unset) == (text, ())


@given(st.text(alphabet="$${}AU:-?+x \n", max_size=60))
def test_any_text_is_replaced_or_refused(text: str) -> None:
    try:
        result = interpolate(text, VARIABLES.get)
    except InterpolationError:
        return
    assert set(result.unset) <= {name for name in result.unset if name not in VARIABLES}


@given(st.text(), st.text())
def test_a_value_is_never_read_again(value: str, other: str) -> None:
    assert interpolate("${V}${W:-$V}", {"V": value, "W": other}.get).text == value + (other or value)
