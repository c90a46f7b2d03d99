"""The docker runtime over real engines: everything of `ContainerSpec`, crashes between any two calls, lost engines."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcp.drivers.runtimes.docker import DockerRuntimes, engine_probe
from dcp.drivers.runtimes.docker.runtime import DockerRuntime
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, Rejected, Unreachable
from dcp.lab.images import build_ballast
from dcp.lab.lab import Lab
from dcp.lab.rooms import enter
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
from dcp.orchestration.services.ports import HostEngine, PullOrder
from dcp.settings.model import RuntimeSettings, TlsFiles, UnderlaySettings
from engine_proxy import EngineProxy, wait_until
from lab_containers import engine, exec_in

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]

OWNER = "itest"
SERVES = "trap 'exit 0' TERM; mkdir -p /tmp/w; echo ok > /tmp/w/health; busybox httpd -f -p $PORT -h /tmp/w & wait"
SLEEPS = "trap 'exit 0' TERM; sleep 1000 & wait"
SECRET = SecretFile("key", Secret("deep-secret-value"), "/run/secrets/key")


def order(instance_id: str, script: str = SLEEPS, **changes: Any) -> StartOrder:
    made = StartOrder(
        instance_id=instance_id,
        host_id="h1",
        service=ServiceKey("shop", "cart"),
        command=("sh", "-c", script),
        resources=Resources(cpu_millis=500, memory_bytes=64 << 20),
        image="lab/busybox:latest",
        health=HealthCheck(http_path="/health", timeout_s=1.0) if script == SERVES else None,
    )
    return replace(made, **changes)


@asynccontextmanager
async def runtime_of(
    lab: Lab, directory: Path, *, url: str = "", owner: str = OWNER, **settings: Any
) -> AsyncIterator[tuple[DockerRuntimes, DockerRuntime]]:
    """A session with h1; whatever runs there of ours is removed at the end."""
    host = lab.host("h1")
    runtimes = DockerRuntimes(RuntimeSettings(kind="docker", owner=owner, **settings), directory, SystemClock())
    runtimes.keep((HostEngine("h1", url or host.engine_unix, host.address, "s1"),))
    runtime = runtimes.of("h1")
    assert isinstance(runtime, DockerRuntime)
    try:
        yield runtimes, runtime
    finally:
        await runtimes.aclose()


@pytest.fixture
async def runtime(lab: Lab, tmp_path: Path) -> AsyncIterator[DockerRuntime]:
    async with runtime_of(lab, tmp_path) as (_, made):
        yield made
        await remove_all(made)
    assert await ours(lab) == []


@pytest.fixture(autouse=True)
async def nothing_left(lab: Lab) -> AsyncIterator[None]:
    """A test that fails leaves containers; the next must not find them."""
    yield
    for host in ("h1", "h2"):
        for container in await ours(lab, host):
            await engine(lab, host, "DELETE", f"/containers/{container['Id']}?force=1&v=1")


async def remove_all(runtime: DockerRuntime) -> None:
    for seen in await runtime.list_all():
        await runtime.stop(seen.instance_id, 0.0)
        await runtime.forget(seen.instance_id)


async def ours(lab: Lab, host: str = "h1") -> list[dict[str, Any]]:
    filters = json.dumps({"label": [f"dcp.owner={OWNER}"]})
    return await engine(lab, host, "GET", f"/containers/json?all=1&filters={filters}")


async def inspect(lab: Lab, instance_id: str) -> dict[str, Any]:
    return await engine(lab, "h1", "GET", f"/containers/dcp-{OWNER}-{instance_id}/json")


async def inside(lab: Lab, instance_id: str, script: str) -> str:
    return (await exec_in(lab, "h1", f"dcp-{OWNER}-{instance_id}", script)).strip()


async def healthy(runtime: DockerRuntime, instance_id: str) -> bool:
    return await runtime.check(instance_id) == ""


async def test_a_container_gets_exactly_the_rights_and_bounds_of_its_order(lab: Lab, runtime: DockerRuntime):
    container = ContainerSpec(
        user="7:8",
        read_only=True,
        cap_add=("NET_BIND_SERVICE",),
        init=True,
        pids_limit=20,
        working_dir="/tmp",
        mounts=(
            Mount(VolumeKind.TMPFS, "/tmp", size_bytes=1 << 20),
            Mount(VolumeKind.VOLUME, "/data", "itest-data"),
            Mount(VolumeKind.BIND, "/machine", "/etc/docker", read_only=True),
        ),
        logs=LogOptions("", (("max-size", "1m"),)),
        extra_hosts=(("friend", "10.9.8.7"),),
    )
    await runtime.start(order("a", container=container, environment=(("A", "b c"),)))
    host = (await inspect(lab, "a"))["HostConfig"]
    assert host["CapDrop"] == ["ALL"] and host["RestartPolicy"]["Name"] == "no"
    assert (host["CpuQuota"], host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (50_000, 64 << 20, 64 << 20, 20)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}}
    status = await inside(lab, "a", "grep -E 'CapBnd|NoNewPrivs|^Uid' /proc/1/status; pwd; cat /etc/hosts; echo $A")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000400" in status
    assert "/tmp" in status and "10.9.8.7\tfriend" in status and "b c" in status
    assert "Read-only file system" in await inside(lab, "a", "touch /x")
    assert "Permission denied" not in await inside(lab, "a", "touch /tmp/x")
    assert await inside(lab, "a", "id -u; cat /proc/1/comm") == "7\r\ndocker-init"
    await remove_all(runtime)
    assert (await engine(lab, "h1", "GET", "/volumes/itest-data"))["Name"] == "itest-data", "named volumes stay"
    await engine(lab, "h1", "DELETE", "/volumes/itest-data")


@pytest.mark.parametrize("read_only", [False, True])
async def test_secrets_are_files_and_nowhere_else(lab: Lab, runtime: DockerRuntime, read_only: bool):
    other = SecretFile("other", Secret("second"), "/etc/app/other.pem")
    before = (await engine(lab, "h1", "GET", "/volumes"))["Volumes"] or []
    secrets = (replace(SECRET, uid=7, gid=8, mode=0o440), other)
    await runtime.start(order("a", container=ContainerSpec(user="7:8", read_only=read_only, secrets=secrets)))
    shown = json.dumps(await inspect(lab, "a"))
    assert "deep-secret-value" not in shown and "second" not in shown
    assert await inside(lab, "a", "stat -c '%a %u %g' /run/secrets/key") == "440 7 8"
    assert await inside(lab, "a", "cat /run/secrets/key /etc/app/other.pem") == "deep-secret-valuesecond"
    assert len((await inspect(lab, "a"))["Mounts"]) == 2
    await remove_all(runtime)
    after = (await engine(lab, "h1", "GET", "/volumes"))["Volumes"] or []
    assert after == before, "the files are gone with the container"


async def test_host_network_gives_a_free_port_of_the_host(lab: Lab, runtime: DockerRuntime):
    seen = await runtime.start(order("a", SERVES))
    assert seen.address == lab.host("h1").address and 20000 <= seen.port <= 29999
    await wait_until(lambda: healthy(runtime, "a"))


async def test_bridge_publishes_the_target_port(lab: Lab, runtime: DockerRuntime):
    seen = await runtime.start(order("a", SERVES, target_port=8080, container=ContainerSpec(NetworkMode.BRIDGE)))
    assert seen.port != 8080
    assert await inside(lab, "a", "echo $PORT") == "8080"
    await wait_until(lambda: healthy(runtime, "a"))


async def test_underlay_gives_an_address_of_the_sites_network(lab: Lab, tmp_path: Path):
    site = lab.topology.site("s1")
    underlay = UnderlaySettings("macvlan", "eth0", (("s1", site.subnet, site.gateway),))
    container = ContainerSpec(NetworkMode.UNDERLAY)
    async with runtime_of(lab, tmp_path, underlay=underlay) as (_, runtime):
        for name, address in (("a", site.first_container_address), ("b", site.last_container_address)):
            seen = await runtime.start(order(name, SERVES, target_port=8080, container=container, address=address))
            assert (seen.address, seen.port) == (address, 8080)
            await wait_until(lambda name=name: healthy(runtime, name))
        again = await runtime.observe("a")
        assert again is not None and again.address == site.first_container_address
        with pytest.raises(Rejected, match="no address"):
            await runtime.start(order("c", target_port=8080, container=container))
        await remove_all(runtime)
    for network in await engine(lab, "h1", "GET", "/networks"):
        if network["Name"].startswith("dcp-underlay-"):
            await engine(lab, "h1", "DELETE", f"/networks/{network['Id']}")


@pytest.mark.parametrize("mode", [NetworkMode.HOST, NetworkMode.BRIDGE])
async def test_a_port_that_somebody_else_has_is_not_given(lab: Lab, tmp_path: Path, mode: NetworkMode):
    """The range has two ports and a stranger listens on one: the driver gives the other, then none is left."""
    stranger = order("stranger", "busybox httpd -f -p 21000 -h /tmp", container=ContainerSpec())
    container = ContainerSpec(mode)
    async with (
        runtime_of(lab, tmp_path / "strange", owner="other") as (_, strange),
        runtime_of(lab, tmp_path / "own", ports=(21000, 21001)) as (_, runtime),
    ):
        await strange.start(stranger)
        await wait_until(lambda: listens(lab.host("h1").address, 21000))
        seen = await runtime.start(order("a", SERVES, target_port=8080, container=container))
        assert seen.port == 21001
        with pytest.raises(DriverError):
            await runtime.start(order("b", SERVES, target_port=8080, container=container))
        fixed = ContainerSpec(mode, host_port=21000)
        with pytest.raises(Rejected, match="port-taken"):
            await runtime.start(order("c", SERVES, target_port=8080, container=fixed))
        assert [seen.instance_id for seen in await runtime.list_all()] == ["a"]
        await remove_all(runtime)
        await remove_all(strange)


async def listens(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_controllers_that_choose_the_same_port_do_not_both_keep_it(lab: Lab, tmp_path: Path):
    """Six controllers, six ports: each start finds one, though none sees what the others have reserved."""
    made = [runtime_of(lab, tmp_path / str(n), ports=(21010, 21015)) for n in range(6)]
    opened = [await one.__aenter__() for one in made]
    try:
        for _, runtime in opened:
            await runtime.list_all()

        async def start(number: int) -> int:
            while True:
                try:
                    return (await opened[number][1].start(order(f"i-{number}"))).port
                except DriverError:
                    await asyncio.sleep(0.05)

        ports = await asyncio.wait_for(asyncio.gather(*(start(n) for n in range(6))), 30.0)
        assert sorted(ports) == list(range(21010, 21016))
        await wait_until(lambda: len(opened[0][1].session.all()) == 6)
        await remove_all(opened[0][1])
    finally:
        for one in made:
            await one.__aexit__(None, None, None)


async def test_what_cannot_start_is_rejected_with_a_word(lab: Lab, runtime: DockerRuntime):
    missing = replace(order("a"), image="lab/nothing:1")
    with pytest.raises(Rejected, match="image-missing"):
        await runtime.start(missing)
    digest = "sha256:" + "0" * 64
    with pytest.raises(Rejected, match="image-missing"):
        await runtime.start(replace(missing, image=f"lab/busybox@{digest}"))
    with pytest.raises(Rejected):
        await runtime.start(replace(order("a"), image=""))
    with pytest.raises(Rejected):
        await runtime.start(replace(order("a"), instance_id="../x"))
    assert await runtime.list_all() == ()


async def test_commands_check_health_inside_the_container(lab: Lab, runtime: DockerRuntime):
    for name, command, words in (
        ("good", ("test", "-e", "/bin"), ""),
        ("bad", ("sh", "-c", "exit 4"), "exited with 4"),
        ("slow", ("sleep", "5"), "did not end within 0.3 s"),
        ("none", ("no-such-command",), "no-such-command"),
    ):
        await runtime.start(order(name, health=HealthCheck(command=command, timeout_s=0.3)))
        assert words in await runtime.check(name)
        assert (await runtime.check(name) == "") == (words == "")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(6))
async def test_a_crash_between_any_two_calls_leaves_one_container(lab: Lab, tmp_path: Path, number: int, after: bool):
    """A controller is cut off at every call of a start, before or after the engine did it; the next one goes on."""
    wanted = order("a", SERVES, container=ContainerSpec(secrets=(SECRET,)))
    async with EngineProxy(lab.host("h1").socket, tmp_path / "p.sock").serving() as proxy:
        async with runtime_of(lab, tmp_path, url=proxy.url) as (_, first):
            await first.list_all()
            proxy.cut(number, after=after)
            try:
                await first.start(wanted)
                assert not proxy.is_cut
            except Unreachable:
                assert proxy.is_cut
        assert len(await ours(lab)) <= 1
    async with runtime_of(lab, tmp_path) as (_, second):
        seen = await second.start(wanted)
        assert seen.running and len(await ours(lab)) == 1
        await wait_until(lambda: healthy(second, "a"))
        assert await inside(lab, "a", "cat /run/secrets/key") == "deep-secret-value"
        assert await second.start(wanted) == seen
        await remove_all(second)
    assert await ours(lab) == []


@pytest.mark.parametrize("number", range(5))
async def test_what_a_crash_left_and_nobody_wants_is_listed_and_removed(lab: Lab, tmp_path: Path, number: int):
    async with (
        EngineProxy(lab.host("h1").socket, tmp_path / "p.sock").serving() as proxy,
        runtime_of(lab, tmp_path, url=proxy.url) as (_, first),
    ):
        await first.list_all()
        proxy.cut(number, after=True)
        with pytest.raises(Unreachable) if number < 3 else nullcontext():
            await first.start(order("a"))
    async with runtime_of(lab, tmp_path) as (_, second):
        listed = await second.list_all()
        assert [seen.instance_id for seen in listed] == ["a"]
        await remove_all(second)
    assert await ours(lab) == []


async def test_a_killed_engine_is_unreachable_and_its_containers_are_found_again(lab: Lab, tmp_path: Path):
    async with runtime_of(lab, tmp_path) as (runtimes, runtime):
        seen = await runtime.start(order("a", SERVES))
        await wait_until(lambda: healthy(runtime, "a"))
        await lab.kill_engine("h1")
        try:
            await wait_until(lambda: not runtimes.engines()["h1"].answers)
            for ask in (runtime.list_all, lambda: runtime.observe("a"), lambda: runtime.stop("a", 1.0)):
                with pytest.raises(Unreachable):
                    await asyncio.wait_for(ask(), 3.0)
            assert await runtime.check("a") == "", "it answers, whatever its engine does"
            assert not await engine_probe(RuntimeSettings())(lab.host("h1").engine_unix)
        finally:
            await lab.start_engine("h1")
        await wait_until(lambda: runtimes.engines()["h1"].answers, 40.0)
        assert await runtime.observe("a") == seen
        assert await runtime.check("a") == ""
        await remove_all(runtime)


async def test_a_host_that_is_cut_off_is_noticed_and_told_from_an_unhealthy_instance(lab: Lab, tmp_path: Path):
    host, files = lab.host("h1"), lab.client
    tls = TlsFiles(str(files.ca), str(files.cert), str(files.key))
    async with runtime_of(lab, tmp_path, url=host.engine_tls, tls=tls) as (runtimes, runtime):
        seen = await runtime.start(order("a", SERVES))
        await wait_until(lambda: healthy(runtime, "a"))
        await lab.cut("h1")
        try:
            with pytest.raises(Unreachable):
                await runtime.check("a")
            await wait_until(lambda: not runtimes.engines()["h1"].answers, 12.0)
        finally:
            await lab.mend("h1")
        await wait_until(lambda: runtimes.engines()["h1"].answers, 40.0)
        assert await runtime.observe("a") == seen
        await remove_all(runtime)


async def test_tls_refuses_who_is_not_signed_by_our_authority(lab: Lab, tmp_path: Path):
    host, files = lab.host("h1"), lab.client
    assert await engine_probe(RuntimeSettings(tls=TlsFiles(str(files.ca), str(files.cert), str(files.key))))(
        host.engine_tls
    )
    assert not await engine_probe(RuntimeSettings())(host.engine_tls)


async def test_a_container_that_its_host_removed_is_seen_as_gone(lab: Lab, runtime: DockerRuntime):
    await runtime.start(order("a"))
    await engine(lab, "h1", "DELETE", f"/containers/dcp-{OWNER}-a?force=1")
    await wait_until(lambda: gone(runtime, "a"))


async def gone(runtime: DockerRuntime, instance_id: str) -> bool:
    return await runtime.observe(instance_id) is None


async def push(lab: Lab, tag: str, image: str = "lab/busybox") -> str:
    """Put an image into the registry of h1's site as `team/TAG`; return its reference with digest."""
    name = f"{lab.registry_name}/team/{tag}"
    await engine(lab, "h1", "POST", f"/images/{image}/tag?repo={name}&tag=v1")
    said = await engine(lab, "h1", "POST", f"/images/{name}/push?tag=v1", headers={"X-Registry-Auth": "e30="})
    digest = next(line for line in said.splitlines() if "Digest" in line)
    await engine(lab, "h1", "DELETE", f"/images/{name}:v1")
    return f"{name}@{json.loads(digest)['aux']['Digest']}"


