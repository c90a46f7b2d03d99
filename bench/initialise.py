"""What the initialisation of bare hosts costs the controller: time, processor time and memory by hosts and forks.

Run `python bench/initialise.py` as root; it takes some minutes and prints one JSON object for each run. Machines are
Debian trees in namespaces of this machine, each with its own sshd; nothing is installed on them, so that what counts is
Ansible's share: `cpu_s` is the controller's (runs and SSH clients), `machines_cpu_s` is what the machines themselves
did, which elsewhere would be their own processors' time. Every run is the first for its machines; with `--again` each
is followed by one that changes nothing. `made_ready` below `hosts` means that the time was up.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from dcp.drivers.initialisers.ansible import AnsibleChoice, AnsibleInitialiser
from dcp.hosts.initialising import InitialiseLimits
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.clock import SystemClock

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from debian_machines import Machine, Machines, make_tree

GROUPS = Path("/sys/fs/cgroup/cpuacct")
BARE = HostType("bare", Resources(1000, 1 << 30), initialise=True)
CASES = ((1, 1), (10, 10), (30, 10), (30, 30), (100, 50))
"""Hosts and forks."""
LIGHT = {
    "dcp_packages": [],
    "dcp_time_package": "",
    "dcp_exporter_package": "",
    "dcp_engine_package": "",
    "dcp_sysctl_apply": False,
}
STAND_INS = (("/usr/bin/docker", "[ -e /run/on ] && echo 1"), ("/usr/sbin/dockerd", "touch /run/on"))
"""In the place of an engine, so that the role finds one that answers once it was started."""
MEMORY_EVERY_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", metavar="HOSTS:FORKS", help="such as 100:50; several times")
    parser.add_argument("--limit-s", type=float, default=90.0, help="of one run")
    parser.add_argument("--again", action="store_true", help="run each case twice")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machines are taken down also then
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print(json.dumps({"skipped": "needs root and debootstrap: machines in namespaces"}))
        return
    cases = [tuple(map(int, one.split(":"))) for one in asked.case] if asked.case else CASES
    make_tree()
    with groups() as (own, theirs), tempfile.TemporaryDirectory(prefix="dcp-bench-", dir="/var/tmp") as folder:
        machines = Machines(Path(folder), bridge=f"dcpb{os.getpid() % 10_000}", network="10.78")
        try:
            machines.open()
            for hosts, forks in cases:
                fresh = start(machines, hosts, theirs)
                for again in (False, True) if asked.again else (False,):
                    found = asyncio.run(measure(machines, fresh, forks, own, theirs, asked.limit_s))
                    print(json.dumps({"hosts": hosts, "forks": forks, "again": again, **found}), flush=True)
                for machine in fresh:
                    machines.stop(machine)
        finally:
            machines.close()


async def measure(
    machines: Machines, fresh: list[Machine], forks: int, own: Path | None, theirs: Path | None, limit_s: float
) -> dict[str, Any]:
    """Initialise all of them, at most `forks` at once, as the engine does: whoever ends makes room for the next."""
    choice = AnsibleChoice(key=str(machines.key), vars=LIGHT)
    initialiser = AnsibleInitialiser(machines.folder / "initialise", choice, SystemClock())
    waiting = [bare(machine) for machine in fresh]
    failed: list[str] = []
    ready_s: list[float] = []
    peak = [0]
    before, before_theirs, began = used_s(own), used_s(theirs), time.monotonic()

    async def run(batch: tuple[Host, ...]) -> None:
        async for news in initialiser.run(batch):
            if news.ended:
                if news.failed_words:
                    failed.append(news.failed_words)
                else:
                    ready_s.append(time.monotonic() - began)

    async def all_of_them() -> None:
        batches = [tuple(waiting[first : first + forks]) for first in range(0, len(waiting), forks)]
        for batch in batches:
            await run(batch)

    watch = asyncio.create_task(follow_memory(own, peak))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await all_of_them()
    seconds = time.monotonic() - began
    watch.cancel()
    return {
        "seconds": round(seconds, 1),
        "made_ready": len(ready_s),
        "failed": len(failed),
        "first_fault": failed[0][:200] if failed else "",
        "median_ready_s": round(sorted(ready_s)[len(ready_s) // 2], 1) if ready_s else None,
        "cpu_s": round(used_s(own) - before, 1),
        "machines_cpu_s": round(used_s(theirs) - before_theirs, 1),
        "peak_memory_mb": round(peak[0] / 1e6),
        "load_before": os.getloadavg()[0],
    }


def start(machines: Machines, count: int, group: Path | None) -> list[Machine]:
    first = len(machines.made) + 1
    fresh = []
    for number in range(first, first + count):
        machine = machines.start(number)
        if group:
            move(machine, group)
        for name, does in STAND_INS:
            file = machine.folder / "upper" / name[1:]
            machine.run("sh", "-c", f"printf '#!/bin/sh\\n{does}\\n' > {name} && chmod +x {name}")
            assert file.parent.exists()
        fresh.append(machine)
    return fresh


def bare(machine: Machine) -> Host:
    name, address = machine.name, machine.address
    return Host(name, "bench", SourceKind.CLOUD, BARE, HostState.INITIALISING, 0.0, address=address)


@contextlib.contextmanager
def groups() -> Iterator[tuple[Path | None, Path | None]]:
    """A control group for this process and what it starts, and one for the machines; None where there are none."""
    if not GROUPS.is_dir():
        yield None, None
        return
    own, theirs = GROUPS / f"dcp-bench-{os.getpid()}", GROUPS / f"dcp-bench-{os.getpid()}-machines"
    own.mkdir()
    theirs.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield own, theirs
    finally:
        (GROUPS / "cgroup.procs").write_text(str(os.getpid()))
        for one in (own, theirs):
            for _ in range(100):
                with contextlib.suppress(OSError):
                    one.rmdir()
                    break
                time.sleep(0.1)


def move(machine: Machine, group: Path) -> None:
    for process in (psutil.Process(machine.pid), *psutil.Process(machine.pid).children(recursive=True)):
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text(str(process.pid))


def used_s(group: Path | None) -> float:
    if group is None:
        return sum(psutil.Process().cpu_times()[:4])
    return int((group / "cpuacct.usage").read_text()) / 1e9


async def follow_memory(group: Path | None, peak: list[int]) -> None:
    while True:
        peak[0] = max(peak[0], await asyncio.to_thread(memory_bytes, group))
        await asyncio.sleep(MEMORY_EVERY_S)


def memory_bytes(group: Path | None) -> int:
    """Return the memory of the controller's side; what processes share is counted once."""
    if group is not None:
        pids = [int(line) for line in (group / "cgroup.procs").read_text().split()]
    else:
        pids = [os.getpid(), *(one.pid for one in psutil.Process().children(recursive=True))]
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            total += psutil.Process(pid).memory_full_info().pss
    return total


if __name__ == "__main__":
    assert InitialiseLimits().forks > 0
    main()
