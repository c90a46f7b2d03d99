"""Consolidation and rebalancing: what is freed, what stays apart, and that no plan undoes an earlier one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp.hosts.model import HostType, Offer, Resources, SourceKind
from dcp.orchestration.scaling.consolidation import decide_consolidation
from dcp.orchestration.scaling.moves import Moves, MovesView, budgets, decide_moves, relieving
from dcp.orchestration.scaling.plan import PlannedInstance
from dcp.orchestration.scaling.rebalancing import decide_rebalancing
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.scheduling.model import Ask, Candidate, Neighbour, SpreadOver

NOW = 10_000.0
SIZES = {"web": Resources(1000, 1 << 30), "db": Resources(2000, 4 << 30)}
CLOUD, PRIVATE = SourceKind.CLOUD, SourceKind.PRIVATE
Decide = Callable[[MovesView, Callable[[str, int], Ask]], Moves | None]


@dataclass
class World:
    """Hosts with instances; `play` carries a decision out as the engine would: start, then stop, then give back."""

    hosts: dict[str, Candidate]
    where: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Service and host of every instance."""
    spread: tuple[SpreadOver, ...] = ()
    offers: tuple[Offer, ...] = ()
    limit: int = 10
    last: int = 100
    left: dict[str, set[str]] = field(default_factory=dict)
    """Hosts that each instance, under its first name, has left."""
    first_name: dict[str, str] = field(default_factory=dict)

    def put(self, service: str, host: str, count: int = 1) -> "World":
        for _ in range(count):
            self.last += 1
            self.where[f"{service}-{self.last}"] = service, host
        return self

    def ask_of(self, service: str, count: int) -> Ask:
        return Ask(f"shop/{service}", count, SIZES[service], spread=self.spread)

    def view(self) -> MovesView:
        on_host = Counter(host for _, host in self.where.values())
        return MovesView(
            now=NOW,
            instances=tuple(self.instance(name) for name in sorted(self.where)),
            on_host=on_host,
            candidates=tuple(self.candidate(host) for host in self.hosts.values()),
            sources={host: "racks" if one.kind is PRIVATE else "cloud" for host, one in self.hosts.items()},
            offers=self.offers,
            last_host=self.last,
            seed=1,
            limit=self.limit,
            stays_s=60.0,
        )

    def instance(self, name: str) -> Instance:
        service, host = self.where[name]
        return Instance(
            name, "shop", service, host, 1, InstanceState.SERVING, "plan-1", 0.0, SIZES[service], serving_at=1.0
        )

    def candidate(self, host: Candidate) -> Candidate:
        there = Counter(f"shop/{service}" for service, name in self.where.values() if name == host.host_id)
        sizes = [SIZES[key.partition("/")[2]] for key in there.elements()]
        used = Resources(sum(one.cpu_millis for one in sizes), sum(one.memory_bytes for one in sizes))
        return replace(host, used=used, instances=dict(there))

    def price(self) -> float:
        used = {host for _, host in self.where.values()}
        return round(sum(self.hosts[name].price_usd_per_hour for name in used), 6)

    def play(self, moves: Moves) -> None:
        for new in moves.host_plan.new_hosts:
            kind = new.offer.host_type
            self.hosts[new.host_id] = replace(cloud(new.host_id, kind.price_usd_per_hour), total=kind.resources)
        going = {name: list(ids) for name, ids in moves.relieved.items()}
        before = set(self.where)
        for one in moves.host_plan.placement.assignments:
            service = one.service.partition("/")[2]
            self.put(service, one.host_id)
            new, old = f"{service}-{self.last}", going[service].pop(0)
            self.first_name[new] = self.first_name.get(old, old)
            self.left.setdefault(self.first_name[new], set()).add(self.where[old][1])
            assert old in before, "only what served before is relieved"
        assert not any(going.values()), "each one that is relieved has a newcomer"
        self.fits()
        for ids in moves.relieved.values():
            for name in ids:
                del self.where[name]
        used = {host for _, host in self.where.values()}
        self.hosts = {name: one for name, one in self.hosts.items() if one.kind is PRIVATE or name in used}

    def fits(self) -> None:
        """The new ones have room while the old ones are still there."""
        for host in map(self.candidate, self.hosts.values()):
            assert host.used.fits_in(host.total), host