@asynccontextmanager
async def on_h2(lab: Lab, directory: Path) -> AsyncIterator[DockerRuntime]:
    """A session with h2, where nothing of the image is."""
    runtimes = DockerRuntimes(RuntimeSettings(kind="docker", owner=OWNER), directory, SystemClock())
    runtimes.keep((HostEngine("h2", lab.host("h2").engine_unix, lab.host("h2").address, "s1"),))
    runtime = runtimes.of("h2")
    assert isinstance(runtime, DockerRuntime)
    try:
        yield runtime
    finally:
        await runtimes.aclose()


async def test_an_image_is_pulled_by_digest_once_and_starts_under_its_real_name(lab: Lab, tmp_path: Path):
    image = await push(lab, "once")
    # The same content under another name would be found by its digest: only what is built in place has none.
    async with on_h2(lab, tmp_path) as runtime:
        with pytest.raises(Rejected, match="image-missing"):
            await runtime.start(replace(order("a"), host_id="h2", image=image))
        first = await runtime.pull(PullOrder(image))
        assert await runtime.pull(PullOrder(image)) == 0 <= first
        assert image in [reference for one in await runtime.images() for reference in one.references]
        named = image.replace("@", ":v1@")
        assert (await runtime.start(replace(order("a"), host_id="h2", image=named))).running
        await runtime.remove_image(image)
        assert (await runtime.observe("a")).running, "what is in use stays"
        await remove_all(runtime)
        await runtime.remove_image(image)
        await runtime.remove_image(image)
        assert image not in [reference for one in await runtime.images() for reference in one.references]


