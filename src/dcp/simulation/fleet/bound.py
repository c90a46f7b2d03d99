"""The bound that the same clouds give an asker who knows all but the stock, with the same limits of their APIs.

That asker begins when the demand does, is never throttled, because it knows the limits, and keeps its calls under way
without a gap, each as short as calls can be. Nobody knows what a cloud has where: calls that were under way before the
first answer that a place is out of stock are refused to this asker too, and count against its limits; later ones are
not. It asks for as many hosts as dcp was given, and the machines it gets are those that dcp got, in the same order: the
same boot times, the same ones that are never ready. It uses a host the moment it runs, and the instance there takes as
long to start as it took with dcp. What dcp takes longer than this is dcp's own share: deciding, refusals that it could
have known of, waiting between looks, hosts noticed late, instances started late.
"""

import heapq
import math
from collections.abc import Mapping, Sequence

from dcp.simulation.fleet.scenario import CloudScenario, FleetScenario


def bound_s(
    scenario: FleetScenario,
    boots_s: Sequence[Mapping[str, float]],
    lost: Mapping[str, int],
    starts_s: Mapping[str, float],
    wanted: int,
) -> float:
    """Return seconds from the demand until `wanted` instances can serve on cloud hosts; infinite if they never can.

    `boots_s`: of each account, the boot times of the machines it gave, in their order, by host; `lost`: creations that
    a place out of stock had refused unforeseeably before; `starts_s`: how long instances took to start, by host.
    """
    least_s = scenario.start_s[0]
    serving_s = [
        created_after_s(scenario.cloud, number + lost.get(host, 0)) + boot_s + starts_s.get(host, least_s)
        for account in boots_s
        for number, (host, boot_s) in enumerate(account.items())
        if math.isfinite(boot_s)
    ]
    if wanted <= 0:
        return least_s
    first = heapq.nsmallest(wanted, serving_s)
    return first[-1] if len(first) == wanted else math.inf


def created_after_s(cloud: CloudScenario, number: int) -> float:
    """Return when an account can have answered for the machine `number` (from 0) at the earliest, made or refused."""
    shortest_s = cloud.call_s[0]
    by_flight_s = (number // cloud.in_flight) * shortest_s
    by_rate_s = max(0.0, (number + 1 - cloud.burst) * 60 / cloud.creations_per_min)
    return max(by_flight_s, by_rate_s) + shortest_s
