"""Clusters under quotas and caps: every bound holds, is reached in some seeds, and a broken planner is caught."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from dcp.engine import application
from dcp.hosts.clusters import UNBOUNDED, Allowance
from dcp.hosts.model import Offer, SourceKind
from dcp.hosts.pool import look_at_pool
from dcp.hosts.sharing import Sharing, in_order
from dcp.orchestration.scaling import decide
from dcp.simulation.clusters import ClustersResult, simulate_clusters

SEEDS = range(1, 9)


@pytest.fixture(scope="module")
def results() -> list[ClustersResult]:
    return [simulate_clusters(seed) for seed in SEEDS]


def test_every_bound_holds(results: list[ClustersResult]):
    assert [(one.seed, one.violation) for one in results if one.violation] == []
    assert all(one.checks > 300 and one.deaths for one in results)


def test_bounds_are_reached_and_said(results: list[ClustersResult]):
    assert sum(1 for one in results if one.refused) > len(results) / 2
    assert any(dict(one.peak_usd_per_hour)["news"] >= 0.25 for one in results)


def test_hosts_are_borrowed_and_claimed_back(results: list[ClustersResult]):
    assert any(one.borrowed for one in results)
    assert sum(one.claimed for one in results) >= 3


def test_the_same_seed_gives_the_same_run(results: list[ClustersResult]):
    assert simulate_clusters(SEEDS[0]) == results[0]


def no_allowance(*_: object) -> Allowance:
    return UNBOUNDED


def first_the_cloud(cluster: str, offers: Iterable[Offer], sharing: Sharing) -> tuple[Offer, ...]:
    """Hide private hosts from everybody but at the start."""
    return tuple(one for one in in_order(cluster, offers, sharing) if one.kind is SourceKind.CLOUD)


def is_caught(*words: str, seeds: Iterable[int] = SEEDS) -> bool:
    """Return whether one of the seeds ends with one of these violations."""
    violations = (simulate_clusters(seed).violation for seed in seeds)
    return any(part in violation for violation in violations for part in words)


@pytest.mark.parametrize(
    ("name", "broken", "words"),
    [
        ("_allowance", no_allowance, ("its quota is", "its cap is")),
        ("in_order", first_the_cloud, ("has a host free",)),
    ],
)
def test_a_planner_without_the_rule_is_caught(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., object], words: tuple[str, ...]
):
    monkeypatch.setattr(application, name, broken)
    assert is_caught(*words)


def test_hosts_shared_by_mistake_are_caught(monkeypatch: pytest.MonkeyPatch):
    """A plan that forgets whose a host is puts its instances onto those of others."""
    load = application.load

    async def careless(context, name, **told):
        loaded = await load(context, name, **told)
        if loaded is None:
            return None
        own = loaded.snapshot.spec.cluster
        hosts = tuple(replace(host, cluster=own) for host in loaded.snapshot.hosts)
        return replace(loaded, snapshot=replace(loaded.snapshot, hosts=hosts))

    monkeypatch.setattr(application, "load", careless)
    assert is_caught("stands on a host of")


def test_a_planner_that_does_not_see_what_is_idle_elsewhere_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(application, "look_at_pool", lambda *view: replace(look_at_pool(*view), idle=()))
    assert is_caught("is idle", seeds=(26, 46))


def test_a_borrower_that_stays_beyond_its_time_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decide, "_overdue", lambda *_: frozenset())
    assert is_caught("should have it back by now")
