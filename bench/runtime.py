"""How fast the `process` runtime starts and stops instances, with and without limits, beside plain subprocess.Popen.

Prints one JSON object a line: figure, unit, size (instances), seconds, and the peak memory of this process so far. The
peer starts the same command in the same run and does nothing else: no port, no log, no record, no group of its own.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from dcp.drivers.runtimes.process import ProcessRuntime, orphans
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.orchestration.services.model import ServiceKey, StartOrder

COMMAND = ("/bin/sleep", "1000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200], metavar="N", help="instances at once")
    parser.add_argument("--only", choices=["peer", "limits", "no-limits"], help="for a peak memory of its own")
    chosen = parser.parse_args()
    for size in chosen.sizes:
        if chosen.only in (None, "peer"):
            measure_peer(size)
        for name, parent in (("limits", "dcp"), ("no-limits", "")):
            if chosen.only in (None, name):
                with tempfile.TemporaryDirectory() as directory:
                    asyncio.run(measure_runtime(name, Path(directory), parent, size))


def measure_peer(size: int) -> None:
    begin = time.perf_counter()
    started = [subprocess.Popen(COMMAND) for _ in range(size)]
    report("starts", "popen", size, time.perf_counter() - begin)
    begin = time.perf_counter()
    for process in started:
        process.terminate()
    for process in started:
        process.wait()
    report("stops", "popen", size, time.perf_counter() - begin)


async def measure_runtime(name: str, directory: Path, parent: str, size: int) -> None:
    runtime = ProcessRuntime(directory, SystemClock(), cgroup_parent=parent)
    abilities = runtime.abilities()
    if parent and not (abilities.cpu_limit and abilities.memory_limit):
        print(json.dumps({"figure": f"starts {name}", "skipped": abilities.why_not}))
        return
    ids = [f"bench-{n}" for n in range(size)]
    try:
        await timed("starts", name, [runtime.start(order(i)) for i in ids])
        assert len(orphans(directory)) == size
        await timed("observations", name, [runtime.observe(i) for i in ids])
    finally:
        await timed("stops", name, [runtime.stop(i, 5.0) for i in ids])
        await timed("forgets", name, [runtime.forget(i) for i in ids])
        await runtime.aclose()
    assert orphans(directory) == ()


async def timed(figure: str, name: str, calls: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run all calls at once, as the engine does, and report their rate."""
    begin = time.perf_counter()
    await asyncio.gather(*calls)
    report(figure, name, len(calls), time.perf_counter() - begin)


def report(figure: str, name: str, size: int, seconds: float) -> None:
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "figure": f"{figure} {name}",
                "value": round(size / seconds, 1),
                "unit": "1/s",
                "size": size,
                "seconds": round(seconds, 4),
                "peak_memory_bytes": peak_bytes,
            }
        )
    )


def order(instance_id: str) -> StartOrder:
    return StartOrder(
        instance_id=instance_id,
        host_id="host-1",
        service=ServiceKey("bench", "sleeper"),
        command=COMMAND,
        resources=Resources(cpu_millis=100, memory_bytes=32 << 20),
    )


if __name__ == "__main__":
    main()
