"""Prometheus metrics, read from the store at each scrape: whichever controller is asked, the numbers are the same.

Only `dcp_faults` is about the controller that answers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from dcp import __version__
from dcp.engine import queries
from dcp.engine.context import Context
from dcp.engine.cost.report import charged_usd, prices_usd_per_hour
from dcp.engine.queries import HostSummary, ServiceSummary
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import LIVE
from dcp.store import edge, events, instances, leases, published


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scrape saw."""

    services: tuple[ServiceSummary, ...]
    instances: tuple[Instance, ...]
    hosts: tuple[HostSummary, ...]
    cost_usd: Mapping[tuple[str, str, str], float]
    """By cluster, source and billing."""
    events: int
    zombies: int
    """Entries that were published without a living instance, ever."""
    leases: dict[str, int]
    """Leases held now, by controller."""
    faults: dict[str, int]
    """Faults in dcp itself that the answering controller met lately."""
    proxies: dict[str, int] = field(default_factory=dict)
    """Proxies that run elsewhere, by whether they are counted on."""
    prices: Mapping[tuple[str, str, str, str], float] = field(default_factory=dict)
    """USD per hour by cluster, source, billing and state."""


def take_reading(connection: Connection, context: Context) -> Reading:
    """Return everything that the metrics are made of, in one transaction."""
    now = context.clock.now()
    return Reading(
        services=queries.services(connection),
        instances=instances.live(connection),
        hosts=queries.host_list(connection),
        cost_usd=charged_usd(connection, now),
        prices=prices_usd_per_hour(connection),
        events=events.count(connection),
        zombies=published.zombies(connection),
        proxies=Counter("counted" if proxy.counted else "away" for proxy in edge.proxies(connection)),
        leases=Counter(owner for owner, _ in leases.held(connection, now).values()),
        faults={context.controller_id: len(context.unexpected)},
    )


def exposition(reading: Reading) -> bytes:
    """Return the reading in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Once(reading))
    return generate_latest(registry)


class _Once(Collector):
    """Hands one reading to the registry's writer."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        yield _gauge("dcp_info", "The version that answers.", ["version"], [((__version__,), 1)])
        yield from _of_services(self._reading.services)
        yield from _of_fleet(self._reading)
        total = CounterMetricFamily("dcp_events", "Events in the log.")
        total.add_metric([], self._reading.events)
        yield total
        zombies = CounterMetricFamily("dcp_discovery_zombies", "Published entries removed without a living instance.")
        zombies.add_metric([], self._reading.zombies)
        yield zombies


def _of_services(services: tuple[ServiceSummary, ...]) -> Iterator[Metric]:
    labels = ["application", "service"]
    for name, words, attribute in (
        ("dcp_target_instances", "Instances wanted.", "target"),
        ("dcp_serving_instances", "Instances that take traffic.", "serving"),
        (
            "dcp_water_level",
            "Capacity of the serving instances divided by the live load; higher is safer.",
            "water_level",
        ),
        ("dcp_slow_ratio", "Share of completed requests slower than the service's slow threshold.", "slow_ratio"),
        ("dcp_requests_per_second", "Requests that arrived, in the last sample.", "requests_per_s"),
        ("dcp_requests_waiting", "Requests under way at the end of the last sample.", "waiting"),
    ):
        measured = [((s.application, s.name), getattr(s, attribute)) for s in services]
        yield _gauge(name, words, labels, [(key, value) for key, value in measured if value is not None])


def _of_fleet(reading: Reading) -> Iterator[Metric]:
    counts = Counter((i.application, i.service, str(i.state)) for i in reading.instances)
    keys = {(s.application, s.name) for s in reading.services} | {(i.application, i.service) for i in reading.instances}
    # States without an instance are written as 0, so that a rule on them does not fall silent.
    rows = [((*key, str(state)), counts[*key, str(state)]) for key in sorted(keys) for state in sorted(LIVE)]
    yield _gauge("dcp_instances", "Instances that have not ended.", ["application", "service", "state"], rows)
    hosts = Counter((h.source, h.kind, h.state) for h in reading.hosts)
    yield _gauge("dcp_hosts", "Hosts not given back.", ["source", "kind", "state"], sorted(hosts.items()))
    labels = ["cluster", "source", "billing"]
    words = "Price of all hosts that cost something now."
    yield _gauge("dcp_price_usd_per_hour", words, [*labels, "state"], sorted(reading.prices.items()))
    cost = CounterMetricFamily("dcp_cost_usd", "What hosts were charged so far.", labels=labels)
    for key, usd in sorted(reading.cost_usd.items()):
        cost.add_metric(list(key), usd)
    yield cost
    known = [((state,), reading.proxies.get(state, 0)) for state in ("away", "counted")] if reading.proxies else []
    yield _gauge("dcp_proxies", "Proxies that run elsewhere.", ["state"], known)
    held = [((owner,), count) for owner, count in sorted(reading.leases.items())]
    yield _gauge("dcp_leases_held", "Subjects that a controller works on.", ["controller"], held)
    faults = [((controller,), count) for controller, count in reading.faults.items()]
    yield _gauge(
        "dcp_faults", "Faults in dcp itself since the start, 100 at most; see the log.", ["controller"], faults
    )


def _gauge(name: str, words: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    gauge = GaugeMetricFamily(name, words, labels=labels)
    for key, value in rows:
        gauge.add_metric(list(key), value)
    return gauge