def cloud(name: str, price: float = 0.1, zone: str = "a") -> Candidate:
    return Candidate(name, Resources(4000, 8 << 30), Resources(0, 0), CLOUD, True, price, {"zone": zone})


def private(name: str, zone: str = "a") -> Candidate:
    return Candidate(name, Resources(4000, 8 << 30), Resources(0, 0), PRIVATE, True, 0.0, {"zone": zone})


def world(*hosts: Candidate, **changes: object) -> World:
    return World({host.host_id: host for host in hosts}, **changes)  # type: ignore[arg-type]


def offer(price: float, cpu_millis: int = 16000) -> Offer:
    return Offer("cloud", CLOUD, HostType("big", Resources(cpu_millis, 64 << 30), price), None)


def relieved_by(moves: Moves | None) -> set[str]:
    return {name for ids in moves.relieved.values() for name in ids} if moves else set()


def test_the_hosts_whose_going_saves_most_are_freed() -> None:
    here = world(cloud("c-1", 0.1), cloud("c-2", 0.5), cloud("c-3", 0.1), limit=50)
    here.put("web", "c-1", 2).put("db", "c-2", 1).put("web", "c-3", 2)
    moves = decide_consolidation(here.view(), here.ask_of)
    assert moves is not None
    assert {here.where[name][1] for name in relieved_by(moves)} == {"c-2"}, "its going saves five times as much"
    assert "so that c-2 can go, which saves $0.5 an hour" in moves.words
    here.play(moves)
    assert "c-2" not in here.hosts


def test_nothing_moves_where_nothing_is_won() -> None:
    full = world(cloud("c-1"), cloud("c-2")).put("web", "c-1", 4).put("web", "c-2", 4)
    assert decide_consolidation(full.view(), full.ask_of) is None
    alone = world(cloud("c-1")).put("web", "c-1", 2)
    assert decide_consolidation(alone.view(), alone.ask_of) is None
    shared = world(cloud("c-1"), cloud("c-2")).put("web", "c-1", 1).put("db", "c-2", 1)
    others = replace(shared.view(), on_host={"c-1": 2, "c-2": 2})
    assert decide_consolidation(others, shared.ask_of) is None, "others' instances keep both"


def test_an_empty_cloud_host_is_not_filled_so_that_another_can_go() -> None:
    here = world(cloud("c-1"), cloud("c-2")).put("web", "c-1", 2)
    assert decide_consolidation(here.view(), here.ask_of) is None


def test_a_service_on_two_hosts_or_domains_is_not_brought_onto_one() -> None:
    two = world(cloud("c-1"), cloud("c-2")).put("web", "c-1").put("web", "c-2")
    assert decide_consolidation(two.view(), two.ask_of) is None
    zones = world(
        cloud("c-1"), cloud("c-2"), cloud("c-3", zone="b"), spread=(SpreadOver("zone"),), limit=50
    ).put("web", "c-1", 1).put("web", "c-2", 1).put("web", "c-3", 1)  # fmt: skip
    moves = decide_consolidation(zones.view(), zones.ask_of)
    assert moves is not None
    zones.play(moves)
    assert {zones.hosts[host].labels["zone"] for _, host in zones.where.values()} == {"a", "b"}


