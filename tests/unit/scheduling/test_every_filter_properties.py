"""What holds of every fleet and every question, checked host by host with plain Python beside the columns."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import EMPTIEST_FIRST, FULLEST_FIRST, Ask, Candidate, Neighbour, SpreadOver
from dcp.scheduling.place import decide_batch, place, place_batch

SERVICES = ("s0", "s1", "s2")
LABELS = ("site", "zone", "hardware")
within = st.sampled_from(["host", "zone", "site"])
neighbours = st.lists(
    st.builds(Neighbour, st.sampled_from(SERVICES), within, st.booleans()),
    max_size=2,
    unique_by=lambda one: one.service,
).map(tuple)
skews = st.one_of(
    st.builds(lambda skew: (SpreadOver("zone", skew),), st.none() | st.integers(1, 2)),
    st.builds(
        lambda one, two: (SpreadOver("site", one), SpreadOver("zone", two)),
        st.none() | st.integers(1, 2),
        st.none() | st.integers(1, 2),
    ),
)


def resources(most: int) -> st.SearchStrategy[Resources]:
    gpus = st.integers(0, most // 2).map(lambda count: (("gpu", count),) if count else ())
    return st.builds(Resources, st.integers(0, most), st.integers(0, most), st.integers(0, most), gpus)


@st.composite
def hosts(draw: st.DrawFn, name: str) -> Candidate:
    return Candidate(
        name,
        draw(resources(12)),
        Resources(0, 0),
        draw(st.sampled_from(SourceKind)),
        draw(st.booleans()),
        labels={label: draw(st.sampled_from("ab")) for label in LABELS}
        | ({"dedicated": "x"} if draw(st.integers(0, 9)) == 0 else {}),
        schedulable=draw(st.integers(0, 9)) > 0,
    )


fleets = st.integers(0, 6).flatmap(lambda size: st.tuples(*(hosts(f"h{number}") for number in range(size))))


FEATURES: dict[str, st.SearchStrategy[object]] = {
    "constraints": st.just(("node.labels.zone==a",)),
    "max_per_host": st.integers(1, 3),
    "sites": st.just(frozenset("a")),
    "hardware": st.just(frozenset("b")),
    "dedicated": st.just("x"),
    "host_ports": st.just(frozenset({80})),
    "heavy": st.just("train"),
    "leans": st.sampled_from(["cpu", "io"]),
    "empty_only": st.just(True),
    "beside": neighbours,
    "apart": neighbours,
    "spread": skews,
    "weights": st.sampled_from([EMPTIEST_FIRST, FULLEST_FIRST]),
}


@st.composite
def asks(draw: st.DrawFn, service: str) -> Ask:
    """One to three features at a time, so that each is often what decides."""
    one = Ask(service, draw(st.integers(0, 7)), draw(resources(2)))
    for name in draw(st.lists(st.sampled_from([*FEATURES, "spread"]), min_size=1, max_size=3, unique=True)):
        one = replace(one, **{name: draw(FEATURES[name])})
    return one


questions = st.integers(1, 4).flatmap(
    lambda size: st.tuples(*(asks(SERVICES[number % len(SERVICES)]) for number in range(size)))
)


@dataclass
class World:
    """Every host with what stands on it, as a list."""

    hosts: dict[str, Candidate]
    there: dict[str, list[Ask]] = field(default_factory=dict)

    def put(self, one: Ask, host_id: str) -> None:
        self.there.setdefault(host_id, []).append(one)

    def on(self, host_id: str) -> list[Ask]:
        return self.there.get(host_id, [])

    def near(self, host: Candidate, label: str) -> list[Ask]:
        if label == "host":
            return self.on(host.host_id)
        return [
            one
            for name in self.hosts
            if domain(self.hosts[name], label) == domain(host, label)
            for one in self.on(name)
        ]

    def keeps_out(self, one: Ask, host: Candidate) -> str:
        """Return the first reason against one more instance of `one` on `host`; "" if there is none."""
        there = self.on(host.host_id)
        if not ever(one, host):
            return "what the host is"
        needs, has = one.resources.amounts(), host.total.amounts()
        for name, amount in needs.items():
            used = sum(other.resources.amounts().get(name, 0) for other in there)
            if amount and used + amount > has.get(name, 0):
                return name
        same = sum(other.service == one.service for other in there)
        if one.max_per_host is not None and same >= one.max_per_host:
            return "per host"
        if one.empty_only and there:
            return "not empty"
        if one.heavy and any(other.heavy == one.heavy for other in there):
            return "heavy"
        if any(other.host_ports & one.host_ports for other in there):
            return "port"
        return self._neighbours_keep_out(one, host) or self._skew_keeps_out(one, host)

    def _neighbours_keep_out(self, one: Ask, host: Candidate) -> str:
        for wish in one.beside:
            must = not wish.preferred and wish.service != one.service
            if must and not any(other.service == wish.service for other in self.near(host, wish.within)):
                return "not beside"
        for wish in one.apart:
            if not wish.preferred and any(other.service == wish.service for other in self.near(host, wish.within)):
                return "apart"
        for label in ("host", "zone", "site"):
            for other in self.near(host, label):
                wishes = [] if other.service == one.service else other.apart
                if any((w.service, w.within, w.preferred) == (one.service, label, False) for w in wishes):
                    return "avoided"
        return ""

    def _skew_keeps_out(self, one: Ask, host: Candidate) -> str:
        outer: tuple[str, ...] = ()
        labels: tuple[str, ...] = ()
        for level in one.spread:
            labels = (*labels, level.label)
            counts: Counter[tuple[str, ...]] = Counter()
            for other in self.hosts.values():
                if ever(one, other) and domains(other, labels)[: len(outer)] == outer:
                    counts[domains(other, labels)] += 0
            for other in self.hosts.values():
                if domains(other, labels) in counts:
                    counts[domains(other, labels)] += sum(i.service == one.service for i in self.on(other.host_id))
            own = domains(host, labels)
            if level.max_skew is not None and counts[own] + 1 - min(counts.values()) > level.max_skew:
                return "skew"
            outer = own
        return ""


def domain(host: Candidate, label: str) -> tuple[str, ...]:
    """A zone is a zone of its site."""
    return (host.labels["site"], host.labels["zone"]) if label == "zone" else (host.labels[label],)


def domains(host: Candidate, labels: tuple[str, ...]) -> tuple[str, ...]:
    return (
        tuple(dict.fromkeys(label for one in labels for label in domain(host, one)))
        if len(labels) < 2
        else domain(host, "zone")
    )


def ever(one: Ask, host: Candidate) -> bool:
    return (
        host.schedulable
        and one.resources.fits_in(host.total)
        and host.labels.get("dedicated", "") == one.dedicated
        and (not one.sites or host.labels["site"] in one.sites)
        and (not one.hardware or host.labels["hardware"] in one.hardware)
        and (not one.constraints or host.labels["zone"] == "a")
    )


def fitting(world: World, one: Ask) -> set[str]:
    return {name for name, host in world.hosts.items() if not world.keeps_out(one, host)}


@settings(max_examples=150)
@given(fleets, questions, st.integers(0, 2))
def test_one_after_the_other_keeps_every_constraint_and_refuses_only_what_no_host_takes(
    known: tuple[Candidate, ...], several: tuple[Ask, ...], seed: int
) -> None:
    fleet, world = Fleet(seed, known), World({host.host_id: host for host in known})
    for question in several:
        one = replace(question, count=1)
        for _ in range(question.count):
            batch = place_batch(fleet, one)
            possible = fitting(world, one)
            if batch.left:
                assert not possible
                break
            (name,) = (fleet.hosts[at].host_id for at in batch.positions.tolist())
            assert name in possible
            world.put(one, name)


@settings(max_examples=150)
@given(fleets, questions, st.integers(0, 2))
def test_a_batch_goes_where_one_after_the_other_goes(
    known: tuple[Candidate, ...], several: tuple[Ask, ...], seed: int
) -> None:
    at_once, singly = Fleet(seed, known), Fleet(seed, known)
    for question in several:
        before = decide_batch(at_once, question)
        batch = place_batch(at_once, question)
        assert before.positions.tolist() == batch.positions.tolist()
        placed: Counter[int] = Counter()
        for _ in range(question.count):
            placed.update(place_batch(singly, replace(question, count=1)).positions.tolist())
        assert dict(zip(batch.positions.tolist(), batch.counts.tolist(), strict=True)) == placed


@settings(max_examples=100)
@given(fleets, questions, st.integers(0, 2), st.randoms())
def test_the_same_seed_gives_the_same_answer_in_whatever_order_hosts_come(
    known: tuple[Candidate, ...], several: tuple[Ask, ...], seed: int, shuffler: random.Random
) -> None:
    asked = tuple({one.service: one for one in several}.values())
    shuffled = list(known)
    shuffler.shuffle(shuffled)
    placement = place(asked, known, seed)
    assert placement == place(asked, tuple(shuffled), seed)
    for refused in placement.unplaced:
        assert sum(one.hosts for one in refused.refusals) == len(known)
        assert refused.words
