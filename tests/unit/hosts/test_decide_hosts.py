"""The life of a host, decided from the ledger and the source's listing."""

from dataclasses import replace
from typing import Any

from dcp.hosts.creation import ACCEPTED
from dcp.hosts.decide import SourceDecision, decide_hosts
from dcp.hosts.model import Host, HostType, Resources, SourceHost, SourceHostState, SourceKind
from dcp.hosts.states import HostState
from dcp.hosts.view import EngineLook, InitLook, SourceView
from dcp.kernel.errors import OutOfStock

NOW = 1000.0


def host(state: HostState, **changes: object) -> Host:
    made = Host(
        id="cloud-1",
        source="cloud",
        kind=SourceKind.CLOUD,
        host_type=HostType("c1", Resources(1000, 1 << 30), price_usd_per_hour=0.1),
        state=state,
        requested_at=NOW - 5.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def shown(state: SourceHostState, host_id: str = "cloud-1") -> SourceHost:
    return SourceHost(host_id, state, "c1")


def decide(
    *hosts: Host,
    listed: tuple[SourceHost, ...] = (),
    live: dict[str, int] | None = None,
    give_back: dict[str, str] | None = None,
    unseen: dict[str, float] | None = None,
    engines: dict[str, EngineLook] | None = None,
    **more: Any,
) -> SourceDecision:
    return decide_hosts(
        SourceView(
            now=NOW,
            hosts=hosts,
            listed=listed,
            live_instances=live or {},
            give_back=give_back or {},
            unseen_since=unseen or {},
            boot_limit_s=60.0,
            lost_after_s=10.0,
            engines=engines or {},
            engine_lost_after_s=100.0,
            shown_within_s=30.0,
            **more,
        )
    )


def after(decision: SourceDecision) -> list[HostState]:
    return [step.after for step in decision.steps]


def test_what_was_accepted_and_is_not_shown_for_long_is_given_up() -> None:
    accepted = host(HostState.CREATING, reason=ACCEPTED, changed_at=NOW - 20)
    assert decide(accepted).steps == ()
    assert after(decide(replace(accepted, changed_at=NOW - 31))) == [HostState.FAILED]
    assert decide(host(HostState.CREATING, changed_at=NOW - 31)).steps == (), "its call is repeated first"


def test_a_refused_host_that_is_there_all_the_same_is_used() -> None:
    (step,) = decide(host(HostState.REQUESTED), listed=(shown(SourceHostState.PENDING),)).steps
    assert (step.after, step.reason) == (HostState.CREATING, ACCEPTED)


def test_a_host_whose_call_has_no_answer_yet_is_not_given_back() -> None:
    asked = host(HostState.CREATING, reason="asked")
    assert decide(asked, give_back={"cloud-1": "idle"}).steps == ()
    assert after(decide(replace(asked, reason=ACCEPTED), give_back={"cloud-1": "idle"})) == [HostState.RELEASING]


def test_waiting_in_the_queue_does_not_count_as_booting() -> None:
    pending = (shown(SourceHostState.PENDING),)
    late = host(HostState.BOOTING, requested_at=NOW - 500, billed_from=NOW - 59)
    assert decide(late, listed=pending).steps == ()
    assert after(decide(replace(late, billed_from=NOW - 61), listed=pending)) == [HostState.FAILED]


def test_it_boots_and_becomes_ready() -> None:
    assert after(decide(host(HostState.CREATING), listed=(shown(SourceHostState.PENDING),))) == [HostState.BOOTING]
    assert after(decide(host(HostState.BOOTING), listed=(shown(SourceHostState.RUNNING),))) == [HostState.READY]


def test_a_host_that_never_boots_fails_and_is_given_back() -> None:
    late = host(HostState.BOOTING, requested_at=NOW - 61)
    decision = decide(late, listed=(shown(SourceHostState.PENDING),))
    assert after(decision) == [HostState.FAILED]
    assert after(decide(host(HostState.FAILED))) == [HostState.RELEASING]


def test_one_missing_listing_loses_no_host() -> None:
    assert decide(host(HostState.READY), unseen={"cloud-1": NOW}).steps == ()
    assert after(decide(host(HostState.READY), unseen={"cloud-1": NOW - 11})) == [HostState.LOST]


def test_a_lost_host_waits_for_its_instances_to_be_written_off() -> None:
    assert decide(host(HostState.LOST), live={"cloud-1": 1}).steps == ()
    assert after(decide(host(HostState.LOST))) == [HostState.RELEASING]


def test_deletion_repeats_until_the_source_no_longer_shows_it() -> None:
    leaving = host(HostState.RELEASING)
    assert decide(leaving, listed=(shown(SourceHostState.RUNNING),)).delete == (leaving,)
    assert after(decide(leaving)) == [HostState.RELEASED]


def test_a_host_with_instances_is_never_given_back() -> None:
    listed = (shown(SourceHostState.RUNNING),)
    ready = host(HostState.READY)
    assert decide(ready, listed=listed, live={"cloud-1": 1}, give_back={"cloud-1": "empty"}).steps == ()
    assert after(decide(ready, listed=listed, give_back={"cloud-1": "empty"})) == [HostState.DRAINING]


def test_a_draining_host_that_is_needed_again_is_taken_back() -> None:
    listed = (shown(SourceHostState.RUNNING),)
    assert after(decide(host(HostState.DRAINING), listed=listed, live={"cloud-1": 1})) == [HostState.READY]
    assert after(decide(host(HostState.DRAINING), listed=listed)) == [HostState.RELEASING]


def test_a_coming_host_nobody_needs_is_given_back_early() -> None:
    assert after(decide(host(HostState.REQUESTED), give_back={"cloud-1": "idle"})) == [HostState.RELEASED]
    assert after(decide(host(HostState.BOOTING), give_back={"cloud-1": "idle"})) == [HostState.RELEASING]


def test_machines_the_ledger_does_not_know_are_collected_after_a_grace() -> None:
    listed = (shown(SourceHostState.RUNNING, "stranger"),)
    assert decide(listed=listed, strangers_since={"stranger": NOW - 59}).collect == ()
    assert decide(listed=listed, strangers_since={"stranger": NOW - 60}).collect == ("stranger",)


def test_when_most_of_a_listing_is_strange_the_ledger_is_doubted() -> None:
    """As after a restore of an old backup: nobody's machines are destroyed within minutes."""
    names = [f"stranger-{number}" for number in range(4)]
    listed = tuple(shown(SourceHostState.RUNNING, name) for name in names)
    for waited_s, collected in ((60.0, 0), (1799.0, 0), (1800.0, 4)):
        assert len(decide(listed=listed, strangers_since=dict.fromkeys(names, NOW - waited_s)).collect) == collected


ENGINE = "tcp://10.0.0.1:2376"


def with_engine(state: HostState, **changes: object) -> Host:
    return host(state, engine=ENGINE, **changes)


def shown_with_engine() -> tuple[SourceHost, ...]:
    return (SourceHost("cloud-1", SourceHostState.RUNNING, "c1", address="10.0.0.1", engine=ENGINE),)


def look(*, answers: bool, for_s: float = 0.0, leftovers: int = 0) -> dict[str, EngineLook]:
    return {"cloud-1": EngineLook(answers, NOW - for_s, leftovers)}


def test_a_host_with_an_engine_boots_until_its_engine_answers() -> None:
    (step,) = decide(host(HostState.CREATING), listed=shown_with_engine()).steps
    assert (step.after, step.seen) == (HostState.BOOTING, shown_with_engine()[0])
    booting = with_engine(HostState.BOOTING)
    assert after(decide(booting, listed=shown_with_engine())) == []
    assert after(decide(booting, listed=shown_with_engine(), engines=look(answers=False))) == []
    assert after(decide(booting, listed=shown_with_engine(), engines=look(answers=True))) == [HostState.READY]


def test_a_silent_engine_makes_its_host_unreachable_until_it_answers() -> None:
    silent, listed = look(answers=False, for_s=6.0), shown_with_engine()
    assert after(decide(with_engine(HostState.READY), listed=listed, engines=silent)) == [HostState.UNREACHABLE]
    assert after(decide(with_engine(HostState.DRAINING), listed=listed, engines=silent)) == [HostState.UNREACHABLE]
    away = with_engine(HostState.UNREACHABLE, changed_at=NOW - 1)
    assert after(decide(away, listed=listed, engines=silent)) == []
    assert after(decide(away, listed=listed, engines=look(answers=True))) == [HostState.READY]


def test_an_engine_that_stays_silent_loses_its_host() -> None:
    away = with_engine(HostState.UNREACHABLE, changed_at=NOW - 99)
    silent = look(answers=False, for_s=500.0)
    assert after(decide(away, listed=shown_with_engine(), engines=silent)) == []
    longer = replace(away, changed_at=NOW - 100)
    assert after(decide(longer, listed=shown_with_engine(), engines=silent)) == [HostState.LOST]


def test_a_controller_that_just_began_to_ask_loses_nothing() -> None:
    away = with_engine(HostState.UNREACHABLE, changed_at=NOW - 1000)
    assert after(decide(away, listed=shown_with_engine(), engines=look(answers=False, for_s=20.0))) == []
    assert after(decide(away, listed=shown_with_engine())) == []


def test_when_most_engines_are_silent_the_way_is_in_doubt_and_none_is_lost() -> None:
    away = [with_engine(HostState.UNREACHABLE, id=f"cloud-{n}", changed_at=NOW - 1000) for n in range(1, 5)]
    listed = tuple(SourceHost(one.id, SourceHostState.RUNNING, "c1", engine=ENGINE) for one in away)
    engines = {f"cloud-{n}": EngineLook(answers=n > 2, since=NOW - 1000) for n in range(1, 5)}
    hosts = (*away[:2], *(replace(one, state=HostState.READY) for one in away[2:]))
    assert after(decide(*hosts, listed=listed, engines=engines)) == [HostState.LOST] * 2
    engines["cloud-3"] = EngineLook(answers=False, since=NOW - 1000)
    found = decide(*hosts, listed=listed, engines=engines)
    assert after(found) == [HostState.UNREACHABLE]
    assert "3 of 4" in found.doubt


def test_a_lost_host_is_kept_in_view_until_nothing_of_ours_runs_there() -> None:
    lost, listed = with_engine(HostState.LOST), shown_with_engine()
    assert after(decide(lost, listed=listed)) == []
    assert after(decide(lost, listed=listed, engines=look(answers=False))) == []
    assert after(decide(lost, listed=listed, engines=look(answers=True, leftovers=1))) == []
    assert after(decide(lost, listed=listed, engines=look(answers=True))) == [HostState.RELEASING]
    assert after(decide(lost)) == [HostState.RELEASING], "its source no longer has it"


def test_a_silent_engine_is_told_of_with_what_was_wrong() -> None:
    engines = {"cloud-1": EngineLook(answers=False, since=NOW - 6.0, words="Connection refused")}
    (step,) = decide(with_engine(HostState.READY), listed=shown_with_engine(), engines=engines).steps
    assert "Connection refused" in step.words


def test_a_host_that_its_source_could_not_make_after_all_fails_at_once_with_the_reason() -> None:
    seen = replace(shown(SourceHostState.PENDING), refusal=OutOfStock("no valid host was found"))
    for state in (HostState.CREATING, HostState.BOOTING):
        (step,) = decide(host(state), listed=(seen,)).steps
        assert (step.after, step.reason) == (HostState.FAILED, "out-of-stock")
        assert "no valid host was found" in step.words


def fleet(count: int, state: HostState = HostState.READY) -> tuple[Host, ...]:
    return tuple(host(state, id=f"cloud-{number}") for number in range(count))


def listing(*hosts: Host, **changes: Any) -> tuple[SourceHost, ...]:
    return tuple(SourceHost(one.id, SourceHostState.RUNNING, "c1", **changes) for one in hosts)


def test_hosts_that_vanish_all_at_once_are_doubted_until_it_lasts() -> None:
    hosts = fleet(10)
    missing = {one.id: NOW - 11 for one in hosts[:5]}
    assert after(decide(*hosts, listed=listing(*hosts[5:]), unseen=missing)) == [HostState.LOST] * 5
    missing = {one.id: NOW - 11 for one in hosts[:6]}
    found = decide(*hosts, listed=listing(*hosts[6:]), unseen=missing)
    assert after(found) == []
    assert "6 of 10" in found.doubt
    missing = {one.id: NOW - 301 for one in hosts[:6]}
    assert after(decide(*hosts, listed=listing(*hosts[6:]), unseen=missing)) == [HostState.LOST] * 6


def test_all_signals_count_together_and_what_was_lost_already_counts_too() -> None:
    hosts = (*fleet(8), host(HostState.LOST, id="cloud-8"), host(HostState.LOST, id="cloud-9"))
    silent = {one.id: EngineLook(answers=False, since=NOW - 50) for one in hosts[:2]}
    missing = {one.id: NOW - 11 for one in hosts[2:4]}
    states = {"listed": listing(*hosts[4:8]), "live": {"cloud-8": 1, "cloud-9": 1}, "unseen": missing}
    assert HostState.LOST not in after(decide(*hosts, engines=silent, suspects={"cloud-4": "bad"}, **states))
    assert after(decide(*hosts, **states)) == [HostState.LOST] * 2


def test_a_machine_that_its_source_takes_down_counts_as_gone() -> None:
    going = (shown(SourceHostState.DELETING),)
    assert after(decide(host(HostState.READY), listed=going, unseen={"cloud-1": NOW - 11})) == [HostState.LOST]


def test_a_bare_host_is_initialised_before_it_is_ready() -> None:
    bare = replace(host(HostState.BOOTING).host_type, initialise=True)
    running = (shown(SourceHostState.RUNNING),)
    assert after(decide(host(HostState.BOOTING, host_type=bare), listed=running)) == [HostState.INITIALISING]
    waiting = host(HostState.INITIALISING, host_type=bare, changed_at=NOW - 50)
    assert after(decide(waiting, listed=running)) == []
    done, failed = InitLook(done=True), InitLook(done=False, failed_words="no network")
    assert after(decide(waiting, listed=running, initialised={"cloud-1": done})) == [HostState.READY]
    (step,) = decide(waiting, listed=running, initialised={"cloud-1": failed}).steps
    assert (step.after, step.words) == (HostState.FAILED, "no network")
    assert after(decide(waiting, listed=running, initialise_limit_s=49.0)) == [HostState.FAILED]
    assert after(decide(waiting, unseen={"cloud-1": NOW - 11})) == [HostState.LOST]


def test_a_notice_cordons_and_the_host_leaves_once_it_is_empty() -> None:
    told = listing(host(HostState.READY), leave_by=NOW + 120, leave_words="spot")
    (step,) = decide(host(HostState.READY), listed=told, live={"cloud-1": 1}).steps
    assert (step.after, step.reason, step.changes) == (HostState.CORDONED, "notice", {"leave_by": NOW + 120})
    assert "spot" in step.words
    cordoned = host(HostState.CORDONED, reason="notice", leave_by=NOW + 120)
    assert after(decide(cordoned, listed=told, live={"cloud-1": 1})) == []
    assert after(decide(cordoned, listed=told)) == [HostState.DRAINING]
    draining = replace(cordoned, state=HostState.DRAINING)
    assert after(decide(draining, listed=told)) == [HostState.RELEASING]


def test_a_notice_may_be_withdrawn_and_a_loan_may_not() -> None:
    listed = listing(host(HostState.READY))
    cordoned = host(HostState.CORDONED, reason="notice", leave_by=NOW + 120)
    (step,) = decide(cordoned, listed=listed, live={"cloud-1": 1}).steps
    assert (step.after, step.changes) == (HostState.READY, {"leave_by": None})
    assert decide(replace(cordoned, reason="leave-by"), listed=listed, live={"cloud-1": 1}).steps == ()


def test_a_host_that_has_to_leave_by_some_time_is_cordoned_whoever_said_so() -> None:
    lent = host(HostState.READY, leave_by=NOW + 600)
    (step,) = decide(lent, listed=listing(lent), live={"cloud-1": 1}).steps
    assert (step.after, step.reason) == (HostState.CORDONED, "leave-by")


def test_a_person_s_cordon_stays_until_a_person_ends_it() -> None:
    cordoned = host(HostState.CORDONED, reason="by-person")
    assert decide(cordoned, listed=listing(cordoned), give_back={"cloud-1": "empty"}).steps == ()
    silent = look(answers=False, for_s=50.0)
    assert decide(cordoned, listed=listing(cordoned), engines=silent).steps == ()
    assert after(decide(cordoned, listed=listing(cordoned), engines=look(answers=False, for_s=101.0))) == [
        HostState.LOST
    ]


def test_hosts_on_which_instances_fail_take_nothing_new_for_a_while_few_at_once() -> None:
    hosts = fleet(10)
    suspects = {one.id: "instances fail" for one in hosts[:5]}
    assert after(decide(*hosts, listed=listing(*hosts), suspects=suspects)) == [HostState.CORDONED] * 2
    suspects |= {one.id: "instances fail" for one in hosts[:6]}
    assert after(decide(*hosts, listed=listing(*hosts), suspects=suspects)) == [], "most: it is not the hosts"
    again = host(HostState.CORDONED, reason="instances-fail", changed_at=NOW - 301)
    assert after(decide(again, listed=listing(again))) == [HostState.READY]
    assert after(decide(replace(again, changed_at=NOW - 299), listed=listing(again))) == []


def test_an_empty_host_is_switched_off_kept_and_switched_on_again() -> None:
    ready, running = host(HostState.READY), (shown(SourceHostState.RUNNING),)
    assert after(decide(ready, listed=running, keep_stopped={"cloud-1": "warm"})) == [HostState.STOPPING]
    assert decide(ready, listed=running, keep_stopped={"cloud-1": "warm"}, live={"cloud-1": 1}).steps == ()
    stopping, off = host(HostState.STOPPING, changed_at=NOW - 5), (shown(SourceHostState.STOPPED),)
    assert decide(stopping, listed=running).stop == (stopping,)
    assert after(decide(stopping, listed=off)) == [HostState.STOPPED]
    stopped = host(HostState.STOPPED)
    assert decide(stopped, listed=off).steps == ()
    assert after(decide(stopped, listed=off, live={"cloud-1": 1})) == [HostState.STARTING]
    assert after(decide(stopped, listed=off, give_back={"cloud-1": "dear"})) == [HostState.RELEASING]
    starting = host(HostState.STARTING, changed_at=NOW - 5, billed_from=NOW - 9999)
    assert decide(starting, listed=off).start == (starting,)
    assert after(decide(starting, listed=running)) == [HostState.READY]
    assert after(decide(replace(starting, changed_at=NOW - 61), listed=off)) == [HostState.FAILED]


def test_a_spot_price_is_taken_over_while_nothing_else_changes() -> None:
    dearer = replace(shown(SourceHostState.RUNNING), price_usd_per_hour=0.3)
    (step,) = decide(host(HostState.READY, reason="ready"), listed=(dearer,)).steps
    assert (step.after, step.reason, step.changes["reason"]) == (HostState.READY, "repriced", "ready")
    assert step.changes["host_type"].price_usd_per_hour == 0.3


def test_a_host_whose_next_call_is_due_keeps_its_price_until_that_was_answered() -> None:
    dearer = replace(shown(SourceHostState.RUNNING), price_usd_per_hour=0.3)
    releasing = host(HostState.RELEASING)
    decision = decide(releasing, listed=(dearer,))
    assert (decision.steps, decision.delete) == ((), (releasing,))