def test_cheaper_hosts_are_bought_only_if_that_saves_enough() -> None:
    here = world(cloud("c-1", 0.2), cloud("c-2", 0.2), cloud("c-3", 0.2), offers=(offer(0.3),), limit=50)
    here.put("db", "c-1", 2).put("db", "c-2", 2).put("db", "c-3", 2).put("web", "c-1", 0)
    view = here.view()
    assert decide_consolidation(view, here.ask_of) is None, "at most a quarter of a service moves at once"
    many = world(*(cloud(f"c-{n}", 0.2) for n in range(12)), offers=(offer(0.3),), limit=50)
    for number in range(12):
        many.put("db", f"c-{number}", 2)
    moves = decide_consolidation(many.view(), many.ask_of)
    assert moves is not None
    assert len(moves.host_plan.new_hosts) == 1
    assert len(relieved_by(moves)) == 6
    assert "saves $0.3 an hour" in moves.words
    dear = replace(many, offers=(offer(0.55),))
    assert decide_consolidation(dear.view(), dear.ask_of) is None, "a twelfth is not worth it"


def test_a_host_with_more_than_may_move_at_once_is_freed_in_parts() -> None:
    here = world(private("p-1"), cloud("c-1"), cloud("c-2", 0.05), limit=2)
    here.put("web", "c-1", 3).put("web", "c-2", 1).put("db", "p-1", 0)
    before = here.price()
    for _ in range(9):
        moves = decide_moves(here.view(), here.ask_of) or decide_consolidation(here.view(), here.ask_of)
        if moves is None:
            break
        assert len(relieved_by(moves)) <= 2
        here.play(moves)
    assert here.price() < before


def test_a_service_is_spread_again_over_zones_that_came_back() -> None:
    hosts = (private("p-1"), private("p-2"), private("p-3", "b"))
    here = world(*hosts, spread=(SpreadOver("zone"),)).put("web", "p-1", 3).put("web", "p-2", 3)
    rounds = 0
    while moves := decide_rebalancing(here.view(), here.ask_of):
        assert len(relieved_by(moves)) <= budgets(here.view())["web"]
        assert "zone a had" in moves.words
        here.play(moves)
        rounds += 1
    assert Counter(here.hosts[host].labels["zone"] for _, host in here.where.values()) == {"a": 3, "b": 3}
    assert rounds == 3, "one at a time: a quarter of six"


def test_a_lean_within_the_skew_that_is_allowed_stays() -> None:
    here = world(private("p-1"), private("p-2", "b"), spread=(SpreadOver("zone", 3),))
    here.put("web", "p-1", 3).put("web", "p-2", 1)
    assert decide_rebalancing(here.view(), here.ask_of) is None
    here.put("web", "p-1", 1).put("web", "p-2", 0)
    assert decide_rebalancing(here.view(), here.ask_of) is None
    here.hosts["p-1"] = replace(here.hosts["p-1"], total=Resources(8000, 8 << 30))
    here.put("web", "p-1", 1)
    assert len(relieved_by(decide_rebalancing(here.view(), here.ask_of))) == 1


def test_all_on_one_host_is_one_too_many_if_another_one_is_in_use() -> None:
    here = world(private("p-1"), private("p-2")).put("web", "p-1", 2)
    assert decide_rebalancing(here.view(), here.ask_of) is None, "an empty host is about to be given back"
    here.put("db", "p-2")
    moves = decide_rebalancing(here.view(), here.ask_of)
    assert moves is not None
    assert "all 2 instances stood on p-1" in moves.words
    here.play(moves)
    assert sorted(host for service, host in here.where.values() if service == "web") == ["p-1", "p-2"]
    assert decide_rebalancing(here.view(), here.ask_of) is None


def test_only_hosts_that_cost_nothing_more_take_part_in_spreading() -> None:
    here = world(private("p-1"), cloud("c-1")).put("web", "p-1", 2)
    assert decide_rebalancing(here.view(), here.ask_of) is None


