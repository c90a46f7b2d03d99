"""What is particular to real processes: identity, environment, exit codes, health checks by command, orphans."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dcp.drivers.runtimes.process import ProcessRuntime, orphans
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.model import HealthCheck, Observation, ServiceKey, StartOrder

PRINT_ENVIRONMENT = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


def order(*command: str, instance_id: str = "one", **changes: object) -> StartOrder:
    base = StartOrder(instance_id, "host-1", ServiceKey("shop", "feed"), command, Resources(500, 128 << 20))
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    made = ProcessRuntime(tmp_path, SystemClock())
    yield made
    for one in await made.list_all():
        await made.stop(one.instance_id, 0.0)
    await made.aclose()
    assert orphans(tmp_path) == ()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen")


async def until_ready(runtime: ProcessRuntime, instance_id: str = "one") -> None:
    async def is_ready() -> bool:
        return "ready" in await runtime.logs(instance_id, 5)

    await until(is_ready)


async def ended(runtime: ProcessRuntime, instance_id: str = "one") -> Observation:
    async def is_over() -> bool:
        seen = await runtime.observe(instance_id)
        return seen is not None and not seen.running

    await until(is_over)
    seen = await runtime.observe(instance_id)
    assert seen is not None
    return seen


async def test_the_environment_is_exactly_what_was_asked_for_and_ours(
    runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", "must not be seen")
    monkeypatch.setenv("HOME", "/home/of-the-controller")
    monkeypatch.setenv("LANG", "C.UTF-8")
    given = {
        "PATH": "/usr/bin:/bin",
        "A": "two\nlines and 'quotes'",
        "discovery.type": "x=y",
        "PWD": "odd",
        "EMPTY": "",
    }
    asked = order(*PRINT_ENVIRONMENT, environment=tuple(given.items()), working_dir=str(tmp_path))
    seen = await runtime.start(asked)
    await ended(runtime)
    assert json.loads("".join(await runtime.logs("one", 1))) == {
        **given,
        "PORT": str(seen.port),
        "DCP_INSTANCE": "one",
        "DCP_HOST": "host-1",
        "DCP_OWNER": (tmp_path / "owner").read_text().strip(),
        "HOME": "/home/of-the-controller",
        "LANG": "C.UTF-8",
    }


async def test_it_runs_in_a_session_and_folder_of_its_own(runtime: ProcessRuntime, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    await runtime.start(order("sleep", "1000", working_dir=str(tmp_path / "a folder")))
    os.close(reader)
    os.close(writer)
    (pid,) = orphans(tmp_path)
    assert os.getsid(pid) == pid
    assert os.getpgid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").readlink() == tmp_path / "a folder"
    opened = {path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert opened == {"null", "one.log"}, "no descriptor of the controller leaks in"


async def test_ignored_signals_are_not_inherited(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sleep", "1000"))
    (pid,) = orphans(tmp_path)
    status = Path(f"/proc/{pid}/status").read_text()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("SigIgn", "SigBlk")))
    # The C library keeps the two real-time signals above 31 for itself.
    assert {name: int(mask, 16) & 0x7FFFFFFF for name, mask in masks.items()} == {"SigBlk": 0, "SigIgn": 0}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (order("no-such-command"), "not found"),
        (order("/no/such/command"), "not found"),
        (order("./missing", working_dir="/tmp"), "not found"),
        (order("sleep", "1", working_dir="/no/such/folder"), "does not exist"),
        (order("sleep", "1", environment=(("PATH", "/nowhere"),)), "not found"),
        (order("sleep", "1", stop_signal="SIGNOTHING"), "not a signal"),
        (order("sleep", "1", environment=(("A=B", "c"),)), "environment variable"),
        (order(), "empty"),
    ],
)
async def test_what_can_never_run_is_rejected_before_anything_is_made(
    runtime: ProcessRuntime, tmp_path: Path, asked: StartOrder, words: str
) -> None:
    with pytest.raises(Rejected, match=words):
        await runtime.start(asked)
    assert list((tmp_path / "instances").iterdir()) == []


async def test_a_relative_command_is_found_in_the_working_folder(runtime: ProcessRuntime, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o755)
    await runtime.start(order("./run.sh", working_dir=str(tmp_path)))
    assert (await ended(runtime)).exit_code == 7


@pytest.mark.parametrize("stop_signal", ["SIGINT", "int", "2"])
async def test_the_stop_signal_of_the_order_is_sent(runtime: ProcessRuntime, stop_signal: str) -> None:
    script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    await runtime.start(order("sh", "-c", script, stop_signal=stop_signal))
    await until_ready(runtime)
    await runtime.stop("one", 10.0)
    assert (await ended(runtime)).exit_code == 5
    assert "interrupted" in await runtime.logs("one", 5)


async def test_a_signal_that_ended_it_shows_as_128_and_its_number(runtime: ProcessRuntime) -> None:
    await runtime.start(order("sh", "-c", "kill -SEGV $$"))
    assert (await ended(runtime)).exit_code == 139


async def test_the_number_of_a_dead_leader_given_to_another_process_fools_nobody(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    await runtime.start(order("sleep", "1000"))
    (pid,) = orphans(tmp_path)
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    try:
        leader = tmp_path / "instances/one/leader"
        _, ticks, boot = leader.read_text().split()
        leader.write_text(f"{stranger.pid} {int(ticks) - 1} {boot}\n")
        seen = await runtime.observe("one")
        assert seen is not None
        assert not seen.running
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        await runtime.stop("one", 0.0)
        assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE, "it was never ours"
    finally:
        stranger.kill()
        await stranger.wait()


async def test_after_a_reboot_nothing_runs(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sleep", "1000"))
    leader = tmp_path / "instances/one/leader"
    pid, ticks, _ = leader.read_text().split()
    leader.write_text(f"{pid} {ticks} another-boot\n")
    seen = await runtime.observe("one")
    assert seen is not None
    assert (seen.running, seen.exit_code) == (False, None)


async def test_a_launch_that_died_before_its_command_is_started_again(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sleep", "1000", instance_id="other"))
    spec = json.loads((tmp_path / "instances/other/spec.json").read_text())
    spec["order"]["instance_id"] = "one"
    spec["port"] += 1
    folder = tmp_path / "instances/one"
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "leader").write_text("")
    assert await runtime.observe("one") is None
    assert [one.instance_id for one in await runtime.list_all()] == ["other"]
    assert (await runtime.start(order("sleep", "1000"))).running
    assert len(orphans(tmp_path)) == 2


async def test_a_launch_under_way_counts_as_running(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sleep", "1000"))
    leader = tmp_path / "instances/one/leader"
    text = leader.read_text()
    held = runtime._directory.try_lock("one")
    assert held is not None
    with held:
        leader.unlink()
        seen = await runtime.observe("one")
        assert seen is not None
        assert seen.running
        leader.write_text(text)


async def test_stopping_what_never_came_to_be_leaves_nothing(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sleep", "1000"))
    (pid,) = orphans(tmp_path)
    os.kill(pid, 9)
    (tmp_path / "instances/one/leader").unlink()
    await runtime.stop("one", 1.0)
    assert not (tmp_path / "instances/one").exists()
    assert [path.name for path in (tmp_path / "ports").iterdir()] == ["lock"]


async def test_health_by_command_has_the_instances_environment_and_folder(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    check = HealthCheck(command=("sh", "-c", 'test -n "$PORT" && test "$COLOUR" = blue && test -e ok'))
    asked = order("sleep", "1000", environment=(("COLOUR", "blue"),), working_dir=str(tmp_path), health=check)
    await runtime.start(asked)
    assert await runtime.check("one") == "sh exited with 1"
    (tmp_path / "ok").touch()
    assert await runtime.check("one") == ""


async def test_a_health_command_is_killed_as_a_group_when_its_time_is_up(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    check = HealthCheck(command=("sh", "-c", "sleep 1000 & sleep 1000"), timeout_s=0.1)
    await runtime.start(order("sleep", "1000", health=check))
    assert await runtime.check("one") == "sh did not end within 0.1 s"

    async def only_the_instance() -> bool:
        return len(orphans(tmp_path)) == 1

    await until(only_the_instance)


async def test_health_by_http_says_what_is_wrong(runtime: ProcessRuntime, tmp_path: Path) -> None:
    silent = (
        "import os, socket, time; s = socket.socket(); s.bind(('127.0.0.1', int(os.environ['PORT']))); s.listen();"
        "print('ready', flush=True); time.sleep(1000)"
    )
    check = HealthCheck(http_path="/health", timeout_s=0.1)
    deaf = await runtime.start(order("sleep", "1000", instance_id="deaf", health=check))
    assert await runtime.check("deaf") == f"port {deaf.port} refuses connections"
    await runtime.start(order(sys.executable, "-c", silent, instance_id="silent", health=check))
    await until_ready(runtime, "silent")
    assert await runtime.check("silent") == "GET /health gave no answer within 0.1 s"


async def test_orphans_are_counted_by_what_every_process_inherits(runtime: ProcessRuntime, tmp_path: Path) -> None:
    assert orphans(tmp_path / "no-such-directory") == ()
    await runtime.start(order("sh", "-c", "setsid sleep 1000 & sleep 1000"))

    async def three() -> bool:
        return len(orphans(tmp_path)) == 3

    await until(three)
    await runtime.stop("one", 5.0)
    assert orphans(tmp_path) == ()


async def test_one_that_left_the_group_does_not_use_up_the_grace(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 1000' & exec sleep 1000"))

    async def two() -> bool:
        return len(orphans(tmp_path)) >= 2

    await until(two)
    async with asyncio.timeout(20):
        await runtime.stop("one", 60.0)


async def test_a_stop_that_is_cancelled_can_be_asked_again(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(order("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"))
    await until_ready(runtime)
    first = asyncio.create_task(runtime.stop("one", 60.0))
    await asyncio.sleep(0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await runtime.stop("one", 0.0)
    assert orphans(tmp_path) == ()


async def test_whoever_looks_leaves_alone_what_somebody_is_stopping(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """The leader ends at once, its child finishes its work within the grace."""
    script = "(trap '' TERM; echo ready; sleep 0.5; echo finished) & wait"
    await runtime.start(order("sh", "-c", script))
    await until_ready(runtime)
    stop = asyncio.create_task(runtime.stop("one", 30.0))
    other = ProcessRuntime(tmp_path, SystemClock())
    while not stop.done():
        (seen,) = await other.list_all()
        assert seen.running or stop.done() or "finished" in await runtime.logs("one", 5)
        await asyncio.sleep(0.02)
    await stop
    assert "finished" in await runtime.logs("one", 5)
    await other.aclose()


async def test_ports_running_out_is_an_error_with_a_hint(tmp_path: Path) -> None:
    # Apart from the ports of running fleets and of another run of these tests.
    first = 12018 + os.getpid() % 900 * 20
    runtime = ProcessRuntime(tmp_path, SystemClock(), port_range=(first, first + 1), cgroup_parent="")
    try:
        for n in range(2):
            await runtime.start(order("sleep", "1000", instance_id=f"i-{n}"))
        with pytest.raises(DriverError, match="widen"):
            await runtime.start(order("sleep", "1000", instance_id="i-2"))
        await runtime.stop("i-0", 0.0)
        assert (await runtime.start(order("sleep", "1000", instance_id="i-2"))).running
    finally:
        for n in range(3):
            await runtime.stop(f"i-{n}", 0.0)
        await runtime.aclose()


@pytest.mark.root
async def test_limits_are_written_and_removed(runtime: ProcessRuntime, tmp_path: Path) -> None:
    if not runtime.abilities().memory_limit:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(runtime.abilities().why_not)
        pytest.skip(runtime.abilities().why_not)
    await runtime.start(order("sleep", "1000"))
    owner = (tmp_path / "owner").read_text().strip()
    groups = list(Path("/sys/fs/cgroup").glob(f"**/dcp/{owner}/i-one"))
    values = {path.name: path.read_text().strip() for group in groups for path in group.iterdir() if wanted(path)}
    assert values in (
        {"cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": str(128 << 20)},
        {"cpu.max": "50000 100000", "memory.max": str(128 << 20)},
    )
    await runtime.stop("one", 1.0)
    assert list(Path("/sys/fs/cgroup").glob(f"**/dcp/{owner}/i-one")) == []


def wanted(path: Path) -> bool:
    return path.name in ("cpu.cfs_quota_us", "memory.limit_in_bytes", "cpu.max", "memory.max")
