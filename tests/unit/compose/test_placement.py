"""Where a service may stand: every key, and what is wrong with it."""

import pytest
from compose_files import Written, one_service

from dcp.orchestration.services.placement import PlacementRules, PlacementWishes
from dcp.scheduling.model import FULLEST_FIRST, Neighbour, SpreadOver

FILE = """
services:
  web:
    image: shop/web:1
    command: [serve]
    cpus: 1
    mem_limit: 64m
    deploy:
      resources:
        reservations:
          generic_resources: [{discrete_resource_spec: {kind: GPU, value: 2}}]
      placement:
        preferences: [{spread: node.labels.site}, {spread: node.labels.zone}]
    x-dcp:
      placement:
        sites: fra
        hardware: [gen9, gen10]
        dedicated: ads
        disk: 10G
        heavy: encode
        leans: cpu
        empty_hosts: true
        beside: [cache]
        apart: [web, {service: other/feed, within: zone, preferred: true}]
        spread: [{over: zone, max_skew: 2}]
        strategy: fullest
        weights: {spread: 5, image: 0}
        priority: 10
        group: checkout
  cache: {image: "shop/cache:1", command: [serve], cpus: 1, mem_limit: 64m}
"""


def test_every_key_is_read(written: Written) -> None:
    web, cache = written.read(FILE).spec.services
    assert web.rules == PlacementRules(
        sites=("fra",),
        hardware=("gen9", "gen10"),
        dedicated="ads",
        heavy="encode",
        leans="cpu",
        empty_only=True,
        beside=(Neighbour("cache"),),
        apart=(Neighbour("web"), Neighbour("other/feed", "zone", preferred=True)),
        spread=(SpreadOver("site"), SpreadOver("zone", 2)),
    )
    assert web.wishes == PlacementWishes("fullest", (("image", 0.0), ("spread", 5.0)), 10, "checkout")
    assert web.wishes.weighed().full == FULLEST_FIRST.full
    assert web.wishes.weighed().spread == 5.0
    assert (web.resources.disk_bytes, web.resources.extra) == (10 << 30, (("gpu", 2),))
    assert (cache.rules, cache.wishes) == (PlacementRules(), PlacementWishes())


@pytest.mark.parametrize(
    ("placement", "path", "words"),
    [
        ("beside: [nobody]", "beside.0", "there is no service 'nobody'"),
        ("apart: [nobody]", "apart.0", "there is no service 'nobody'"),
        ("beside: [a]", "beside.0", "cannot wait for itself"),
        ("apart: [{service: a, preferred: true}]", "apart.0", "rather apart from itself anyway"),
        ("apart: [{service: b, within: '?'}]", "apart.0.within", "is not a label"),
        ("spread: [{over: zone, max_skew: 0}]", "spread.0.max_skew", "1 or more"),
        ("weights: {beauty: 3}", "weights.beauty", "is not a part of the score"),
        ("priority: 5000", "priority", "out of range"),
        ("strategy: worst", "strategy", "worst"),
        ("leans: gpu", "leans", "gpu"),
        ("sites: ['a b']", "sites", "is not a word"),
        ("nonsense: 1", "nonsense", "not a key that dcp knows"),
    ],
)
def test_a_fault_names_its_path(written: Written, placement: str, path: str, words: str) -> None:
    faults = written.faults(one_service(f"x-dcp: {{placement: {{{placement}}}}}"))
    found = {where: what for where, what in faults.items() if where.endswith(f"x-dcp.placement.{path}")}
    assert found, faults
    assert words in " ".join(found.values())


@pytest.mark.parametrize(
    ("deploy", "path"),
    [
        ("placement: {preferences: [{spread: zone}]}", "deploy.placement.preferences.0.spread"),
        (
            "resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: memory, value: 1}}]}}",
            "deploy.resources.reservations.generic_resources.0",
        ),
    ],
)
def test_a_fault_of_composes_own_keys_names_its_path(written: Written, deploy: str, path: str) -> None:
    assert f"services.a.{path}" in written.faults(one_service(f"deploy: {{{deploy}}}"))
