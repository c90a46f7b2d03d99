"""Controllers that get killed. Run as a program, it forks one for every line it reads, each with everything imported.

A line is JSON: `{"scenario": NAME, ...arguments}`. Back come, a line each, the pid, the controller's words, and `gone`.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcp.drivers.runtimes.process import ProcessRuntime
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ServiceKey, StartOrder

WATCHED = frozenset(
    {
        "fcntl.flock",
        "open",
        "os.killpg",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "shutil.rmtree",
        "signal.pidfd_send_signal",
        "socket.bind",
    }
)


def order(instance_id: str) -> StartOrder:
    return StartOrder(
        instance_id=instance_id,
        host_id="host-1",
        service=ServiceKey("crash", "sleeper"),
        command=("sleep", "1000"),
        resources=Resources(cpu_millis=100, memory_bytes=32 << 20),
    )


async def start_many(directory: str, parent: str, names: list[str]) -> None:
    """Start every instance, a few at a time; the test kills us somewhere in it."""
    runtime = ProcessRuntime(Path(directory), SystemClock(), cgroup_parent=parent)
    say("go")
    for first in range(0, len(names), 4):
        await asyncio.gather(*(runtime.start(order(name)) for name in names[first : first + 4]))
    await asyncio.sleep(60)


async def live_and_die(directory: str, parent: str, name: str, dies_at: int) -> None:
    """Start, look, stop, forget, and kill ourselves right before the nth thing asked of the operating system."""
    die_at(dies_at)
    runtime = ProcessRuntime(Path(directory), SystemClock(), cgroup_parent=parent)
    await runtime.start(replace(order(name), command=("sh", "-c", "sleep 1000 & exec sleep 1000")))
    await runtime.list_all()
    await runtime.stop(name, 2.0)
    await runtime.forget(name)
    say("finished")


def die_at(step: int) -> None:
    """Count the changes that Python reports to its audit hooks: of files, locks, signals and processes."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in WATCHED and not (event == "open" and is_reading(arguments[2])):
            count += 1
            if count == step:
                say(event)
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def is_reading(flags: int) -> bool:
    """What only reads changes nothing, and a pass over /proc opens hundreds of files."""
    return flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0


def say(word: str) -> None:
    os.write(1, word.encode() + b"\n")


SCENARIOS = {"start_many": start_many, "live_and_die": live_and_die}


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        scenario = SCENARIOS[request.pop("scenario")]
        pid = os.fork()
        if pid == 0:
            say(str(os.getpid()))
            asyncio.run(scenario(**request))
            os._exit(0)
        os.waitpid(pid, 0)
        say("gone")


if __name__ == "__main__":
    serve()
