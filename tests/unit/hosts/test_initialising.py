"""Which bare hosts are made ready now, and when one that failed is tried again."""

from dataclasses import replace

import pytest

from dcp.hosts.initialising import (
    Initialisation,
    InitialisationState,
    InitialiseDecision,
    InitialiseLimits,
    InitialiseView,
    begin,
    decide_initialising,
    fail,
    succeed,
)
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.states import IllegalTransition

NOW = 1000.0
WANTED, RUNNING = InitialisationState.WANTED, InitialisationState.RUNNING
LIMITS = InitialiseLimits()
BARE = HostType("c1", Resources(1000, 1 << 30), initialise=True)


def host(name: str) -> Host:
    return Host(name, "cloud", SourceKind.CLOUD, BARE, HostState.INITIALISING, NOW - 60.0)


def row(name: str, state: InitialisationState = WANTED, **changes: object) -> Initialisation:
    return replace(Initialisation(name, state, NOW), **changes)  # type: ignore[arg-type]


def decide(
    hosts: list[str],
    rows: list[Initialisation],
    limits: InitialiseLimits = LIMITS,
    under_way: frozenset[str] = frozenset(),
    runs: int = 0,
) -> InitialiseDecision:
    view = InitialiseView(
        NOW, tuple(map(host, hosts)), {one.host_id: one for one in rows}, under_way, runs=runs, limits=limits
    )
    return decide_initialising(view)


def test_a_bare_host_gets_a_row_first_and_a_run_then():
    first = decide(["a"], [])
    assert [one.host_id for one in first.add] == ["a"] and first.run == ()
    second = decide(["a"], list(first.add))
    assert [one.id for one in second.run] == ["a"] and second.add == ()
    assert [(after.state, after.attempts) for _, after in second.change] == [(RUNNING, 1)]


def test_no_more_hosts_are_worked_on_than_forks_over_all_runs():
    names = [f"h{n:03}" for n in range(120)]
    decision = decide(names, [row(name) for name in names], under_way=frozenset({"x", "y"}), runs=1)
    assert [one.id for one in decision.run] == names[:48]


def test_the_bound_on_runs_holds_also_for_a_single_host():
    limits = InitialiseLimits(runs=2)
    assert decide(["a"], [row("a")], limits, runs=2).run == ()
    assert decide(["a"], [row("a")], limits, runs=1).run != ()


def test_a_host_waits_for_its_back_off_which_doubles():
    limits = InitialiseLimits(attempts=4, back_off_s=10.0)
    waits = []
    one = row("a")
    for _ in range(3):
        one = fail(begin(one, NOW), "no mirror", limits, NOW)
        waits.append(one.not_before - NOW)
    assert waits == [10.0, 20.0, 40.0]
    assert decide(["a"], [one]).run == ()
    assert decide(["a"], [replace(one, not_before=NOW)]).run != ()


def test_after_the_last_try_it_is_given_up_with_words_and_never_run_again():
    limits = InitialiseLimits(attempts=1)
    given_up = fail(begin(row("a"), NOW), "no mirror", limits, NOW)
    assert given_up.look.failed_words == "no mirror; given up after 1 tries"
    assert decide(["a"], [given_up], limits).run == ()
    with pytest.raises(IllegalTransition):
        begin(given_up, NOW)


def test_a_row_of_nobody_is_run_again_and_the_try_does_not_count():
    left = row("a", RUNNING, attempts=2)
    decision = decide(["a"], [left])
    assert [(after.state, after.attempts) for _, after in decision.change] == [(WANTED, 1)]
    assert decide(["a"], [left], under_way=frozenset({"a"})).change == ()


def test_what_the_source_sees_of_it():
    done = succeed(begin(row("a"), NOW), NOW + 7)
    assert done.look.done and done.look.since == NOW + 7 and not done.look.failed_words
    retried = fail(begin(row("a"), NOW), "no mirror", InitialiseLimits(), NOW)
    assert not retried.look.done and not retried.look.failed_words
