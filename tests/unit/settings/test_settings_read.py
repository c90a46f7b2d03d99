"""What a configuration file becomes, and how its faults are told."""

import pytest

from dcp.hosts.model import Resources
from dcp.kernel.errors import InvalidInput
from dcp.orchestration.scaling.model import Policy, Timing
from dcp.settings.machine import Machine
from dcp.settings.model import FakeCloudSource, PrivateSource
from dcp.settings.read import parse_settings, read_settings

MACHINE = Machine(cpus=16, memory_bytes=64 * 1024**3)


def problems_of(text: str) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(text, "dcp.yaml", MACHINE)
    return {problem.path: str(problem) for problem in caught.value.problems}


def test_without_a_file_this_machine_is_shared_by_eight_slices_and_no_cloud_is_used():
    (source,) = read_settings(None, MACHINE).sources
    assert isinstance(source, PrivateSource)
    assert (source.name, source.hosts) == ("local", 8)
    assert source.host_type.resources == Resources(2000, 6 * 1024**3)


def test_a_small_machine_promises_its_processors_more_than_once_and_never_its_memory():
    (source,) = read_settings(None, Machine(cpus=2, memory_bytes=8 * 1024**3)).sources
    assert source.host_type.resources == Resources(1000, 8 * 1024**3 * 3 // 4 // 8)


def test_time_scale_divides_the_windows_only():
    engine = parse_settings("time_scale: 60\ntiming: {sample_s: 120}", "dcp.yaml", MACHINE).engine
    assert engine.timing == Timing(sample_s=120).scaled(60)
    assert engine.lease_ttl_s == 6


def test_every_part_reaches_what_it_is_for():
    settings = parse_settings(
        """
        policy: dependency-first
        sources:
          - {name: rack, kind: private, hosts: 3, cpus: 4, memory: 2G, price_usd_per_hour: 0.1, labels: {zone: 1}}
          - name: burst
            kind: fake-cloud
            types: [{name: s, cpus: 0.5, memory: 512M, boot_s: 2}, {name: l, cpus: 2, memory: 2G, stock: 4}]
        balancer: {listen_address: 0.0.0.0, internal_ports: 30000-30009, admin_port: 9901}
        runtime: {ports: 31000-31999, cgroup_parent: mine}
        engine: {lease_ttl_s: 2, seed: 7}
        """,
        "dcp.yaml",
        MACHINE,
    )
    rack, burst = settings.sources
    assert (rack.host_type.resources, rack.host_type.labels) == (Resources(4000, 2 * 1024**3), (("zone", "1"),))
    assert isinstance(burst, FakeCloudSource)
    assert ([t.name for t in burst.types], burst.stock) == (["s", "l"], (("l", 4),))
    engine = settings.engine
    assert (engine.policy, engine.lease_ttl_s, engine.seed) == (Policy.DEPENDENCY_FIRST, 2, 7)
    assert (engine.listen_address, engine.listen_ports) == ("0.0.0.0", (30000, 30009))
    assert (settings.balancer.admin_port, settings.runtime.ports) == (9901, (31000, 31999))
    assert settings.runtime.cgroup_parent == "mine"


def test_unknown_keys_are_named_with_path_line_and_the_nearest_known_one():
    found = problems_of(
        "polcy: gated\ntiming:\n  smaple_s: 3\nsources:\n  - {name: a, kind: private, hosts: 1, cpu: 2}"
    )
    assert found["polcy"] == "polcy: line 1: this key is not known (did you mean policy?)"
    assert "line 3" in found["timing.smaple_s"] and "sample_s" in found["timing.smaple_s"]
    assert "cpus" in found["sources.0.cpu"]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("policy: best", "policy", "'gated'"),
        ("time_scale: 0", "time_scale", "greater than or equal to 1"),
        ("timing: {agree: 6}", "timing", "only 5 samples"),
        ("timing: {release_shares: [0.5, 0.1]}", "timing.release_shares", "rise"),
        ("sources: []", "sources", "at least 1"),
        ("sources: [{name: a, kind: aws}]", "sources.0", "fake-cloud"),
        ("sources: [{name: a}]", "sources.0", "kind is missing"),
        ("sources: [{name: a, kind: private, hosts: 1, memory: lots}]", "sources.0.memory", "64M"),
        ("sources: [{name: a, kind: private, hosts: 1, cpus: 0}]", "sources.0.cpus", "above 0"),
        ("sources: [{name: A b, kind: private, hosts: 1}]", "sources.0.name", "lower-case"),
        ("sources: [{name: a, kind: private, hosts: 1, labels: {a b: c}}]", "sources.0.labels.a b.[key]", "pattern"),
        ("balancer: {internal_ports: 9-1}", "balancer.internal_ports", "18000-18999"),
        ("runtime: {ports: 1-70000}", "runtime.ports", "range of ports"),
        ("runtime: {ports: 18500-19500}", "", "overlap"),
        ("balancer: {kind: haproxy, admin_port: 9000}", "balancer", "haproxy has no admin_port"),
        ("balancer: {kind: haproxy, workers: 65}", "balancer", "64 workers at most"),
        ("balancer: {binary: /usr/sbin/haproxy}", "balancer", "binary is for kind haproxy"),
        ("engine: {keep_samples_s: 60}", "", "keep_samples_s"),
        ("engine: {lease_ttl_s: soon}", "engine.lease_ttl_s", "'soon'"),
        ("engine: 3", "engine", "mapping"),
        ("- a", "dcp.yaml", "mapping"),
        ("policy: gated\npolicy: gated", "policy", "twice"),
        ("policy: [", "dcp.yaml:1", "YAML"),
    ],
)
def test_a_fault_has_its_path_and_says_what_would_be_right(text: str, path: str, words: str):
    assert words in problems_of(text)[path]


