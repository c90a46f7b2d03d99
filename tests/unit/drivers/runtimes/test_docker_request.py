"""What the engine is asked to make, and what its answers mean: pure parts of the docker runtime."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dcp.drivers.runtimes.docker import seen
from dcp.drivers.runtimes.docker.api import EngineRefused
from dcp.drivers.runtimes.docker.forwarding import Forwarding, remove_leftovers, ssh_command
from dcp.drivers.runtimes.docker.image_names import digest_of, name_of
from dcp.drivers.runtimes.docker.kept_logs import MAX_LINES, MAX_LOGS, KeptLogs
from dcp.drivers.runtimes.docker.log_text import lines_of
from dcp.drivers.runtimes.docker.refusals import translate
from dcp.drivers.runtimes.docker.request import Given, check_order, creation, digest
from dcp.drivers.runtimes.docker.secrets import archive, folders
from dcp.hosts.model import Resources
from dcp.kernel.errors import DriverError, Rejected, Unreachable
from dcp.orchestration.services.container import (
    ContainerSpec,
    LogOptions,
    Mount,
    NetworkMode,
    Secret,
    SecretFile,
    VolumeKind,
)
from dcp.orchestration.services.model import HealthCheck, ServiceKey, StartOrder

ORDER = StartOrder(
    instance_id="cart-1",
    host_id="h1",
    service=ServiceKey("shop", "cart"),
    command=("run", "fast"),
    resources=Resources(cpu_millis=1500, memory_bytes=64 << 20),
    image="box:1",
    environment=(("A", "1"),),
    working_dir="/home/me/compose",
    target_port=8080,
    stop_grace_s=7.4,
)
GIVEN = Given("me", "sha256:id", 20001)
SECRET = SecretFile("key", Secret("deep"), "/run/secrets/key", uid=7, gid=8, mode=0o440)


def body(given: Given = GIVEN, *, order: StartOrder = ORDER, **container: Any) -> dict[str, Any]:
    return creation(replace(order, container=ContainerSpec(**container)), given)


def test_an_instance_has_no_right_that_it_was_not_given():
    host = body()["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"], host["SecurityOpt"]) == (["ALL"], [], ["no-new-privileges"])
    assert host["RestartPolicy"] == {"Name": "no"}, "dcp replaces"
    assert "Privileged" not in host and "CgroupParent" not in host
    assert body(cap_add=("NET_ADMIN",))["HostConfig"]["CapAdd"] == ["NET_ADMIN"]


def test_limits_are_those_of_the_order_and_swap_adds_nothing():
    host = body(pids_limit=9)["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == 1.5
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert host["PidsLimit"] == 9
    none = body(order=replace(ORDER, resources=Resources(0, 0)))["HostConfig"]
    assert not {"CpuQuota", "Memory", "PidsLimit"} & none.keys()


def test_the_folder_of_the_compose_file_means_nothing_inside():
    assert "WorkingDir" not in body()
    assert body(working_dir="/app")["WorkingDir"] == "/app"


def test_the_command_stands_after_the_images_entrypoint_or_begins_with_its_own():
    assert body()["Cmd"] == ["run", "fast"] and "Entrypoint" not in body()
    own = body(entrypoint=("run",))
    assert (own["Entrypoint"], own["Cmd"]) == (["run"], ["fast"])
    assert "Cmd" not in body(order=replace(ORDER, command=()))


@pytest.mark.parametrize(
    ("mode", "inner", "reached", "bound"),
    [
        (NetworkMode.HOST, "20001", "20001", None),
        (NetworkMode.BRIDGE, "8080", "20001", {"8080/tcp": [{"HostPort": "20001"}]}),
        (NetworkMode.UNDERLAY, "8080", "8080", None),
    ],
)
def test_ports_by_network(mode: NetworkMode, inner: str, reached: str, bound: Any):
    order = replace(ORDER, address="10.1.0.200")
    made = body(replace(GIVEN, network="site-net"), order=order, network=mode)
    assert made["Env"] == ["A=1", f"PORT={inner}"]
    assert made["Labels"][seen.PORT] == reached
    assert made["HostConfig"].get("PortBindings") == bound
    own = {"site-net": {"IPAMConfig": {"IPv4Address": "10.1.0.200"}}}
    assert made.get("NetworkingConfig", {}).get("EndpointsConfig") == (own if mode is NetworkMode.UNDERLAY else None)


def test_logs_are_bounded_unless_another_driver_is_asked_for():
    assert body()["HostConfig"]["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert body(logs=LogOptions("", (("max-size", "1m"),)))["HostConfig"]["LogConfig"]["Config"]["max-size"] == "1m"
    journal = body(logs=LogOptions("journald", (("tag", "x"),)))["HostConfig"]["LogConfig"]
    assert journal == {"Type": "journald", "Config": {"tag": "x"}}


def test_mounts():
    mounts = (
        Mount(VolumeKind.VOLUME, "/data", "cart-data"),
        Mount(VolumeKind.BIND, "/etc/x", "/srv/x", read_only=True),
        Mount(VolumeKind.TMPFS, "/tmp", size_bytes=5),
    )
    made = body(mounts=mounts)["HostConfig"]["Mounts"]
    assert made == [
        {"Type": "volume", "Target": "/data", "ReadOnly": False, "Source": "cart-data"},
        {"Type": "bind", "Target": "/etc/x", "ReadOnly": True, "Source": "/srv/x"},
        {"Type": "tmpfs", "Target": "/tmp", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 5}},
    ]


def test_a_secret_is_in_the_archive_and_nowhere_else():
    made = body(secrets=(SECRET,))
    assert "deep" not in json.dumps(made)
    assert made["HostConfig"]["Mounts"] == [{"Type": "volume", "Target": "/run/secrets"}]
    assert folders((SECRET,)) == ("/run/secrets",)
    with tarfile.open(fileobj=io.BytesIO(archive((SECRET,), "/run/secrets"))) as tar:
        (entry,) = tar.getmembers()
        content = tar.extractfile(entry)
        assert content is not None and content.read() == b"deep"
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("key", 0o440, 7, 8)


def test_the_digest_of_an_order_tells_orders_apart_but_no_secrets():
    with_secret = replace(ORDER, container=ContainerSpec(secrets=(SECRET,)))
    other_text = replace(ORDER, container=ContainerSpec(secrets=(replace(SECRET, value=Secret("other")),)))
    assert digest(with_secret) == digest(other_text) != digest(ORDER)
    assert digest(replace(ORDER, environment=())) != digest(ORDER)


def test_labels_carry_everything_that_a_restarted_controller_needs():
    health = HealthCheck(command=("test", "-e", "/x"), timeout_s=2.5)
    labels = body(order=replace(ORDER, health=health))["Labels"]
    found = seen.Seen("c1", labels, seen.Phase.RUNNING)
    assert found.health is not None
    assert (found.health.command, found.health.timeout_s) == (health.command, 2.5)
    observation = found.observation("10.0.0.1")
    assert (observation.instance_id, observation.address, observation.port) == ("cart-1", "10.0.0.1", 20001)
    assert dict(observation.labels) == {"host": "h1", "service": "shop/cart"}


@pytest.mark.parametrize(
    ("state", "status", "phase", "code"),
    [
        ("created", "Created", "created", None),
        ("running", "Up 3 minutes (Paused)", "running", None),
        ("paused", "Up 3 minutes (Paused)", "running", None),
        ("exited", "Exited (137) 2 days ago", "ended", 137),
        ("dead", "Dead", "ended", None),
        ("removing", "Removal In Progress", "ended", None),
    ],
)
def test_states_in_a_listing(state: str, status: str, phase: str, code: int | None):
    found = seen.of_listing({"Id": "c1", "Labels": None, "State": state, "Status": status})
    assert (found.phase, found.exit_code) == (phase, code)


@pytest.mark.parametrize(
    ("status", "said", "error", "word"),
    [
        (404, "No such image: box:2", Rejected, "image-missing"),
        (500, "write /x: no space left on device", DriverError, "disk-full"),
        (500, "Bind for 0.0.0.0:80 failed: port is already allocated", Rejected, "port-taken"),
        (400, 'exec: "x": executable file not found in $PATH: unknown', Rejected, "executable"),
        (500, 'exec: "/x": permission denied: unknown', Rejected, "permission"),
        (400, "Minimum memory limit allowed is 6MB", Rejected, "Minimum"),
        (500, "context deadline exceeded", DriverError, "deadline"),
    ],
)
def test_refusals(status: int, said: str, error: type[DriverError], word: str):
    translated = translate("cart-1", EngineRefused(status, said))
    assert type(translated) is error and word in str(translated)


@pytest.mark.parametrize(
    "change",
    [
        {"instance_id": "a/b"},
        {"instance_id": ""},
        {"image": ""},
        {"container": ContainerSpec(NetworkMode.BRIDGE), "target_port": None},
        {"container": ContainerSpec(NetworkMode.UNDERLAY)},
    ],
    ids=str,
)
def test_what_no_engine_could_do_is_rejected(change: dict[str, Any]):
    check_order(ORDER)
    with pytest.raises(Rejected):
        check_order(replace(ORDER, **change))


def test_references():
    assert name_of("registry.example:5000/team/shop:v1@sha256:aa") == "registry.example:5000/team/shop"
    assert name_of("shop") == "shop" and name_of("shop:v1") == "shop"
    assert digest_of("shop:v1@sha256:aa") == "sha256:aa" and digest_of("shop:v1") == ""


def test_both_streams_of_a_log_are_joined_into_lines():
    raw = b"\1\0\0\0\0\0\0\4one\n" + b"\2\0\0\0\0\0\0\2tw" + b"\2\0\0\0\0\0\0\2o\n"
    assert lines_of(raw) == ("one", "two")
    assert lines_of(b"") == () and lines_of(raw[:5]) == ()


def test_kept_logs_are_bounded(tmp_path: Path):
    kept = KeptLogs(tmp_path / "logs")
    kept.keep("a", tuple(f"line {n}" for n in range(2 * MAX_LINES)))
    assert kept.tail("a", 1) == (f"line {2 * MAX_LINES - 1}",)
    assert len(kept.tail("a", 10 * MAX_LINES)) == MAX_LINES
    assert kept.tail("never", 5) == () and kept.tail("a", 0) == ()
    for number in range(MAX_LOGS + 5):
        kept.keep(f"i-{number}", ("x",))
    assert len(list((tmp_path / "logs").iterdir())) == MAX_LOGS
    assert kept.tail("a", 5) == ()


def test_ssh_asks_for_no_password_and_ends_with_us():
    line = ssh_command(urlsplit("ssh://ops@10.0.0.1:2222"), Path("/s/x.sock"))
    assert line[0] == "ssh" and line[-2:] == ("ops@10.0.0.1", "cat")
    assert "BatchMode=yes" in line and "ExitOnForwardFailure=yes" in line
    assert "/s/x.sock:/run/docker.sock" in line and line[line.index("-p") + 1] == "2222"
    other = ssh_command(urlsplit("ssh://h1/srv/docker.sock"), Path("/s/x.sock"))
    assert "/s/x.sock:/srv/docker.sock" in other and other[-2] == "h1" and "-p" not in other


def test_sockets_of_dead_processes_are_removed(tmp_path: Path):
    dead, own = tmp_path / f"{2**22 + 1}-abc.sock", tmp_path / f"{os.getpid()}-abc.sock"
    dead.touch()
    own.touch()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [own]


async def test_a_path_that_is_too_long_for_a_socket_is_said(tmp_path: Path):
    with pytest.raises(Unreachable, match="too long"):
        await Forwarding("ssh://root@10.0.0.1", tmp_path / ("x" * 90)).open()
