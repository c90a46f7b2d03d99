"""Clients never lose most of a service at once, and in the end see exactly what serves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.orchestration.discovery.decide import decide_published
from dcp.orchestration.discovery.model import Entry, Limits, Published
from dcp.orchestration.services.model import ServiceKey

FEED = ServiceKey("shop", "feed")
LIMITS = Limits(cut_share=0.2, step_s=10.0)


def entries(*numbers: int) -> tuple[Entry, ...]:
    return tuple(Entry(f"feed-{n}", "10.0.0.1", 20000 + n) for n in numbers)


def after(before: Published, change, now: float) -> Published:
    return Published(FEED, change.entries, 1, now if change.cut else before.last_cut_at)


def test_what_begins_to_serve_is_there_at_once():
    change = decide_published(Published(FEED, entries(1)), entries(1, 2, 3), frozenset(), 100.0, LIMITS)
    assert (change.entries, change.added, change.cut, change.waiting) == (entries(1, 2, 3), entries(2, 3), (), 0)


def test_a_fifth_goes_in_one_step_the_rest_later():
    before = Published(FEED, entries(*range(10)))
    leaving = frozenset(f"feed-{n}" for n in range(5, 10))
    first = decide_published(before, entries(*range(5)), leaving, 100.0, LIMITS)
    assert (len(first.cut), first.waiting, first.zombies) == (2, 3, ())
    soon = decide_published(after(before, first, 100.0), entries(*range(5)), leaving, 109.0, LIMITS)
    assert (soon.cut, soon.waiting) == ((), 3)
    later = decide_published(after(before, first, 100.0), entries(*range(5)), leaving, 110.0, LIMITS)
    assert (len(later.cut), later.waiting) == (1, 2)


def test_those_that_ended_go_before_those_that_still_answer_and_are_counted():
    before = Published(FEED, entries(1, 2, 3, 4, 5))
    change = decide_published(before, entries(3, 4, 5), frozenset({"feed-1"}), 100.0, LIMITS)
    assert change.cut == change.zombies == entries(2)
    assert change.waiting == 1


def test_a_person_may_let_all_go():
    before = Published(FEED, entries(*range(10)), last_cut_at=99.0, allow_all=True)
    change = decide_published(before, (), frozenset(), 100.0, LIMITS)
    assert (len(change.cut), change.entries) == (10, ())


def test_an_instance_at_another_address_takes_its_own_place():
    moved = (Entry("feed-1", "10.0.0.2", 20001),)
    change = decide_published(Published(FEED, entries(1)), moved, frozenset(), 100.0, LIMITS)
    assert (change.cut, change.added, change.entries, change.zombies) == (entries(1), moved, moved, ())


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 60)),
    st.lists(st.tuples(st.sets(st.integers(0, 60)), st.floats(0.1, 30.0)), max_size=20),
)
def test_no_step_cuts_more_than_its_share_and_all_becomes_true(start, moves):
    view, now = Published(FEED, entries(*sorted(start)), 1), 1000.0
    serving: set[int] = set(start)
    last_cut_at = 0.0
    for serving, passed_s in moves:
        now += passed_s
        change = decide_published(view, entries(*sorted(serving)), frozenset(), now, LIMITS)
        assert len(change.cut) <= max(1, 0.2 * len(view.entries))
        assert {*change.entries} >= {*entries(*serving)}
        assert len({e.instance_id for e in change.entries}) == len(change.entries)
        if change.cut:
            assert now - last_cut_at >= LIMITS.step_s
            last_cut_at = now
        view = after(view, change, now)
    for _ in range(80):
        now += LIMITS.step_s
        view = after(view, decide_published(view, entries(*sorted(serving)), frozenset(), now, LIMITS), now)
    assert {*view.entries} == {*entries(*serving)}
