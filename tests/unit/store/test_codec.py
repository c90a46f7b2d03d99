"""Values to JSON text and back."""

import json
import math
from collections.abc import Iterator
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.model import HostType
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.model import Direction, ScalingState, TargetDecision, Timing
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.services.model import ApplicationSpec, GateCondition
from dcp.orchestration.traffic.model import Traffic
from dcp.store.codec import from_json, from_known_json, numbers_from_json, numbers_to_json, to_json

KINDS = (ApplicationSpec, ApplicationPlan, TargetDecision, ScalingState, Sample, Traffic, HostType, Timing)


def strict(text: str) -> object:
    """Read JSON as a browser does: NaN and Infinity are no numbers."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module", autouse=True)
def finite_floats() -> Iterator[None]:
    st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
    yield
    st.register_type_strategy(float, st.floats())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_value_comes_back_as_it_went(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    text = to_json(kind, value)
    strict(text)
    assert from_json(kind, text) == value


def test_what_is_not_finite_becomes_a_word_among_numbers_and_stays_a_float_elsewhere() -> None:
    state = ScalingState(1, grown_at=math.inf)
    decision = TargetDecision("feed", Direction.HOLD, 1, "steady", "", {"level": math.inf, "odd": math.nan}, state)
    text = to_json(TargetDecision, decision)
    strict(text)
    read = from_json(TargetDecision, text)
    assert read.state == state
    assert read.numbers == {"level": "Infinity", "odd": "NaN"}


def test_numbers_keep_their_kind_and_sort_by_name() -> None:
    numbers = {"b": 1, "a": 1.0, "c": "1", "d": 10**20, "e": 0.1 + 0.2}
    text = numbers_to_json(MappingProxyType(numbers))
    assert list(strict(text)) == ["a", "b", "c", "d", "e"]
    read = numbers_from_json(text)
    assert read == numbers
    assert {name: type(number) for name, number in read.items()} == {n: type(v) for n, v in numbers.items()}


def test_a_value_that_is_known_is_read_once() -> None:
    text = to_json(GateCondition, GateCondition("user", 3))
    assert from_known_json(GateCondition, text) is from_known_json(GateCondition, "".join(text))
    assert from_known_json(GateCondition, text) == GateCondition("user", 3)


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="object cannot be stored"):
        to_json(object, object())