async def test_an_image_from_a_mirror_is_known_by_its_real_name_also_after_a_restart(lab: Lab, tmp_path: Path):
    image = await push(lab, "mirrored")
    mirror = lab.registry_name
    real = image.replace(lab.registry_name, "registry.example")
    async with on_h2(lab, tmp_path) as runtime:
        await runtime.pull(PullOrder(real, mirror))
    async with on_h2(lab, tmp_path) as runtime:
        assert real in [reference for one in await runtime.images() for reference in one.references]
        assert (await runtime.start(replace(order("a"), host_id="h2", image=real))).running
        await remove_all(runtime)
        await runtime.remove_image(real)
        assert await runtime.images() == ()


async def test_a_pull_that_fails_says_why(lab: Lab, tmp_path: Path):
    image = await push(lab, "why")
    name = image.partition("@")[0]
    async with on_h2(lab, tmp_path) as runtime:
        with pytest.raises(Rejected, match="image-missing"):
            await runtime.pull(PullOrder(f"{name}@sha256:{'0' * 64}"))
        with pytest.raises(Rejected, match="image-missing"):
            await runtime.pull(PullOrder(f"{lab.registry_name}/team/nothing@sha256:{'0' * 64}"))
        await lab.kill_registry("s1")
        try:
            with pytest.raises(DriverError, match="registry-down") as caught:
                await runtime.pull(PullOrder(image))
            assert not isinstance(caught.value, Rejected)
        finally:
            await lab.start_registry("s1")


