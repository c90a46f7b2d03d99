"""The ledger of costs: spans with the host, entries exactly once, nothing behind what was entered."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from dcp.hosts.cost.accrue import accrue
from dcp.hosts.cost.model import NANO, Amount
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.errors import Stale
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.store import costs, history, hosts, instances, spans
from dcp.store.database import InlineDatabase

TYPE = HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=3.6)
START = 1_800_000_000.0
"""On a quarter of an hour."""


class Ledger:
    """A database with short words for what tests do."""

    def __init__(self) -> None:
        self.database = InlineDatabase()

    def write(self, work: Callable[[Connection], object]) -> None:
        asyncio.run(self.database.write(work))

    def host(self, host_id: str = "cloud-1", at: float = 0.0, cluster: str = "a") -> None:
        """Ask for a host and have it shown at once."""
        requested = Host(host_id, "cloud", SourceKind.CLOUD, TYPE, HostState.REQUESTED, START + at, cluster=cluster)
        self.write(lambda c: hosts.add(c, [requested]))
        self.move(host_id, HostState.CREATING, at, billed_from=START + at)
        self.move(host_id, HostState.READY, at)

    def move(self, host_id: str, state: HostState, at: float, **changes: object) -> None:
        def work(connection: Connection) -> None:
            before = hosts.find(connection, host_id)
            assert before is not None
            after = replace(before, state=state, changed_at=START + at, **changes)  # type: ignore[arg-type]
            hosts.change(connection, before, after)

        self.write(work)

    def release(self, host_id: str, at: float) -> None:
        for state in (HostState.DRAINING, HostState.RELEASING, HostState.RELEASED):
            self.move(host_id, state, at)

    def instance(self, at: float, ended: float | None = None) -> None:
        made = Instance(
            "feed-1",
            "shop",
            "feed",
            "cloud-1",
            1,
            InstanceState.PENDING if ended is None else InstanceState.STOPPED,
            "p1",
            created_at=START + at,
            resources=Resources(500, 1 << 29),
            ended_at=None if ended is None else START + ended,
        )
        self.write(lambda c: instances.add(c, [made]))

    def enter(self, until: float, since: float | None = None) -> None:
        def work(connection: Connection) -> None:
            begin = spans.accrued_until(connection) if since is None else round((START + since) * 1000)
            assert begin is not None
            end = round((START + until) * 1000)
            found = spans.within(connection, begin, end)
            entries = accrue(found, spans.holdings(connection, begin, end), begin, end)
            costs.enter(connection, entries, begin, end, spans.changes(connection, begin, end))

        self.write(work)

    def totals(self, *by: str) -> dict[tuple[str, ...], Amount]:
        return asyncio.run(self.database.read(lambda c: costs.totals(c, by, 0, 10**11)))

    def usd(self) -> float:
        return sum(amount.charged_nano_usd for amount in self.totals().values()) / NANO


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.database.close()


def test_a_host_is_entered_as_it_is_held(ledger: Ledger) -> None:
    ledger.host()
    ledger.enter(500)
    assert ledger.usd() == 0.5
    ledger.release("cloud-1", 800)
    ledger.enter(1000)
    ledger.enter(5000)
    assert ledger.usd() == 0.8


def test_the_same_time_is_entered_once(ledger: Ledger) -> None:
    ledger.host()
    ledger.enter(500)
    with pytest.raises(Stale):
        ledger.enter(600, since=0)
    assert ledger.usd() == 0.5


def test_entries_of_changed_hosts_are_refused(ledger: Ledger) -> None:
    ledger.host()
    begin, end = round(START * 1000), round((START + 500) * 1000)
    ledger.host("cloud-2", 100)
    with pytest.raises(Stale):
        ledger.write(lambda c: costs.enter(c, {}, begin, end, (1, 0)))


def test_what_comes_late_counts_from_where_the_ledger_stands(ledger: Ledger) -> None:
    ledger.host()
    ledger.enter(500)
    ledger.release("cloud-1", 300)
    ledger.host("cloud-2", 400)
    ledger.release("cloud-2", 600)
    ledger.enter(1000)
    assert ledger.usd() == pytest.approx(0.5 + 0.2)
    assert asyncio.run(ledger.database.read(spans.going_on)) == ()


def test_a_service_pays_for_what_it_holds(ledger: Ledger) -> None:
    ledger.host()
    ledger.instance(100, ended=300)
    ledger.enter(1000)
    found = {key: amount.amortised_nano_usd for key, amount in ledger.totals("cluster", "service").items()}
    assert found == {("a", "shop/feed"): NANO // 10, ("a", ""): 9 * NANO // 10}


def test_instances_stay_until_their_hosts_are_entered(ledger: Ledger) -> None:
    ledger.host()
    ledger.instance(100, ended=300)
    ledger.write(lambda c: history.forget_instances(c, START + 9000, 10))
    ledger.enter(200)
    ledger.write(lambda c: history.forget_instances(c, START + 9000, 10))
    ledger.enter(1000)
    assert ledger.totals("service")["shop/feed",].host_ms == 100_000
    ledger.write(lambda c: history.forget_instances(c, START + 9000, 10))
    assert asyncio.run(ledger.database.read(lambda c: instances.find(c, "feed-1"))) is None


def test_a_new_price_counts_from_when_it_is_told(ledger: Ledger) -> None:
    ledger.host()

    def work(connection: Connection) -> None:
        before = hosts.find(connection, "cloud-1")
        assert before is not None
        dearer = replace(before.host_type, price_usd_per_hour=7.2)
        hosts.change(connection, before, replace(before, host_type=dearer), at=START + 400)

    ledger.write(work)
    ledger.enter(1000)
    assert ledger.usd() == pytest.approx(0.4 + 1.2)


def test_spent_is_by_cluster_and_since(ledger: Ledger) -> None:
    ledger.host("cloud-1", 0, "a")
    ledger.host("cloud-2", 0, "b")
    ledger.enter(3600)
    spent = {
        since: asyncio.run(ledger.database.read(lambda c, since=since: costs.spent_usd(c, "a", START + since)))
        for since in (0, 900, 1000, 3599, 3600)
    }
    assert spent == {0: 3.6, 900: pytest.approx(2.7), 1000: pytest.approx(2.7), 3599: pytest.approx(0.9), 3600: 0.0}


def test_spent_follows_each_accrual(ledger: Ledger) -> None:
    ledger.host()
    found = []
    for until in (900, 1800, 1800.5):
        ledger.enter(until)
        found += [asyncio.run(ledger.database.read(lambda c: costs.spent_usd(c, "a", START))) for _ in range(2)]
    assert found == [0.9, 0.9, 1.8, 1.8, 1.8005, 1.8005]