def test_two_sources_of_one_name_are_refused():
    one = "{name: a, kind: private, hosts: 1}"
    assert "two sources called a" in problems_of(f"sources: [{one}, {one}]")[""]


def test_a_file_that_cannot_be_read_is_a_wrong_input(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_settings(tmp_path / "absent.yaml")


def test_the_token_server_is_told_the_registry_and_its_sites():
    text = "access: {url: 'https://dcp.example.com/', token_ttl_s: 120}\nregistry: {name: hub.example.com:5000, sites: "
    text += "[{name: a, url: 'http://10.0.0.1:5000'}]}"
    access = parse_settings(text, "dcp.yaml", MACHINE).access
    assert (access.url, access.registry, access.sites) == ("https://dcp.example.com", "hub.example.com:5000", ("a",))
    assert access.token_ttl_s == 120 and access.service == "dcp-registry"


def test_faults_of_access_are_told():
    found = problems_of("access: {url: dcp.example.com, token_ttl_s: 10, failures: 0, realm: x}")
    assert "not an address such as" in found["access.url"]
    assert {"access.token_ttl_s", "access.failures", "access.realm"} <= set(found)


def test_disk_and_named_resources_reach_every_kind_of_host():
    settings = parse_settings(
        """
        sources:
          - {name: rack, kind: private, hosts: 1, cpus: 4, memory: 2G, disk: 1T, resources: {gpu: 2, none: 0}}
          - name: burst
            kind: fake-cloud
            types: [{name: s, cpus: 1, memory: 1G, resources: {gpu: 1}}]
        """,
        "dcp.yaml",
        MACHINE,
    )
    rack, burst = settings.sources
    assert rack.host_type.resources == Resources(4000, 2 << 30, 1 << 40, (("gpu", 2),))
    assert burst.types[0].resources == Resources(1000, 1 << 30, 0, (("gpu", 1),))


def test_a_named_resource_is_none_of_the_plain_ones():
    pool = "sources: [{name: rack, kind: private, hosts: 1, resources: {%s}}]"
    assert "has a key of its own" in str(problems_of(pool % "memory: 3"))
    assert "whole number" in str(problems_of(pool % "gpu: 1.5"))
