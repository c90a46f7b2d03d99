"""Every database keeps every promise of `stores`."""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import stores_access
import stores_costs
import stores_edge
import stores_events
import stores_images
import stores_leases
import stores_machines
import stores_measured
import stores_placements
import stores_rows
import stores_signals
import stores_surges
import stores_transactions
import stores_warming
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import CASES, SHARED_CASES, Case

from dcp.hosts.model import Billing, Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.services.model import GateCondition, Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store import hosts, instances
from dcp.store.database import Database, InlineDatabase, open_database

SUBJECTS = (
    stores_transactions,
    stores_costs,
    stores_leases,
    stores_events,
    stores_placements,
    stores_rows,
    stores_access,
    stores_images,
    stores_edge,
    stores_warming,
    stores_surges,
    stores_measured,
    stores_signals,
    stores_machines,
)
"""Importing them fills the lists of cases."""


class ServedRig:
    """A database that can be opened as often as one likes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: list[Database] = []
        self.database = self.again()

    def again(self) -> Database:
        self._opened.append(open_database(self._url))
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()


class InlineRig:
    """The database of simulations: nobody else can open it."""

    def __init__(self) -> None:
        self.database = InlineDatabase()

    def again(self) -> Database:
        raise NotImplementedError("nobody else can open it")

    def close(self) -> None:
        self.database.close()


INLINE = "inline"
SQLITE = "sqlite"
POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.xdist_group("postgresql")])


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServedRig | InlineRig]:
    if request.param == INLINE:
        opened: ServedRig | InlineRig = InlineRig()
    elif request.param == SQLITE:
        opened = ServedRig(f"sqlite:///{tmp_path}/dcp.db")
    else:
        opened = ServedRig(request.getfixturevalue("postgresql_url"))
    yield opened
    opened.close()


@pytest.mark.parametrize("rig", [INLINE, SQLITE, POSTGRESQL], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_contract(rig: ServedRig | InlineRig, case: Case) -> None:
    await case(rig)


@pytest.mark.parametrize("rig", [SQLITE, POSTGRESQL], indirect=True)
@pytest.mark.parametrize("case", SHARED_CASES, ids=lambda case: case.__name__)
async def test_shared_contract(rig: ServedRig, case: Case) -> None:
    await case(rig)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
seconds = st.floats(allow_nan=False, allow_infinity=False)
maybe_seconds = st.none() | seconds
small = st.integers(0, 2**31 - 1)
large = st.integers(0, 2**63 - 1)
by_type: dict[object, st.SearchStrategy[Any]] = {
    str: words,
    int: small,
    float: seconds,
    float | None: maybe_seconds,
    str | None: st.none() | words,
    bool: st.booleans(),
    Billing: st.sampled_from(Billing),
    tuple[str, ...]: st.lists(words, max_size=3).map(tuple),
    tuple[tuple[str, str], ...]: st.lists(st.tuples(words, words), max_size=3).map(tuple),
}


def with_every_field(kind: type, /, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw values of `kind` with no field left at its default, those added later included."""
    hints = get_type_hints(kind)
    missing = {field.name: by_type[hints[field.name]] for field in fields(kind) if field.name not in known}
    return st.builds(kind, **known, **missing)


resources = st.builds(Resources, small, large, large, st.lists(st.tuples(words, large), max_size=2).map(tuple))
any_instance = with_every_field(
    Instance,
    state=st.sampled_from(InstanceState),
    resources=resources,
    gate=st.lists(st.builds(GateCondition, words, small), max_size=3).map(tuple),
)
any_host = with_every_field(
    Host,
    kind=st.sampled_from(SourceKind),
    state=st.sampled_from(HostState),
    host_type=with_every_field(HostType, resources=resources),
)
numbers = itertools.count()
many_examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("rig", [INLINE, SQLITE, POSTGRESQL], indirect=True)
@many_examples
@given(drawn=any_instance)
async def test_an_instance_comes_back_as_it_went(rig: ServedRig | InlineRig, drawn: Instance) -> None:
    instance = replace(drawn, id=f"{next(numbers)}{drawn.id}")
    await rig.database.write(lambda connection: instances.add(connection, [instance]))
    assert await rig.database.read(lambda connection: instances.find(connection, instance.id)) == instance


@pytest.mark.parametrize("rig", [INLINE, SQLITE, POSTGRESQL], indirect=True)
@many_examples
@given(drawn=any_host)
async def test_a_host_comes_back_as_it_went(rig: ServedRig | InlineRig, drawn: Host) -> None:
    host = replace(drawn, id=f"{next(numbers)}{drawn.id}")
    await rig.database.write(lambda connection: hosts.add(connection, [host]))
    assert await rig.database.read(lambda connection: hosts.find(connection, host.id)) == host
