"""Copies of images: the last push of a tag wins, nothing pushed is dropped, and what was lost comes back."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.images.model import Site, SiteRole
from dcp.images.replication.decide import (
    ReplicationView,
    acknowledged,
    back_off_s,
    decide_comparison,
    decide_copies,
    decide_push,
)
from dcp.images.replication.model import CopyKey, ImageCopy, Push, Seen, TagHead
from dcp.images.states import CopyState
from dcp.kernel.events import Event

EAST = Site("east", SiteRole.MASTER, "http://east")
WEST = Site("west", SiteRole.MASTER, "http://west")
CLOUD = Site("cloud", SiteRole.FOLLOWER, "http://cloud", follows="west")
SITES = (EAST, WEST, CLOUD)
OLD, NEW, THIRD = (f"sha256:{letter * 64}" for letter in "abc")


class Ledger:
    """Rows as the store keeps them."""

    def __init__(self) -> None:
        self.head: TagHead | None = None
        self.copies: dict[CopyKey, ImageCopy] = {}
        self.events: list[Event] = []

    def push(self, site: str, digest: str, at: float, *, tag: str = "1", now: float | None = None) -> None:
        push = Push(site, "shop/web", tag, digest, at, pushed_by="ann")
        decision = decide_push(push, self.head, self.copies.values(), SITES, at if now is None else now)
        self.head = decision.head
        self.write(decision.copies)
        self.events += decision.events

    def write(self, copies: Iterable[ImageCopy]) -> None:
        self.copies |= {copy.key: copy for copy in copies}

    def arrive(self, digest: str, *sites: str, at: float = 0.0) -> None:
        for key, copy in self.copies.items():
            if copy.digest == digest and copy.site in (sites or [site.name for site in SITES]):
                self.copies[key] = replace(copy, state=CopyState.PRESENT, since=at)

    def state(self, digest: str, site: str) -> CopyState:
        return self.copies["shop/web", "1", digest, site].state

    def expect_reasons(self, *reasons: str) -> None:
        assert [event.reason for event in self.events] == list(reasons)

    def compare(self, site: str, digest: str | None, *, looked_at: float, has: tuple[str, ...] = (OLD, NEW)) -> None:
        tags = (("shop/web", "1", digest),) if digest else ()
        asked = frozenset(("shop/web", one) for one in (OLD, NEW))
        seen = Seen(site, looked_at, tags, frozenset(("shop/web", one) for one in has) & asked, asked)
        heads = (self.head,) if self.head else ()
        found = decide_comparison(seen, heads, self.copies.values(), SITES, looked_at + 1)
        self.write(found.copies)
        self.events += found.events
        for push in found.pushes:
            self.push(push.site, push.digest, push.pushed_at)


def view(ledger: Ledger, **changes: object) -> ReplicationView:
    lacking = tuple(copy for copy in ledger.copies.values() if copy.state != CopyState.PRESENT)
    holders: dict[tuple[str, str], frozenset[str]] = {}
    for copy in ledger.copies.values():
        if copy.state == CopyState.PRESENT:
            content = (copy.repository, copy.digest)
            holders[content] = holders.get(content, frozenset()) | {copy.site}
    base = ReplicationView(100.0, SITES, lacking, holders, {}, frozenset(), frozenset(), 4)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_push_is_wanted_everywhere_and_looked_at_where_it_came() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    assert {copy.site: copy.reason for copy in ledger.copies.values()} == {
        "east": "pushed-here",
        "west": "pushed",
        "cloud": "pushed",
    }
    assert ledger.head is not None and ledger.head.digest == OLD
    ledger.expect_reasons("wanted")


def test_hearing_it_again_changes_nothing_that_counts() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD)
    ledger.push("east", OLD, 10.0)
    assert ledger.state(OLD, "west") == CopyState.PRESENT
    assert ledger.state(OLD, "east") == CopyState.WANTED, "its tag is looked at once more"
    ledger.expect_reasons("wanted")


def test_an_overwrite_that_saw_the_first_is_no_conflict() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD)
    ledger.push("west", NEW, 20.0)
    ledger.expect_reasons("wanted", "wanted")


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_pushes_at_once_the_last_wins_whichever_is_heard_first(reverse: bool) -> None:
    ledger = Ledger()
    pushes = [("east", OLD, 10.0), ("west", NEW, 10.5)]
    for site, digest, at in reversed(pushes) if reverse else pushes:
        ledger.push(site, digest, at, now=11.0)
    assert ledger.head is not None and ledger.head.digest == NEW
    ledger.expect_reasons("wanted", "superseded" if reverse else "wanted", "conflict")
    assert ledger.events[-1].numbers["other"] == (NEW if reverse else OLD)
    assert {copy.digest for copy in ledger.copies.values()} == {OLD, NEW}, "both are kept everywhere"
    assert ledger.state(NEW, "east") == CopyState.WANTED, "its tag has to be set right there"


def test_a_tag_that_moves_back_is_set_again_everywhere() -> None:
    ledger = Ledger()
    for digest, at in ((OLD, 10.0), (NEW, 20.0)):
        ledger.push("east", digest, at)
        ledger.arrive(digest)
    ledger.push("east", OLD, 30.0)
    assert {ledger.state(OLD, site.name) for site in SITES} == {CopyState.WANTED}


def test_an_old_push_heard_late_lets_its_site_be_set_right() -> None:
    ledger = Ledger()
    ledger.push("east", NEW, 20.0)
    ledger.arrive(NEW)
    ledger.push("west", OLD, 15.0, now=21.0)
    assert ledger.head is not None and ledger.head.digest == NEW
    assert ledger.state(NEW, "west") == CopyState.WANTED
    assert ledger.state(NEW, "east") == CopyState.PRESENT


def test_a_push_by_digest_moves_no_tag() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0, tag="")
    assert ledger.head is None
    assert {copy.tag for copy in ledger.copies.values()} == {""}


def test_an_image_is_acknowledged_when_all_masters_have_it() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD, "east", "cloud")
    assert not acknowledged(ledger.copies.values(), SITES)
    ledger.arrive(OLD, "west")
    assert acknowledged(ledger.copies.values(), SITES)


# Comparison.


def test_a_site_that_lost_everything_is_filled_again() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD, at=11.0)
    ledger.compare("east", None, looked_at=20.0, has=())
    assert ledger.state(OLD, "east") == CopyState.WANTED
    assert ledger.state(OLD, "west") == CopyState.PRESENT
    ledger.expect_reasons("wanted", "copy-lost")


def test_what_arrived_after_the_look_began_is_not_lost() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD, at=25.0)
    ledger.compare("west", None, looked_at=20.0, has=())
    assert ledger.state(OLD, "west") == CopyState.PRESENT


def test_a_push_that_no_event_told_is_found() -> None:
    ledger = Ledger()
    ledger.compare("east", OLD, looked_at=20.0)
    assert ledger.head is not None and (ledger.head.digest, ledger.head.site) == (OLD, "east")
    ledger.arrive(OLD, at=21.0)
    ledger.compare("west", NEW, looked_at=30.0)
    assert ledger.head.digest == NEW
    ledger.arrive(NEW, at=31.0)
    ledger.compare("west", OLD, looked_at=40.0)
    assert ledger.head.digest == OLD, "moving a tag back is a push too"


def test_a_site_on_its_way_is_not_taken_for_a_push() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD)
    ledger.push("east", NEW, 20.0)
    ledger.compare("west", OLD, looked_at=30.0)
    assert ledger.head is not None and ledger.head.digest == NEW
    ledger.expect_reasons("wanted", "wanted")


def test_a_follower_is_set_right_and_never_believed() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD)
    ledger.compare("cloud", NEW, looked_at=20.0)
    assert ledger.head is not None and ledger.head.digest == OLD
    assert ledger.state(OLD, "cloud") == CopyState.WANTED


def test_an_older_digest_that_is_gone_is_missed_too() -> None:
    ledger = Ledger()
    for digest, at in ((OLD, 10.0), (NEW, 20.0)):
        ledger.push("east", digest, at)
        ledger.arrive(digest, at=at)
    ledger.compare("west", NEW, looked_at=30.0, has=(NEW,))
    assert ledger.state(OLD, "west") == CopyState.WANTED
    assert ledger.state(NEW, "west") == CopyState.PRESENT


def test_a_new_site_shall_have_everything() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    north = Site("north", SiteRole.FOLLOWER, "http://north", follows="east")
    seen = Seen("north", 20.0, (), frozenset(), frozenset())
    found = decide_comparison(seen, (), ledger.copies.values(), (*SITES, north), 20.0)
    assert [(copy.site, copy.state, copy.reason) for copy in found.copies] == [("north", CopyState.WANTED, "new-site")]


# Which copies begin.


def test_masters_come_first_then_the_newest() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.push("east", NEW, 20.0)
    order = [(one.copy.site, one.copy.digest) for one in decide_copies(view(ledger))]
    assert order == [("east", NEW), ("west", NEW), ("cloud", NEW)], "one at a time for a tag at a site"


def test_a_follower_takes_it_from_whom_it_follows_unless_that_site_is_lost() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.arrive(OLD, "east", "west")
    (order,) = decide_copies(view(ledger))
    assert order.sources == ("west", "east")
    (order,) = decide_copies(view(ledger, away=frozenset({"west"})))
    assert order.sources == ("east",)


def test_a_site_that_does_not_answer_is_left_alone() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    assert {one.copy.site for one in decide_copies(view(ledger, away=frozenset({"west"})))} == {"east", "cloud"}


def test_a_failed_copy_rests() -> None:
    ledger = Ledger()
    ledger.push("east", OLD, 10.0)
    ledger.write(replace(copy, state=CopyState.FAILED, not_before=101.0) for copy in list(ledger.copies.values()))
    assert decide_copies(view(ledger)) == ()
    assert len(decide_copies(view(ledger, now=101.0))) == 3
    assert [back_off_s(n) for n in (1, 2, 3, 50)] == [1.0, 2.0, 4.0, 300.0]


@given(
    st.lists(st.tuples(st.sampled_from(["east", "west"]), st.sampled_from([OLD, NEW, THIRD]), st.integers(1, 30))),
    st.integers(0, 2**32),
)
def test_any_order_of_hearing_ends_with_the_same_head(pushes: list[tuple[str, str, int]], seed: int) -> None:
    unique = list({(site, at): (site, digest, at) for site, digest, at in pushes}.values())
    ends = []
    for shuffled in (unique, random.Random(seed).sample(unique, len(unique))):
        ledger = Ledger()
        for site, digest, at in shuffled:
            ledger.push(site, digest, float(at), now=100.0)
        ends.append((ledger.head and (ledger.head.digest, ledger.head.pushed_at), set(ledger.copies)))
        assert {copy.digest for copy in ledger.copies.values()} == {digest for _, digest, _ in unique}
    assert ends[0] == ends[1]


@given(st.data())
def test_what_begins_stays_within_its_bounds(data: st.DataObject) -> None:
    ledger = Ledger()
    for number in range(data.draw(st.integers(0, 12))):
        digest = data.draw(st.sampled_from([OLD, NEW, THIRD]))
        ledger.push(data.draw(st.sampled_from(["east", "west"])), digest, float(number), tag=str(number % 4))
        ledger.head = None
    keys = sorted(ledger.copies)
    running = frozenset(data.draw(st.lists(st.sampled_from(keys), max_size=2))) if keys else frozenset()
    parallel = data.draw(st.integers(1, 3))
    orders = decide_copies(view(ledger, running=running, parallel=parallel))
    begun = [one.copy.key for one in orders]
    every = [*begun, *running]
    assert len(set(every)) == len(every)
    for site in SITES:
        assert sum(key[3] == site.name for key in begun) <= max(0, parallel - sum(k[3] == site.name for k in running))
    new_tags = [(key[0], key[1], key[3]) for key in begun]
    assert len(set(new_tags)) == len(new_tags)
    assert not set(new_tags) & {(key[0], key[1], key[3]) for key in running}
