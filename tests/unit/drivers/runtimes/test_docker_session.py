"""One engine that loses events, breaks its stream, falls silent, refuses: what the driver makes of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from scripted_engine import ScriptedEngine

from dcp.drivers.runtimes.docker import DockerRuntimes
from dcp.drivers.runtimes.docker import session as session_module
from dcp.drivers.runtimes.docker.kept_logs import KeptLogs
from dcp.drivers.runtimes.docker.reach import Ways
from dcp.drivers.runtimes.docker.runtime import DockerRuntime
from dcp.drivers.runtimes.docker.session import Session, Shared
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, Rejected, Unreachable
from dcp.orchestration.services.container import ContainerSpec, NetworkMode
from dcp.orchestration.services.model import HealthCheck, ServiceKey, StartOrder
from dcp.orchestration.services.ports import HostEngine, PullOrder
from dcp.settings.model import RuntimeSettings

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ScriptedEngine]:
    async with ScriptedEngine(tmp_path / "e.sock").serving() as made:
        yield made


@pytest.fixture
async def runtime(engine: ScriptedEngine, tmp_path: Path) -> AsyncIterator[DockerRuntime]:
    made, http = make(engine, tmp_path)
    try:
        yield made
    finally:
        await made.aclose()
        await http.close()


def make(engine: ScriptedEngine, folder: Path, **shared: Any) -> tuple[DockerRuntime, aiohttp.ClientSession]:
    """A runtime whose periods are short."""
    settings = RuntimeSettings(kind="docker", owner="me", ports=(20000, 20009), calls_per_host=4)
    everything = Shared(
        owner="me",
        clock=SystemClock(),
        ways=Ways(None, settings.calls_per_host),
        sockets=folder / "ssh",
        ports=settings.ports,
        opening=asyncio.Semaphore(4),
        random=random.Random(1),
        **{"ping_s": 0.05, "answer_s": 0.3, **shared},
    )
    http = aiohttp.ClientSession()
    # Nobody answers at this address, so no port seems taken.
    runtime = DockerRuntime(
        Session(HostEngine("h1", engine.url, ""), everything), KeptLogs(folder / "logs"), http, settings
    )
    runtime.session.open()
    return runtime, http


def order(instance_id: str, **changes: Any) -> StartOrder:
    values: dict[str, Any] = {"image": "box:1", **changes}
    return StartOrder(instance_id, "h1", ServiceKey("shop", "cart"), ("run",), Resources(100, 1 << 26), **values)


async def soon(condition: Callable[[], Any], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not (await found if asyncio.iscoroutine(found := condition()) else found):
            await asyncio.sleep(0.01)


async def phase(runtime: DockerRuntime, instance_id: str) -> str:
    try:
        seen = await runtime.observe(instance_id)
    except Unreachable:
        return "unreachable"
    return "absent" if seen is None else "running" if seen.running else f"ended {seen.exit_code}"


async def test_a_look_costs_no_call_while_the_stream_lives(engine: ScriptedEngine, runtime: DockerRuntime):
    engine.put("a")
    await runtime.list_all()
    asked = [call for call in engine.calls if "_ping" not in call]
    for _ in range(100):
        assert await phase(runtime, "a") == "running"
        assert len(await runtime.list_all()) == 1
    assert [call for call in engine.calls if "_ping" not in call] == asked


async def test_events_are_taken_in(engine: ScriptedEngine, runtime: DockerRuntime):
    container = engine.put("a")
    assert await phase(runtime, "a") == "running"
    engine.end(container, 7)
    await soon(lambda: runtime.session.find("a").exit_code == 7)
    engine.remove(container)
    await soon(lambda: runtime.session.find("a") is None)


async def test_what_happened_in_a_gap_of_the_stream_is_seen_after_it(engine: ScriptedEngine, runtime: DockerRuntime):
    ends, goes = engine.put("ends"), engine.put("goes")
    assert len(await runtime.list_all()) == 2
    engine.mute = True
    engine.end(ends, 3)
    engine.remove(goes)
    engine.put("comes")
    engine.mute = False
    engine.break_streams()
    await soon(lambda: runtime.session.find("comes") is not None)
    assert {i: await phase(runtime, i) for i in ("ends", "goes", "comes")} == {
        "ends": "ended 3",
        "goes": "absent",
        "comes": "running",
    }


async def test_nothing_is_answered_from_memory_in_a_gap(engine: ScriptedEngine, runtime: DockerRuntime):
    container = engine.put("a")
    assert await phase(runtime, "a") == "running"
    engine.mute = True
    engine.end(container, 3)
    engine.break_streams()
    while runtime.session.state().answers and runtime.session._line == session_module.Line.LIVE:
        await asyncio.sleep(0)
    assert await phase(runtime, "a") == "ended 3"


async def test_lost_events_are_made_up_for_by_the_next_listing(engine: ScriptedEngine, tmp_path: Path):
    container = engine.put("a")
    runtime, http = make(engine, tmp_path, list_again_s=0.1)
    try:
        assert await phase(runtime, "a") == "running"
        engine.mute = True
        engine.end(container, 3)
        await soon(lambda: runtime.session.find("a").exit_code == 3)
    finally:
        await runtime.aclose()
        await http.close()


async def test_a_listing_that_is_behind_its_events_revives_nothing(engine: ScriptedEngine, tmp_path: Path):
    container = engine.put("a")
    runtime, http = make(engine, tmp_path, list_again_s=0.05)
    try:
        assert await phase(runtime, "a") == "running"
        engine.stale[container] = "running"
        engine.end(container, 3)
        await soon(lambda: runtime.session.find("a").exit_code == 3)
        listed = engine.calls.count("GET /containers/json")
        while engine.calls.count("GET /containers/json") < listed + 3:
            assert await phase(runtime, "a") == "ended 3"
            await asyncio.sleep(0.01)
    finally:
        await runtime.aclose()
        await http.close()


async def test_a_start_of_what_has_ended_is_settled_by_asking(engine: ScriptedEngine, runtime: DockerRuntime):
    container = engine.put("a", "exited")
    assert await phase(runtime, "a") == "ended 0"
    engine.tell(container, "start")
    await soon(lambda: f"GET /containers/{container}/json" in engine.calls)
    assert await phase(runtime, "a") == "ended 0", "an old event"
    engine.containers[container]["state"] = "running"
    engine.tell(container, "start")
    await soon(lambda: runtime.session.find("a").phase == "running")


async def test_a_silent_engine_is_noticed_and_its_return_too(engine: ScriptedEngine, runtime: DockerRuntime):
    engine.put("a")
    assert await phase(runtime, "a") == "running"
    engine.silent = True
    await soon(lambda: not runtime.session.state().answers)
    words, since = runtime.session.state().words, runtime.session.state().since
    assert words and since > 0
    for verb in (runtime.observe("a"), runtime.start(order("b")), runtime.stop("a", 1.0), runtime.logs("a", 1)):
        with pytest.raises(Unreachable):
            await asyncio.wait_for(verb, 0.1)
    engine.silent = False
    await soon(lambda: runtime.session.state().answers, 10.0)
    assert runtime.session.state().since > since
    assert await phase(runtime, "a") == "running"


async def test_an_engine_that_was_never_there_is_unreachable_at_once(tmp_path: Path):
    engine = ScriptedEngine(tmp_path / "e.sock")
    runtime, http = make(engine, tmp_path)
    try:
        with pytest.raises(Unreachable):
            await asyncio.wait_for(runtime.list_all(), 1.0)
        assert runtime.session.state().answers is False
        await engine.open()
        await soon(lambda: runtime.session.state().answers, 10.0)
        assert await runtime.list_all() == ()
    finally:
        await runtime.aclose()
        await http.close()
        await engine.close()


async def test_a_failing_check_of_a_silent_engine_says_nothing_of_the_instance(
    engine: ScriptedEngine, runtime: DockerRuntime
):
    health = HealthCheck(http_path="/", timeout_s=0.1)
    await runtime.start(order("a", health=health))
    assert await runtime.check("a") != ""
    engine.silent = True
    with pytest.raises(Unreachable):
        await runtime.check("a")


async def test_an_engine_that_refuses_to_list_is_asked_again_ever_more_seldom(engine: ScriptedEngine, tmp_path: Path):
    engine.put("a")
    for _ in range(2):
        engine.refuse.append(("GET /containers/json", 503, "slow down"))
    runtime, http = make(engine, tmp_path)
    try:
        with pytest.raises(Unreachable, match="slow down"):
            await runtime.list_all()
        await soon(lambda: runtime.session.state().answers, 10.0)
        assert engine.calls.count("GET /containers/json") == 3
        assert len(await runtime.list_all()) == 1
    finally:
        await runtime.aclose()
        await http.close()


async def test_a_port_that_the_engine_refuses_is_exchanged(engine: ScriptedEngine, runtime: DockerRuntime):
    for _ in range(2):
        engine.refuse.append(("/start", 500, "Bind for 0.0.0.0:20000 failed: port is already allocated"))
    bridge = order("a", target_port=80, container=ContainerSpec(NetworkMode.BRIDGE))
    seen = await runtime.start(bridge)
    tried = [body["Labels"]["dcp.port"] for body in engine.bodies]
    assert len(set(tried)) == 3 and str(seen.port) == tried[-1]
    assert len(engine.containers) == 1, "what could not start is removed"


async def test_a_fixed_port_that_is_taken_is_rejected(engine: ScriptedEngine, runtime: DockerRuntime):
    fixed = ContainerSpec(NetworkMode.BRIDGE, host_port=20005)
    engine.refuse.append(("/start", 500, "driver failed: address already in use"))
    with pytest.raises(Rejected, match="port-taken"):
        await runtime.start(order("a", target_port=80, container=fixed))
    await runtime.start(order("b", target_port=80, container=fixed))
    with pytest.raises(Rejected, match="port-taken"):
        await runtime.start(order("c", target_port=80, container=fixed))
    assert [seen.instance_id for seen in await runtime.list_all()] == ["b"]


async def test_the_range_of_ports_has_an_end(engine: ScriptedEngine, runtime: DockerRuntime):
    seen = await asyncio.gather(*(runtime.start(order(f"i-{n}")) for n in range(10)))
    assert sorted(one.port for one in seen) == list(range(20000, 20010))
    with pytest.raises(DriverError, match="no port"):
        await runtime.start(order("more"))
    await runtime.stop("i-3", 1.0)
    assert (await runtime.start(order("more"))).port == (await runtime.observe("i-3")).port


async def test_so_many_starts_go_on_at_once_as_the_host_may_have_calls(engine: ScriptedEngine, runtime: DockerRuntime):
    engine.delay_s = 0.01
    await asyncio.gather(*(runtime.start(order(f"i-{n}")) for n in range(10)))
    assert engine.most_at_once == 4
    assert len([call for call in engine.calls if call == "POST /containers/create"]) == 10


async def test_a_slow_start_goes_on_behind_its_bound_and_is_found(
    engine: ScriptedEngine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dcp.drivers.runtimes.docker.starting.ANSWER_S", 0.1)
    await runtime.list_all()
    engine.delay_s = 0.1
    with pytest.raises(DriverError, match="still starting"):
        await runtime.start(order("a"))
    await soon(lambda: runtime.session.find("a") is not None and runtime.session.find("a").phase == "running")
    assert (await runtime.start(order("a"))).running
    assert len(engine.containers) == 1


async def test_a_stop_waits_for_the_start_that_goes_on_behind_it(engine: ScriptedEngine, runtime: DockerRuntime):
    await runtime.list_all()
    engine.delay_s = 0.1
    started = asyncio.create_task(runtime.start(order("a")))
    await soon(lambda: len(engine.containers) == 1)
    started.cancel()
    await runtime.stop("a", 1.0)
    assert await phase(runtime, "a") == "ended 143"


async def test_a_start_under_way_when_the_engine_goes_is_unreachable_and_goes_on_later(
    engine: ScriptedEngine, runtime: DockerRuntime
):
    await runtime.list_all()
    engine.delay_s = 0.2
    starts = asyncio.gather(*(runtime.start(order(f"i-{n}")) for n in range(8)), return_exceptions=True)
    await soon(lambda: len(engine.containers) > 1)
    await engine.close()
    assert {type(one) for one in await starts} == {Unreachable}
    engine.delay_s = 0.0
    await engine.open()
    await soon(lambda: runtime.session.state().answers, 10.0)
    assert all(seen.running for seen in await asyncio.gather(*(runtime.start(order(f"i-{n}")) for n in range(8))))
    assert len(engine.containers) == 8


async def test_a_name_that_is_taken_is_adopted_only_if_it_is_ours(engine: ScriptedEngine, runtime: DockerRuntime):
    await runtime.list_all()
    engine.mute = True
    created = engine.put("a", "created", **{"dcp.host-port": "20003"})
    assert (await runtime.start(order("a"))).running
    assert engine.containers[created]["state"] == "running"
    strange = engine.put("b")
    engine.containers[strange]["labels"]["dcp.owner"] = "somebody"
    with pytest.raises(Rejected, match="not ours"):
        await runtime.start(order("b"))


async def test_an_image_with_a_digest_starts_under_whatever_name_it_came(
    engine: ScriptedEngine, runtime: DockerRuntime
):
    engine.images = [{"Id": "sha256:id", "RepoTags": [], "RepoDigests": [f"mirror:5000/shop@{DIGEST}"], "Size": 5}]
    await runtime.start(order("a", image=f"registry.example/shop:v1@{DIGEST}"))
    assert engine.bodies[-1]["Image"] == "sha256:id"


async def test_a_pull_counts_what_came_and_names_the_image(engine: ScriptedEngine, runtime: DockerRuntime):
    await runtime.list_all()
    down = {"status": "Downloading"}
    engine.progress = [
        {"status": "Pulling fs layer", "id": "l1"},
        {**down, "id": "l1", "progressDetail": {"current": 10, "total": 40}},
        {**down, "id": "l2", "progressDetail": {"current": 2, "total": 2}},
        {"status": "Download complete", "id": "l1"},
        {"status": "Extracting", "id": "l3", "progressDetail": {"current": 1, "total": 300}},
        {"status": "Already exists", "id": "l0"},
        {"status": "Pull complete", "id": "l2"},
    ]
    wanted = PullOrder(f"registry.example/team/shop@{DIGEST}", "10.0.0.1:5001", "robot")
    assert await runtime.pull(wanted) == 342
    pulled, named = engine.bodies
    assert (pulled["fromImage"], pulled["tag"]) == ("10.0.0.1:5001/team/shop", DIGEST)
    assert pulled["auth"]
    assert (named["repo"], named["tag"]) == ("registry.example/team/shop", "dcp-" + "a" * 32)
    engine.images = [
        {
            "Id": "sha256:id",
            "Size": 7,
            "RepoTags": [f"registry.example/team/shop:{named['tag']}"],
            "RepoDigests": [f"10.0.0.1:5001/team/shop@{DIGEST}"],
        }
    ]
    (image,) = await runtime.images()
    assert image.size_bytes == 7 and f"registry.example/team/shop@{DIGEST}" in image.references
    assert await runtime.pull(wanted) == 0


@pytest.mark.parametrize(
    ("said", "error", "word"),
    [
        ("manifest for x not found: manifest unknown: manifest unknown", Rejected, "image-missing"),
        ("unauthorized: authentication required", Rejected, "denied"),
        ("denied: requested access to the resource is denied", Rejected, "denied"),
        ("manifest verification failed for digest sha256:0", Rejected, "wrong-digest"),
        ("write /var/lib/docker/tmp/x: no space left on device", DriverError, "disk-full"),
        ('Get "http://10.0.0.1/v2/": dial tcp 10.0.0.1:80: connect: connection refused', DriverError, "registry-down"),
        ("something else", DriverError, "something else"),
    ],
)
async def test_a_failed_pull_says_why(
    engine: ScriptedEngine, runtime: DockerRuntime, said: str, error: type[DriverError], word: str
):
    await runtime.list_all()
    for answer in ("stream", "status"):
        if answer == "stream":
            engine.progress = [{"status": "Pulling"}, {"error": said}]
        else:
            engine.refuse.append(("POST /images/create", 500, said))
        with pytest.raises(error, match=word) as caught:
            await runtime.pull(PullOrder(f"registry.example/shop@{DIGEST}"))
        assert type(caught.value) is error


async def test_hosts_are_attached_and_detached_cheaply(engine: ScriptedEngine, tmp_path: Path):
    settings = RuntimeSettings(kind="docker")
    runtimes = DockerRuntimes(settings, tmp_path, SystemClock())
    assert DockerRuntimes(settings, tmp_path, SystemClock()).owner == runtimes.owner
    try:
        host = HostEngine("h1", engine.url, "10.0.0.1")
        with pytest.raises(Unreachable):
            await runtimes.of("h1").list_all()
        await runtimes.attach((host,))
        first = runtimes.of("h1")
        assert await first.list_all() == () and runtimes.engines()["h1"].answers
        await runtimes.attach((host,))
        assert runtimes.of("h1") is first
        moved = HostEngine("h1", engine.url, "10.0.0.2")
        await runtimes.attach((moved,))
        assert runtimes.of("h1") is first and first.session.host == moved
        await runtimes.attach(())
        assert runtimes.each() == () and dict(runtimes.engines()) == {}
        with pytest.raises(Unreachable):
            await runtimes.of("h1").list_all()
    finally:
        await runtimes.aclose()
