"""A steady state gives no action: a week of ordinary noise, looked at every minute, on private and cloud hosts."""

import random
from collections.abc import Mapping
from dataclasses import replace

from test_decide_application import CLOUD, HOSTS, NOW, SPEC, running, sample, snapshot

from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.orchestration.capacity.model import Sample
from dcp.orchestration.scaling.decide import ServiceSnapshot, decide_application
from dcp.orchestration.scaling.model import ScalingState
from dcp.orchestration.scaling.plan import ApplicationPlan

MINUTES = 7 * 24 * 60
Windows = Mapping[str, list[Sample]]


CHEAPER = HostType("c0", Resources(1000, 1 << 30), price_usd_per_hour=0.09)
WHERE = {"feed": ("private-1", "cloud-3", "cloud-4", "cloud-4"), "user": ("private-1", "private-2", "cloud-3")}
CLOUDS = tuple(Host(f"cloud-{n}", "cloud", SourceKind.CLOUD, CLOUD, HostState.READY, requested_at=0.0) for n in (3, 4))
OWN = {
    name: tuple(running(name, host, 10 * position + number) for number, host in enumerate(hosts, 1))
    for position, (name, hosts) in enumerate(WHERE.items())
}
NEIGHBOUR = replace(running("other", "private-2", 99), application="another")
"""Home is full with it, so that nothing can go there."""


def plan_at(now: float, states: Mapping[str, ScalingState], windows: Windows, cheaper: HostType) -> ApplicationPlan:
    services = tuple(
        ServiceSnapshot(spec, states[spec.name], tuple(windows[spec.name]), OWN[spec.name], frozenset(), ())
        for spec in SPEC.services
    )
    return decide_application(
        snapshot(
            now=now,
            services=services,
            hosts=(*HOSTS, *CLOUDS),
            host_instances=(*OWN["feed"], *OWN["user"], NEIGHBOUR),
            offers=(
                Offer("private", SourceKind.PRIVATE, HOSTS[0].host_type, 0),
                Offer("cloud", SourceKind.CLOUD, CLOUD, None),
                Offer("cloud", SourceKind.CLOUD, cheaper, None),
            ),
        )
    )


def load_of(name: str) -> int:
    return 1_500 * len(WHERE[name])


def test_a_steady_week_changes_nothing_and_a_lower_price_does() -> None:
    rng = random.Random(7)
    states = {name: ScalingState(target=len(hosts)) for name, hosts in WHERE.items()}
    windows = {name: [sample(NOW - 60.0 * n, load_of(name), 40) for n in range(4, 0, -1)] for name in WHERE}
    for minute in range(MINUTES):
        now = NOW + 60.0 * minute
        for name, window in windows.items():
            windows[name] = [*window[-4:], sample(now, int(load_of(name) * rng.uniform(0.85, 1.15)), 40)]
        plan = plan_at(now, states, windows, CHEAPER)
        assert not plan.changes_anything, (minute, plan)
        states = {decision.service: decision.state for decision in plan.targets}
    sale = plan_at(now, states, windows, replace(CHEAPER, price_usd_per_hour=0.05))
    assert [one.host.host_type.price_usd_per_hour for one in sale.hosts] == [0.05]
