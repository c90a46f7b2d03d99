"""Spares are asked for by need, go back when nobody waits, and what waits goes to hosts that are ready."""

from dataclasses import replace

from dcp.hosts.boots import SpareSettings
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.scaling.rebind import decide_rebinds
from dcp.orchestration.scaling.spares import SparesView, decide_spares, late_spares
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import InstanceState
from dcp.scheduling.model import Ask, Candidate, Neighbour

SHAPE = Resources(1000, 1 << 30)
NOTHING = Resources(0, 0)
RISKY = SpareSettings(max_share=0.2, expected_failures=0.05)


def host(name: str, state: HostState = HostState.BOOTING, kind: SourceKind = SourceKind.CLOUD) -> Host:
    return Host(name, "cloud", kind, HostType("c1", SHAPE), state, requested_at=0.0, billed_from=0.0)


def instance(name: str, host_id: str, state: InstanceState = InstanceState.PLACED) -> Instance:
    return Instance(name, "shop", "web", host_id, 1, state, "plan-1", 0.0, SHAPE)


def candidate(name: str, used: Resources = NOTHING) -> Candidate:
    return Candidate(name, SHAPE, used, SourceKind.CLOUD, True, 0.1, {}, {})


def ask(_service: str, count: int) -> Ask:
    return Ask("shop/web", count, SHAPE)


def test_no_spare_is_asked_for_without_a_sign_of_failures() -> None:
    assert decide_spares(SparesView(0.0, SpareSettings(), (), (), new=100)).count == 0


def test_spares_are_bounded_and_not_asked_for_twice() -> None:
    first = decide_spares(SparesView(0.0, RISKY, (), (), new=100))
    assert 5 <= first.count <= 20
    coming = tuple(host(f"h{number}") for number in range(100 + first.count))
    taken = {f"h{number}" for number in range(100)}
    assert decide_spares(SparesView(0.0, RISKY, coming, taken, new=0)).count == 0


def test_late_hosts_go_back_once_nobody_waits_for_any() -> None:
    spare, busy = host("spare"), host("busy")
    ready = host("ready", HostState.READY)
    own = host("own", kind=SourceKind.PRIVATE)
    assert late_spares((spare, busy, ready, own), (spare, ready, own), {"busy"}) == ()
    assert [one.id for one, _ in late_spares((spare, ready, own), (spare, own), {"ready"})] == ["spare"]
    assert late_spares((spare, ready), (spare,), {"ready"}, keep={"spare"}) == ()


def test_what_waits_goes_to_a_ready_host_with_room_only() -> None:
    hosts = {one.id: one for one in (host("late"), host("later", HostState.REQUESTED))}
    waiting = [instance("web-1", "late"), instance("web-2", "later")]
    (found,) = decide_rebinds(waiting, hosts, (candidate("ready"), candidate("full", SHAPE)), ask, 0)
    assert (found.instance.id, found.host_id) == ("web-2", "ready")


def test_what_was_started_leaves_or_waits_for_a_private_host_stays() -> None:
    hosts = {"late": host("late"), "own": host("own", kind=SourceKind.PRIVATE)}
    kept = [
        instance("web-1", "late", InstanceState.STARTING),
        replace(instance("web-2", "late"), leave_reason="shrink"),
        instance("web-3", "own"),
    ]
    assert decide_rebinds(kept, hosts, (candidate("ready"),), ask, 0) == ()


def test_what_depends_on_other_hosts_waits_for_its_own() -> None:
    hosts, waiting = {"late": host("late")}, [instance("web-1", "late")]
    apart = (Neighbour("shop/web", "zone"),)
    found = decide_rebinds(waiting, hosts, (candidate("ready"),), lambda *a: replace(ask(*a), apart=apart), 0)
    assert found == ()
    assert decide_rebinds(waiting, hosts, (candidate("ready"),), ask, 0, avoided={"shop/web"}) == ()
