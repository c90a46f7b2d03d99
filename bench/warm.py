"""How long until every host of a site has an image, and what crosses the line: three ways, real and simulated.

Run `python bench/warm.py` as root (without root only the simulated part); it prints one JSON object and takes about
four minutes. The real part: 12 hosts in network namespaces with links of 20 MB/s each (tc), a registry behind a line
of 40 MB/s, an image of 100 MB in three layers (a scaled-down 1 GB, so that two processors are not the limit); mirrors
are `dcp mirror` processes, pulls are curl. The simulated part: 1,000 hosts with 1 GB and 2,600 with 3 GB, 300 MB/s a
host, a line of 10 Gbit/s. Both are driven by the production decision. `bound_s` is bytes over link speed for one host.
Kraken published 10 s (p50) and 18 s (p99) for 3 GB to 2,600 hosts at 300 MB/s each, with its agents running already:
compare `after_first_pull`, not `after_order`, which contains the start of the mirrors.
"""

import json
import sys
from dataclasses import replace
from typing import Any

from dcp.images.warming.estimate import choose_way
from dcp.images.warming.model import MB, Links, WarmHost, WarmImage, WarmingSettings
from dcp.simulation.warming import FluidFleet, WarmingRun, warm_site
from warm_fleet import RealFleet, RealSite, can_run

HOSTS = 12
IMAGE_BYTES = 100 * MB
REAL_LINKS = Links(line_bytes_s=40 * MB, host_bytes_s=20 * MB, hop_s=0.02)
SIMULATED = ((1_000, 1_000 * MB), (2_600, 3_000 * MB))
SIZES_MB = (100, 300, 1_000, 3_000, 10_000)
KRAKEN_S = {"p50": 10.0, "p99": 18.0}
REAL = WarmingSettings(mirror_image="x", links=REAL_LINKS, mirror_start_s=8.0, ratio=1 / 6, direct_pulls=HOSTS)
LARGE = WarmingSettings(mirror_image="x", max_mirrors=1_000)


def ways_of(settings: WarmingSettings) -> dict[str, WarmingSettings]:
    return {
        "direct": replace(settings, mirror_image=""),
        "mirrors_by_ratio": replace(settings, peers=False),
        "hosts_serving_each_other": settings,
    }


def shown(run: WarmingRun, size: int, settings: WarmingSettings) -> dict[str, Any]:
    first = run.first_pull_s
    return {
        "way": str(run.way),
        "after_order_s": {"p50": round(run.percentile(0.5), 2), "p99": round(run.percentile(0.99), 2)},
        "after_first_pull_s": {
            "p50": round(run.percentile(0.5) - first, 2),
            "p99": round(run.percentile(0.99) - first, 2),
            "last": round(run.seconds[-1] - first, 2),
        },
        "bound_s": round(size / min(settings.links.host_bytes_s, settings.links.line_bytes_s), 2),
        "line_bytes_over_image": round(run.line_bytes / size, 2),
        "mirrors": run.mirrors,
        "stripes": run.stripes,
    }


def real() -> dict[str, Any]:
    found: dict[str, Any] = {}
    site = RealSite(HOSTS, IMAGE_BYTES, REAL_LINKS.line_bytes_s, REAL_LINKS.host_bytes_s)
    try:
        site.up()
        for name, settings in ways_of(REAL).items():
            fleet = RealFleet(site, settings)
            try:
                print(f"real: {name} …", file=sys.stderr, flush=True)
                run = warm_site(fleet, site.hosts, site.image, settings, limit_s=150.0)
                row = shown(run, site.image.size_bytes, settings)
                row["mirrors_received_from_registry_over_image"] = round(
                    fleet.received_from_registry() / site.image.size_bytes, 2
                )
            finally:
                fleet.close()
            thought = simulated(site.hosts, site.image, settings)
            real_s, thought_s = row["after_first_pull_s"]["last"], thought["after_first_pull_s"]["last"]
            row |= {"simulated_last_s": thought_s, "real_over_simulated": round(real_s / thought_s, 2)}
            found[name] = row
    finally:
        site.down()
    return found


def simulated(
    hosts: tuple[WarmHost, ...], image: WarmImage, settings: WarmingSettings, slow: tuple[str, ...] = ()
) -> dict[str, Any]:
    direct_s = len(hosts) * image.size_bytes / settings.links.line_bytes_s
    coarse = {"look_every_s": max(0.2, direct_s / 500)} if not settings.mirror_image else {}
    step_s = direct_s / 2_000 if coarse else 0.0
    fleet = FluidFleet(hosts, settings, step_s=step_s, slow=slow)
    return shown(warm_site(fleet, hosts, image, settings, **coarse), image.size_bytes, settings)


def large() -> list[dict[str, Any]]:
    found = []
    for count, size in SIMULATED:
        hosts = tuple(WarmHost(f"h{number}", f"h{number}", True) for number in range(count))
        image = WarmImage("registry.example/x@sha256:" + "0" * 64, size)
        row: dict[str, Any] = {"hosts": count, "image_bytes": size}
        for name, settings in ways_of(LARGE).items():
            print(f"simulated: {count} hosts, {name} …", file=sys.stderr, flush=True)
            row[name] = simulated(hosts, image, settings)
        found.append(row)
    return found


def with_slow_hosts() -> dict[str, Any]:
    """One host in fifty at half the speed: what a slow parent does to those below it."""
    hosts = tuple(WarmHost(f"h{number}", f"h{number}", True) for number in range(1_000))
    image = WarmImage("registry.example/x@sha256:" + "0" * 64, 1_000 * MB)
    return simulated(hosts, image, LARGE, tuple(f"h{number}" for number in range(0, 1_000, 50)))


def curve() -> list[dict[str, Any]]:
    """What each size of image costs 1,000 hosts, by the sums that choose the way."""
    rows = []
    for megabytes in SIZES_MB:
        row: dict[str, Any] = {"image_mb": megabytes}
        for name, settings in ways_of(LARGE).items():
            estimate = choose_way(megabytes * MB, 1_000, 0, settings)
            row[name] = {"seconds": round(estimate.seconds, 1), "line_gb": round(estimate.line_bytes / 1e9, 1)}
        rows.append(row)
    return rows


def main() -> None:
    missing = list(can_run())
    result = {
        "real": {"not_run_without": missing} if missing else real(),
        "simulated": large(),
        "simulated_1000_hosts_1_gb_one_in_fifty_at_half_speed": with_slow_hosts(),
        "kraken_published_s": KRAKEN_S,
        "estimated_by_size_1000_hosts": curve(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
