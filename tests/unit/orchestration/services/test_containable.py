"""What only containers can be given is refused where instances are processes, and the other way round."""

import pytest

from dcp.hosts.model import Resources
from dcp.orchestration.services.containable import problems_of_containers
from dcp.orchestration.services.container import (
    ContainerSpec,
    LogOptions,
    Mount,
    NetworkMode,
    Secret,
    SecretFile,
    VolumeKind,
)
from dcp.orchestration.services.model import ApplicationSpec, HealthCheck, ServiceSpec

SHAPE = Resources(250, 64 << 20)


def paths(*services: ServiceSpec, containers: bool, underlay: bool = False, others=()) -> list[str]:
    spec = ApplicationSpec("shop", services)
    found = problems_of_containers(spec, containers=containers, underlay=underlay, others=others)
    assert all(problem.hint for problem in found)
    return [problem.path for problem in found]


@pytest.mark.parametrize(
    ("container", "key"),
    [
        (ContainerSpec(user="1000"), "user"),
        (ContainerSpec(read_only=True), "read_only"),
        (ContainerSpec(cap_add=("CHOWN",)), "cap_add"),
        (ContainerSpec(pids_limit=5), "pids_limit"),
        (ContainerSpec(mounts=(Mount(VolumeKind.TMPFS, "/t"),)), "volumes"),
        (ContainerSpec(secrets=(SecretFile("s", Secret("x"), "/run/secrets/s"),)), "secrets"),
        (ContainerSpec(extra_hosts=(("db", "10.0.0.7"),)), "extra_hosts"),
        (ContainerSpec(host_port=8080), "ports"),
        (ContainerSpec(network=NetworkMode.UNDERLAY), "x-dcp.network"),
    ],
)
def test_processes_are_not_given_what_only_containers_can_have(container, key):
    service = ServiceSpec("a", ("run",), SHAPE, container=container)
    assert paths(service, containers=False) == [f"services.a.{key}"]


def test_what_changes_nothing_for_a_process_is_no_problem():
    harmless = ContainerSpec(network=NetworkMode.BRIDGE, init=True, logs=LogOptions("local"), entrypoint=("run",))
    assert paths(ServiceSpec("a", ("run",), SHAPE, container=harmless), containers=False) == []


def test_a_process_needs_a_command_and_a_container_an_image():
    assert paths(ServiceSpec("a", (), SHAPE, image="x"), containers=False) == ["services.a.command"]
    assert paths(ServiceSpec("a", ("run",), SHAPE), containers=True) == ["services.a.image"]
    assert paths(ServiceSpec("a", (), SHAPE, image="x"), containers=True) == []


def test_an_underlay_network_must_be_there():
    service = ServiceSpec("a", (), SHAPE, image="x", container=ContainerSpec(network=NetworkMode.UNDERLAY))
    assert paths(service, containers=True) == ["services.a.x-dcp.network"]
    assert paths(service, containers=True, underlay=True) == []


def test_a_health_check_over_a_network_needs_the_port_inside():
    bridge = ContainerSpec(network=NetworkMode.BRIDGE)
    service = ServiceSpec("a", (), SHAPE, image="x", health=HealthCheck(http_path="/"), container=bridge)
    assert paths(service, containers=True) == ["services.a.ports"]


def test_a_fixed_port_of_the_hosts_is_one_services_only():
    one, two = (ServiceSpec(n, (), SHAPE, image="x", container=ContainerSpec(host_port=80)) for n in ("a", "b"))
    assert paths(one, two, containers=True) == ["services.b.ports"]
    assert paths(one, containers=True, others=(ApplicationSpec("blog", (two,)),)) == ["services.a.ports"]
    assert paths(one, containers=True, others=(ApplicationSpec("shop", (two,)),)) == [], "its own older revision"
    assert one.most_per_host == 1