def test_newcomers_say_whom_they_relieve_and_what_for() -> None:
    here = world(private("p-1"), private("p-2")).put("web", "p-1", 2).put("db", "p-2")
    moves = decide_rebalancing(here.view(), here.ask_of)
    assert moves is not None
    new = replace(here.instance("web-101"), id="web-104", host_id="p-2", state=InstanceState.PLACED)
    (planned,) = relieving([PlannedInstance(new, "host p-2")], moves)
    (old,) = relieved_by(moves)
    assert planned.instance.replaces == old
    assert planned.why == f"host p-2; relieves {old}: all 2 instances stood on p-1"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    hosts = [
        *(private(f"p-{n}", draw(st.sampled_from("ab"))) for n in range(draw(st.integers(0, 3)))),
        *(
            cloud(f"c-{n}", draw(st.sampled_from([0.1, 0.1, 0.2, 0.5])), draw(st.sampled_from("ab")))
            for n in range(draw(st.integers(0, 9)))
        ),
    ]
    here = world(
        *hosts,
        spread=draw(st.sampled_from([(), (SpreadOver("zone"),), (SpreadOver("zone", 2),)])),
        offers=draw(st.sampled_from([(), (offer(0.3),), (offer(0.05, 4000),)])),
        limit=draw(st.integers(1, 12)),
    )
    for host in hosts:
        for _ in range(draw(st.integers(0, 4))):
            service = draw(st.sampled_from(sorted(SIZES)))
            if SIZES[service].fits_in(free(here, host)):
                here.put(service, host.host_id)
    return here


def free(here: World, host: Candidate) -> Resources:
    now = here.candidate(host)
    return Resources(
        now.total.cpu_millis - now.used.cpu_millis, now.total.memory_bytes - now.used.memory_bytes
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_moves_end_save_money_and_are_never_undone(here: World) -> None:
    here.hosts = {n: h for n, h in here.hosts.items() if h.kind is PRIVATE or here.candidate(h).instances}
    counts = Counter(service for service, _ in here.where.values())
    for _ in range(60):
        before, view = here.price(), here.view()
        moves = (
            decide_moves(view, here.ask_of)
            or decide_consolidation(view, here.ask_of)
            or decide_rebalancing(view, here.ask_of)
        )
        if moves is None:
            break
        bounds = budgets(view)
        assert all(len(ids) <= bounds[name] for name, ids in moves.relieved.items())
        assert sum(map(len, moves.relieved.values())) <= here.limit
        here.play(moves)
        assert here.price() <= before + 1e-9
        assert Counter(service for service, _ in here.where.values()) == counts
        for name, (_, host) in here.where.items():
            assert host not in here.left.get(here.first_name.get(name, name), ()), "it came back"
    else:
        pytest.fail("it never ends")


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_of_a_few_hosts_the_best_set_is_freed(here: World) -> None:
    """By brute force over all sets, where everything may move at once and nothing can be bought."""
    here.offers, here.limit, here.spread = (), 1000, ()
    view = here.view()
    freeable = [h for h in view.candidates if h.kind is CLOUD and h.instances]
    if len(freeable) > 5:
        return
    moves = decide_consolidation(view, here.ask_of)
    if moves is None:
        return
    before, bounds = here.price(), budgets(view)
    here.play(moves)
    assert before - here.price() > 0 or any(len(ids) == bounds[name] for name, ids in moves.relieved.items())


@pytest.mark.parametrize("decide", [decide_moves, decide_consolidation])
def test_nothing_moves_next_to_whom_it_avoids_on_a_host_that_is_full(decide: Decide) -> None:
    full = private("p-full") if decide is decide_moves else cloud("c-full")
    there = private("p-2") if decide is decide_moves else cloud("c-2", 0.1)
    here = world(full, there, cloud("c-away", 0.5, zone="b"), limit=50)
    here.put("db", full.host_id, 2).put("web", "c-away", 1)
    if decide is decide_consolidation:
        here.put("web", "c-2", 1)

    def shy(service: str, count: int) -> Ask:
        apart = (Neighbour("shop/db", "zone"),) if service == "web" else ()
        return replace(here.ask_of(service, count), apart=apart)

    assert decide(here.view(), shy) is None
    assert decide is decide_consolidation or decide(here.view(), here.ask_of) is not None
