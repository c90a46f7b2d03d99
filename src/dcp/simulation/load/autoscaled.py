"""An application under the model of the Kubernetes autoscalers: pods, hosts, the scheduler, and both loops.

Kinder than reality: pods start beside each other without a limit of the API, metrics are never missing, images are
there. Each service is scaled by itself; a pod takes traffic when it is ready, whatever its dependencies do.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.orchestration.services.model import ServiceSpec
from dcp.simulation.load.hpa import SYNC_S, Autoscaler, PodMetrics
from dcp.simulation.load.meter import TICK_S, Meter
from dcp.simulation.load.model import LoadResult, LoadScenario, Site

HOSTS_EVERY_S = 10.0
"""The cluster autoscaler looks this often."""
UNNEEDED_S = 600.0
"""A host that could be empty for so long is removed."""
SCRAPE_S = 15.0
NEVER = float("inf")


@dataclass(slots=True)
class Node:
    """A host. `ready_at`: when it runs."""

    ready_at: float
    cloud: bool
    free_millis: int
    empty_since: float


@dataclass(slots=True)
class Pod:
    """`node` None: pending."""

    node: Node | None = None
    ready_at: float = NEVER


@dataclass(slots=True)
class Deployment:
    """One service: its pods and what was scraped of them last."""

    spec: ServiceSpec
    autoscaler: Autoscaler
    pods: list[Pod]
    answered: float = 0.0
    scraped: PodMetrics = PodMetrics(0.0, 0, 0)

    def ready(self, now: float) -> int:
        return sum(1 for pod in self.pods if pod.ready_at <= now)


@dataclass(slots=True)
class Cluster:
    """Everything but the requests."""

    site: Site
    rng: random.Random
    deployments: Mapping[str, Deployment]
    nodes: list[Node] = field(default_factory=list)

    def schedule(self, now: float) -> None:
        """Give each pending pod the ready host with most room."""
        ready = [node for node in self.nodes if node.ready_at <= now]
        for deployment in self.deployments.values():
            need = deployment.spec.resources.cpu_millis
            for pod in deployment.pods:
                if pod.node is not None:
                    continue
                node = max(ready, key=lambda one: one.free_millis, default=None)
                if node is None or node.free_millis < need:
                    break
                node.free_millis -= need
                pod.node, pod.ready_at = node, now + self.rng.uniform(*self.site.start_s)

    def resize(self, deployment: Deployment, count: int, now: float) -> None:
        """Add pending pods, or remove: pending first, then those that are not ready, then the youngest."""
        pods = deployment.pods
        pods.extend(Pod() for _ in range(count - len(pods)))
        while len(pods) > count:
            pod = max(pods, key=lambda one: one.ready_at)
            pods.remove(pod)
            if pod.node is not None:
                pod.node.free_millis += deployment.spec.resources.cpu_millis
                if pod.node.free_millis == self.site.shape.cpu_millis:
                    pod.node.empty_since = now

    def ask_for_nodes(self, now: float) -> None:
        """Ask for the hosts that pending pods need beside those that are coming; remove what is not needed."""
        pending = sum(
            deployment.spec.resources.cpu_millis * sum(1 for pod in deployment.pods if pod.node is None)
            for deployment in self.deployments.values()
        )
        size = self.site.shape.cpu_millis
        coming = size * sum(1 for node in self.nodes if node.ready_at > now)
        for _ in range(-(-max(0, pending - coming) // size)):
            boots_at = now + self.rng.uniform(*self.site.boot_s)
            self.nodes.append(Node(boots_at, cloud=True, free_millis=size, empty_since=boots_at))
        self.nodes = [
            node
            for node in self.nodes
            if not (node.cloud and node.free_millis == size and now - node.empty_since >= UNNEEDED_S)
        ]


def simulate_autoscaled(scenario: LoadScenario, seed: int, target: float = 0.8) -> LoadResult:
    """Run a scenario once under the model, with CPU utilisation as the metric of every service."""
    meter = Meter(scenario)
    cluster = _cluster(scenario, seed, target)
    next_sync_s, next_scrape_s, next_hosts_s = SYNC_S, SCRAPE_S, HOSTS_EVERY_S
    cluster.schedule(0.0)
    while not meter.over:
        now = meter.at_s
        if now >= next_scrape_s:
            _scrape(meter, cluster, now)
            next_scrape_s += SCRAPE_S
        if now >= next_sync_s:
            for deployment in cluster.deployments.values():
                count = deployment.autoscaler.decide(now, len(deployment.pods), _seen(deployment))
                cluster.resize(deployment, count, now)
            next_sync_s += SYNC_S
        if now >= next_hosts_s:
            cluster.ask_for_nodes(now)
            next_hosts_s += HOSTS_EVERY_S
        cluster.schedule(now)
        serving = {name: one.ready(now) for name, one in cluster.deployments.items()}
        placed = sum(1 for one in cluster.deployments.values() for pod in one.pods if pod.node is not None)
        meter.tick(serving, placed, sum(1 for node in cluster.nodes if node.cloud))
    return meter.result(f"hpa-cpu-{target * 100:.0f}", seed)


def _cluster(scenario: LoadScenario, seed: int, target: float) -> Cluster:
    deployments = {
        service.name: Deployment(
            service,
            Autoscaler(target, service.min_instances, service.max_instances),
            [Pod() for _ in range(service.min_instances)],
        )
        for service in scenario.spec.services
    }
    cluster = Cluster(scenario.site, random.Random(f"{seed}/hpa"), deployments)
    size = scenario.site.shape.cpu_millis
    cluster.nodes = [
        Node(0.0, cloud=False, free_millis=size, empty_since=0.0) for _ in range(scenario.site.private_hosts)
    ]
    return cluster


def _scrape(meter: Meter, cluster: Cluster, now: float) -> None:
    """Remember what ready pods did since the last scrape; it is what the autoscaler sees until the next."""
    for name, deployment in cluster.deployments.items():
        queue, ready = meter.fluid.queues[name], deployment.ready(now - TICK_S)
        did = (queue.answered - deployment.answered) / (queue.requests_per_s * SCRAPE_S)
        deployment.answered = queue.answered
        deployment.scraped = PodMetrics(min(did, float(ready)), ready, 0)


def _seen(deployment: Deployment) -> PodMetrics:
    scraped = deployment.scraped
    measured = min(scraped.measured, len(deployment.pods))
    return PodMetrics(scraped.used, measured, len(deployment.pods) - measured)
