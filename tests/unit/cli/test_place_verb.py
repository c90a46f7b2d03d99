"""Rules of a Compose file, `dcp place` and `dcp why`, as somebody at the command line sees them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import Dcp, make_context, served

from dcp.drivers.clouds.private import PrivateHosts, PrivatePool
from dcp.engine.context import Context
from dcp.hosts.model import HostType, Resources

FILE = """
name: shop
services:
  web:
    command: [serve]
    deploy:
      replicas: 2
      placement: {preferences: [{spread: node.labels.zone}]}
      resources:
        limits: {cpus: "0.5", memory: 64M}
        reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 1}}]}
    x-dcp:
      elastic: {min: 2, max: 8}
      capacity: {units_per_s: 400, requests_per_s: 100}
      placement: {spread: [{over: zone, max_skew: 1}]}
  noisy:
    command: [serve]
    deploy: {placement: {constraints: [node.labels.zone==c]}, resources: {limits: {cpus: "0.1", memory: 64M}}}
    x-dcp: {placement: {apart: [web]}}
"""


def two_zones(folder: Path) -> Context:
    """Two hosts in each of zones a and b with a GPU each, and one in zone c without."""
    size = Resources(1000, 1 << 30)
    with_gpu = replace(size, extra=(("gpu", 1),))
    parts = [
        PrivateHosts(HostType(f"host-{zone}", shape, labels=(("zone", zone),)), count)
        for zone, shape, count in (("a", with_gpu, 2), ("b", with_gpu, 2), ("c", size, 1))
    ]
    return replace(make_context(folder), sources=(PrivatePool("local", None, parts),))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dcp]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(FILE)
    with served(folder, two_zones) as command:
        result = command("apply", str(folder / "shop.yaml"))
        assert result.exit_code == 0, result.output
        yield command


def hosts_of(shop: Dcp, service: str) -> list[str]:
    found = json.loads(shop("instances", "--json").stdout)["instances"]
    return [one["host"] for one in found if one["service"] == service and one["ended_at"] is None]


def zone_of(shop: Dcp, host_id: str) -> str:
    (found,) = (one for one in json.loads(shop("hosts", "--json").stdout)["hosts"] if one["id"] == host_id)
    return str(found["type"]).removeprefix("host-")


def test_rules_of_the_file_hold(shop: Dcp) -> None:
    assert sorted(zone_of(shop, one) for one in hosts_of(shop, "web")) == ["a", "b"]
    assert not set(hosts_of(shop, "noisy")) & set(hosts_of(shop, "web"))


def test_why_names_the_domain_or_what_came_next(shop: Dcp) -> None:
    instances = json.loads(shop("instances", "--json").stdout)["instances"]
    web, noisy = (next(one["id"] for one in instances if one["service"] == name) for name in ("web", "noisy"))
    assert "had the fewest" in shop("why", web).stdout.replace("\n", " ")
    said = " ".join(shop("why", noisy).stdout.split())
    assert "next " in said or "no other host would take it" in said


def test_a_dry_run_says_where_and_what_would_help(shop: Dcp) -> None:
    before = shop("instances", "--json").stdout
    shown = shop("place", "web=8", "--dry-run")
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.stdout.split())
    assert "would be applied to shop" in said
    assert "shop/web: 4 instances fit on no host (6 were asked for)" in said
    assert "without 1 gpu free" in said
    assert shop("instances", "--json").stdout == before
    found = json.loads(shop("place", "web=3", "--dry-run", "--json").stdout)
    assert [one["instance"]["service"] for one in found["instances"]] == ["web"]
    assert shop("place", "web=3").exit_code == 0
