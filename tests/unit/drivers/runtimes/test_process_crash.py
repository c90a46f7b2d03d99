"""kill -9 of the controller at any moment: the same ids asked for again run once each, and nothing is left over."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import crash_scenario
import pytest
from crash_scenario import order

from dcp.drivers.runtimes.process import ProcessRuntime, orphans
from dcp.drivers.runtimes.process.processes import Kin, find_kin
from dcp.kernel.clock import SystemClock

SEED = 20260727
MOST_STEPS = 300
PARENTS = pytest.mark.parametrize("parent", ["dcp", ""], ids=["limited", "unlimited"])


class Controllers:
    """Makes controllers to be killed, one after the other."""

    def __init__(self) -> None:
        path = Path(crash_scenario.__file__)
        self._server = subprocess.Popen(
            [sys.executable, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def begin(self, scenario: str, **arguments: object) -> int:
        """Return the pid of a new controller."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"scenario": scenario, **arguments}) + "\n")
        return int(self.hear())

    def hear(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def hear_until_gone(self) -> list[str]:
        words = []
        while (word := self.hear()) != "gone":
            assert word, "the server of controllers has died"
            words.append(word)
        return words

    def close(self) -> None:
        with self._server:
            pass


@pytest.fixture
def controllers(tmp_path: Path) -> Iterator[Controllers]:
    made = Controllers()
    yield made
    made.close()
    # A test that failed must not leave anything running.
    for pid in orphans(tmp_path):
        os.kill(pid, signal.SIGKILL)


def processes(directory: Path, names: list[str]) -> dict[str, int]:
    owner = (directory / "owner").read_text().strip()
    return {name: len(found) for name, found in find_kin(owner, [Kin(n, None) for n in names]).items()}


async def end_all(directory: Path, runtime: ProcessRuntime) -> None:
    """Stop and forget everything, and check that nothing of it is left anywhere."""
    listed = await runtime.list_all()
    await asyncio.gather(*(runtime.stop(one.instance_id, 0.0) for one in listed))
    await asyncio.gather(*(runtime.forget(one.instance_id) for one in listed))
    assert orphans(directory) == ()
    assert {path.name for path in (directory / "ports").iterdir()} <= {"lock"}
    assert list((directory / "instances").iterdir()) == []
    assert list((directory / "trash").iterdir()) == []
    await runtime.aclose()


@pytest.mark.slow
@PARENTS
def test_killed_while_it_starts_many(controllers: Controllers, parent: str, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for turn in range(10):
        names = [f"turn{turn}-{n}" for n in range(12)]
        pid = controllers.begin("start_many", directory=str(tmp_path), parent=parent, names=names)
        assert controllers.hear() == "go"
        asyncio.run(asyncio.sleep(rng.uniform(0.0, 0.04)))
        os.kill(pid, signal.SIGKILL)
        asyncio.run(start_the_same_again(tmp_path, parent, names))
        assert controllers.hear_until_gone() == []


async def start_the_same_again(directory: Path, parent: str, names: list[str]) -> None:
    """Come at once: a launch of the dead controller may still be under way."""
    runtime = ProcessRuntime(directory, SystemClock(), cgroup_parent=parent)
    seen = await asyncio.gather(*(runtime.start(order(name)) for name in names))
    assert all(one.running for one in seen)
    assert len({one.port for one in seen}) == len(names)
    assert processes(directory, names) == dict.fromkeys(names, 1)
    assert len(orphans(directory)) == len(names)
    assert {one.instance_id for one in await runtime.list_all()} == set(names)
    await end_all(directory, runtime)


@pytest.mark.slow
@PARENTS
def test_killed_before_every_single_step(controllers: Controllers, parent: str, tmp_path: Path) -> None:
    died_at = set()
    for step in range(1, MOST_STEPS):
        name = f"step-{step}"
        controllers.begin("live_and_die", directory=str(tmp_path), parent=parent, name=name, dies_at=step)
        (told,) = controllers.hear_until_gone()
        asyncio.run(recover(tmp_path, parent, name))
        if told == "finished":
            break
        died_at.add(told)
    assert told == "finished", "the scenario has more steps than were tried"
    # The scenario passes through each of these; without them the test would prove nothing.
    assert {"os.mkdir", "os.symlink", "os.posix_spawn", "os.rename", "fcntl.flock", "os.killpg"} <= died_at


async def recover(directory: Path, parent: str, name: str) -> None:
    """Whatever was under way, asking again gives one running instance or one that had ended, and it can be ended."""
    runtime = ProcessRuntime(directory, SystemClock(), cgroup_parent=parent)
    seen = await runtime.start(order(name))
    listed = {one.instance_id: one.running for one in await runtime.list_all()}
    assert listed.keys() == {name}
    running = processes(directory, [name])[name]
    if seen.running and listed[name]:
        # The dead controller's own start has two processes, ours one; both at once would be three.
        assert running in (1, 2)
    else:
        assert running == 0
    await runtime.stop(name, 1.0)
    assert processes(directory, [name]) == {name: 0}
    await end_all(directory, runtime)
