"""What leaves first, and which empty hosts are given back."""

from dataclasses import replace

import pytest
from scaling_builders import NOW

from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.scaling.removals import choose_removals, idle_hosts
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState

SIZE = Resources(1000, 1 << 30)


def host(
    name: str, *, price: float | None = None, state: HostState = HostState.READY, requested_at: float = NOW
) -> Host:
    kind = SourceKind.PRIVATE if price is None else SourceKind.CLOUD
    return Host(name, "source", kind, HostType("t", SIZE, price or 0.0), state, requested_at)


HOSTS = {
    one.id: one
    for one in (
        host("pool-1"),
        host("pool-2"),
        host("cheap", price=0.04),
        host("dear", price=0.40),
        host("lost", state=HostState.LOST),
        host("draining", state=HostState.DRAINING),
    )
}


def instance(
    name: str, on: str = "pool-1", state: InstanceState = InstanceState.SERVING, age_s: float = 100.0
) -> Instance:
    return Instance(name, "shop", "feed", on, 1, state, "plan-1", NOW - age_s, Resources(100, 1 << 20))


def leaving(*instances: Instance, count: int = 9, on_host: dict[str, int] | None = None) -> list[str]:
    return [one.id for one, _ in choose_removals(instances, count, HOSTS, on_host)]


def test_the_whole_order() -> None:
    there = (
        instance("private"),
        instance("new", age_s=1),
        instance("cheap", "cheap"),
        instance("dear", "dear"),
        instance("starting", state=InstanceState.STARTING),
        instance("lost", "lost"),
        instance("draining", "draining"),
        instance("nowhere", "gone"),
    )
    assert leaving(*there) == ["nowhere", "draining", "lost", "starting", "dear", "cheap", "new", "private"]


def test_the_emptiest_host_is_emptied_first() -> None:
    there = (instance("a1", "cheap"), instance("a2", "cheap"), instance("b1", "other"))
    hosts = HOSTS | {"other": host("other", price=0.04)}
    assert [one.id for one, _ in choose_removals(there, 9, hosts)] == ["b1", "a1", "a2"]
    by_all = choose_removals(there, 9, hosts, {"cheap": 2, "other": 5})
    assert [one.id for one, _ in by_all] == ["a1", "a2", "b1"]


def test_on_private_hosts_the_newest_leaves_first() -> None:
    there = (instance("old", "pool-2", age_s=100), instance("new", "pool-1", age_s=1), instance("mid", age_s=50))
    assert leaving(*there) == ["new", "mid", "old"]


def test_only_as_many_as_asked_and_only_those_that_are_wanted() -> None:
    there = (
        instance("a"),
        instance("b"),
        instance("drains", state=InstanceState.DRAINING),
        instance("failed", state=InstanceState.FAILED),
        replace(instance("marked"), leave_reason="shrink"),
    )
    assert leaving(*there, count=1) == ["a"]
    assert leaving(*there) == ["a", "b"]
    assert leaving(*there, count=0) == leaving(*there, count=-1) == []


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (instance("a", "lost"), "its host lost is lost"),
        (instance("a", "gone"), "its host gone is not known"),
        (instance("a", state=InstanceState.HELD), "it does not serve yet (held)"),
        (instance("a", "dear"), "it is on a cloud host (dear at $0.4 an hour): cloud leaves first"),
        (
            instance("a"),
            "all left are on private hosts: the newest instance first (it is on pool-1)",
        ),
    ],
)
def test_the_reason_in_words(one: Instance, words: str) -> None:
    assert choose_removals((one,), 1, HOSTS) == ((one, words),)


EMPTY_LONG = dict.fromkeys(HOSTS, NOW - 100)


def given_back(*hosts: Host, instances: tuple[Instance, ...] = (), **more: object) -> list[str]:
    found = idle_hosts(hosts, instances, NOW, 60.0, **({"empty_since": EMPTY_LONG} | more))  # type: ignore[arg-type]
    return [one.id for one, _ in found]


def test_cloud_hosts_go_first_and_the_dearest_of_them() -> None:
    assert given_back(HOSTS["pool-1"], HOSTS["cheap"], HOSTS["dear"]) == ["dear", "cheap"]
    assert given_back(HOSTS["pool-1"], HOSTS["pool-2"]) == ["pool-1", "pool-2"]


def test_a_private_host_waits_for_an_empty_cloud_host_that_lingers() -> None:
    lingering = EMPTY_LONG | {"cheap": NOW - 10}
    assert given_back(HOSTS["pool-1"], HOSTS["cheap"], empty_since=lingering) == []


def test_a_cloud_host_in_use_does_not_keep_private_ones() -> None:
    assert given_back(HOSTS["pool-1"], HOSTS["cheap"], instances=(instance("a", "cheap"),)) == ["pool-1"]


@pytest.mark.parametrize("state", [InstanceState.PLACED, InstanceState.SERVING, InstanceState.STOPPING])
def test_a_host_that_an_instance_uses_or_waits_for_is_not_empty(state: InstanceState) -> None:
    assert given_back(HOSTS["cheap"], instances=(instance("a", "cheap", state),)) == []
    assert given_back(HOSTS["cheap"], instances=(instance("a", "cheap", InstanceState.FAILED),)) == ["cheap"]


@pytest.mark.parametrize("state", [state for state in HostState if state is not HostState.READY])
def test_only_ready_hosts_are_given_back(state: HostState) -> None:
    assert given_back(host("cheap", price=0.04, state=state)) == []


def test_not_before_the_time_is_over_nor_when_it_is_not_known() -> None:
    assert given_back(HOSTS["cheap"], empty_since={"cheap": NOW - 59}) == []
    assert given_back(HOSTS["cheap"], empty_since={}) == []
    assert idle_hosts((HOSTS["cheap"],), (), NOW, 60.0, {"cheap": NOW - 90}) == (
        (HOSTS["cheap"], "empty for 90 s (60 s are waited)"),
    )


def test_hosts_to_keep_are_kept_and_hold_nobody_up() -> None:
    assert given_back(HOSTS["pool-1"], HOSTS["cheap"], keep={"cheap"}) == ["pool-1"]
