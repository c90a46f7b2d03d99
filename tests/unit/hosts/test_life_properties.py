"""Whatever is seen: no step that the table forbids, no host with instances given back, no mass eviction."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.creation import ACCEPTED
from dcp.hosts.decide import decide_hosts
from dcp.hosts.health import FEW, IN_USE, LOST_SHARE
from dcp.hosts.model import Host, HostType, Resources, SourceHost, SourceHostState, SourceKind
from dcp.hosts.rest import rests_until, signalled
from dcp.hosts.states import HostState, advance_host
from dcp.hosts.view import EngineLook, InitLook, SourceView

NOW = 10_000.0
BARE = HostType("bare", Resources(1, 1), initialise=True)
PLAIN = HostType("plain", Resources(1, 1))
ago = st.sampled_from([0.0, 6.0, 11.0, 101.0, 400.0, 2000.0]).map(lambda seconds: NOW - seconds)
maybe_soon = st.none() | st.sampled_from([NOW - 1, NOW + 60])
a_host = st.builds(
    Host,
    id=st.just(""),
    source=st.just("cloud"),
    kind=st.just(SourceKind.CLOUD),
    host_type=st.sampled_from([BARE, PLAIN]),
    state=st.sampled_from([state for state in HostState if state != HostState.RELEASED]),
    requested_at=ago,
    changed_at=ago,
    billed_from=st.none() | ago,
    engine=st.sampled_from(["", "tcp://10.0.0.1:2376"]),
    reason=st.sampled_from(["", ACCEPTED, "asked", "notice", "by-person", "instances-fail", "leave-by"]),
    leave_by=maybe_soon,
)
a_sight = st.none() | st.builds(
    SourceHost,
    host_id=st.just(""),
    state=st.sampled_from(SourceHostState),
    type_name=st.just("plain"),
    engine=st.sampled_from(["", "tcp://10.0.0.1:2376"]),
    leave_by=maybe_soon,
)
an_engine = st.none() | st.builds(EngineLook, st.booleans(), ago, st.integers(0, 1))
words = st.sampled_from(["", "why"])
around = st.tuples(a_host, a_sight, an_engine, st.integers(0, 1), ago, words, words, words, st.booleans())


@settings(max_examples=400, deadline=None)
@given(st.lists(around, min_size=1, max_size=9))
def test_every_step_is_allowed_and_bounded(drawn: list[tuple]) -> None:  # type: ignore[type-arg]
    hosts, view = view_of(drawn)
    decision = decide_hosts(view)
    moved = [step.host.id for step in decision.steps]
    assert len(moved) == len(set(moved))
    for step in decision.steps:
        if step.after != step.host.state:
            advance_host(step.host.state, step.after)
        if step.after in (HostState.DRAINING, HostState.STOPPING, HostState.RELEASED) and step.host.state in IN_USE:
            assert not view.live_instances.get(step.host.id), "given back with instances"
        if step.host.state == HostState.CREATING and step.after == HostState.RELEASING:
            assert step.host.reason == ACCEPTED or step.host.id in {one.host_id for one in view.listed}
    asked = {host.id for host in (*decision.delete, *decision.stop, *decision.start)}
    assert not asked & set(moved)
    used = [host for host in hosts if host.state in IN_USE or host.state == HostState.LOST]
    given_up = [step for step in decision.steps if step.after == HostState.LOST and step.host.state in IN_USE]
    soon = [step for step in given_up if NOW - unseen_or_silent_since(step.host, view) < 300.0]
    if len(used) > FEW:
        assert len(soon) <= LOST_SHARE * len(used)


@settings(max_examples=400, deadline=None)
@given(st.lists(around, min_size=1, max_size=9))
def test_nothing_follows_for_a_host_at_rest_and_the_same_for_the_others_without_it(drawn: list[tuple]) -> None:  # type: ignore[type-arg]
    hosts, view = view_of(drawn)
    seen = {one.host_id: one for one in view.listed}
    named = signalled(view.engines, view.give_back, view.keep_stopped, view.suspects)
    resting = {
        host.id: host
        for host in hosts
        if host.id not in named and rests_until(host, seen.get(host.id), view.boot_limit_s) > view.now
    }
    whole = decide_hosts(view)
    assert not any(step.host.id in resting for step in whole.steps)
    used = sum(host.state in IN_USE for host in resting.values())
    awake = tuple(host for host in hosts if host.id not in resting)
    others = tuple(one for one in view.listed if one.host_id not in resting)
    assert decide_hosts(replace(view, hosts=awake, listed=others, at_rest=used)) == whole


def unseen_or_silent_since(host: Host, view: SourceView) -> float:
    look = view.engines.get(host.id)
    silent = [look.since] if look is not None and not look.answers else []
    return min([*silent, view.unseen_since.get(host.id, NOW)])


def view_of(drawn: list[tuple]) -> tuple[tuple[Host, ...], SourceView]:  # type: ignore[type-arg]
    named = {f"h-{number}": one for number, one in enumerate(drawn)}
    hosts = tuple(replace(one[0], id=name) for name, one in named.items())
    sights = {name: replace(one[1], host_id=name) for name, one in named.items() if one[1] is not None}
    there = (SourceHostState.PENDING, SourceHostState.RUNNING)

    def told(place: int) -> dict[str, str]:
        return {name: one[place] for name, one in named.items() if one[place]}

    return hosts, SourceView(
        now=NOW,
        hosts=hosts,
        listed=tuple(sights.values()),
        live_instances={name: one[3] for name, one in named.items()},
        give_back=told(5),
        unseen_since={
            name: one[4] for name, one in named.items() if name not in sights or sights[name].state not in there
        },
        boot_limit_s=900.0,
        lost_after_s=10.0,
        engines={name: one[2] for name, one in named.items() if one[2] is not None},
        engine_lost_after_s=100.0,
        initialised={name: InitLook(done=one[8], failed_words="") for name, one in named.items()},
        keep_stopped=told(6),
        suspects=told(7),
    )
