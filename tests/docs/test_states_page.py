"""docs/states.md says exactly what the transition tables allow."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from dcp.hosts import initialising
from dcp.hosts import states as host_states
from dcp.hosts.initialising import InitialisationState
from dcp.hosts.states import HostState
from dcp.images import states as copy_states
from dcp.images.states import CopyState
from dcp.images.warming import states as warming_states
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.orchestration.services import states as instance_states
from dcp.orchestration.services.states import InstanceState

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def _section(title: str) -> dict[str, frozenset[str]]:
    text = PAGE.read_text().split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    table = text.split("\n\n", 1)[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    return {row[1].strip(" `"): frozenset(re.findall(r"`(\w+)`", row[3])) for row in rows}


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("Instance", instance_states.TRANSITIONS),
        ("Host", host_states.TRANSITIONS),
        ("Initialisation", initialising.TRANSITIONS),
        ("Image copy", copy_states.TRANSITIONS),
        ("Image on a host", warming_states.HOST_IMAGE),
        ("Mirror", warming_states.MIRROR),
    ],
)
def test_the_page_lists_every_state_and_step(title: str, table: dict[StrEnum, frozenset[StrEnum]]) -> None:
    allowed = {str(state): frozenset(str(after) for after in following) for state, following in table.items()}
    assert _section(title) == allowed


def test_every_state_has_a_row() -> None:
    assert set(instance_states.TRANSITIONS) == set(InstanceState)
    assert set(host_states.TRANSITIONS) == set(HostState)
    assert set(initialising.TRANSITIONS) == set(InitialisationState)
    assert set(copy_states.TRANSITIONS) == set(CopyState)
    assert set(warming_states.HOST_IMAGE) == set(HostImageState)
    assert set(warming_states.MIRROR) == set(MirrorState)