LYING_REGISTRY = """
import hashlib, http.server, json
config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": "sha256:" + "1" * 64}
kind = "application/vnd.docker.distribution.manifest.v2+json"
body = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}).encode()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 5999), Answer).serve_forever()
"""


async def test_content_that_is_not_what_its_digest_says_is_not_taken(lab: Lab, tmp_path: Path):
    """A registry on the host itself, which engines trust without TLS, gives something else than it was asked for."""
    liar = await asyncio.create_subprocess_exec(
        *enter(lab.host("h2"), lab.topology), sys.executable, "-c", LYING_REGISTRY, start_new_session=True
    )
    try:
        async with on_h2(lab, tmp_path) as runtime:
            order_of_lies = PullOrder(f"registry.example/team/lie@sha256:{'a' * 64}", "127.0.0.1:5999")

            async def refused() -> bool:
                try:
                    await runtime.pull(order_of_lies)
                except Rejected as error:
                    return "wrong-digest" in str(error)
                except DriverError as error:
                    assert "registry-down" in str(error), "it does not listen yet"
                return False

            await wait_until(refused)
            assert await runtime.images() == ()
    finally:
        liar.kill()
        await liar.wait()


async def test_a_full_disk_is_said_and_the_pull_succeeds_once_there_is_room(lab: Lab, tmp_path: Path):
    archive = tmp_path / "ballast.tar"
    build_ballast(archive, "lab/ballast:latest", [3 << 20], seed=1)
    await lab.load(archive, ["h1"])
    image = await push(lab, "ballast", "lab/ballast")
    # Engines put what they download there first.
    downloads = str(lab.host("h2").data / "tmp")
    await lab.run_on("h2", "mount", "-t", "tmpfs", "-o", "size=256k", "full", downloads)
    async with on_h2(lab, tmp_path) as runtime:
        try:
            with pytest.raises(DriverError, match="disk-full") as caught:
                await runtime.pull(PullOrder(image))
            assert not isinstance(caught.value, Rejected)
        finally:
            await lab.run_on("h2", "umount", "--lazy", downloads)
        assert await runtime.pull(PullOrder(image)) > 3_000_000
        assert (await runtime.start(replace(order("a"), host_id="h2", image=image))).running
        await remove_all(runtime)
        await runtime.remove_image(image)
    await engine(lab, "h1", "DELETE", "/images/lab/ballast?force=1")
