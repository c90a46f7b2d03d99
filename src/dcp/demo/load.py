"""The open-loop load generator, a process of its own: `python -m dcp.demo.load --url … --events FILE`.

Requests leave on schedule whatever becomes of the earlier ones, as users do, and latency counts from the scheduled
instant: a generator that waited for answers would stop asking exactly when the system is slow and would not see it.
Every line of the events file is one JSON object, see `load_count`; the first is of kind `start`, the last `end`.
SIGTERM ends the run early: no further request is sent, those under way are awaited (a second SIGTERM cuts them), and
the closing line is written.
"""

import argparse
import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from dcp.demo.load_client import ConnectionPool, Target
from dcp.demo.load_count import LoadCount, SecondCount
from dcp.demo.load_profile import LoadProfile, Spacing
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DcpError, InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """One run of the generator."""

    url: str
    profile: LoadProfile
    seed: int = 1
    spacing: Spacing = Spacing.POISSON
    slow_ms: float = 500.0
    timeout_s: float = 60.0
    """A request without an answer after this long has failed."""


class Generator:
    """Sends the requests of one run and writes its lines."""

    def __init__(self, settings: LoadSettings, events: TextIO) -> None:
        self._settings = settings
        self._events = events
        self._count = LoadCount(settings.slow_ms)
        self._pool = ConnectionPool(Target.parse(settings.url))
        self._sending: asyncio.Task[None] | None = None
        self._all_ended = asyncio.Event()
        self._stopping = False
        self._start_s = 0.0

    def stop(self) -> None:
        """Send nothing further; told again, cut what is under way."""
        if self._stopping:
            self._pool.close()
        self._stopping = True
        if self._sending:
            self._sending.cancel()

    async def run(self) -> dict[str, Any]:
        """Run the whole profile and return the closing line."""
        loop = asyncio.get_running_loop()
        self._start_s = loop.time()
        self._write(self._opening())
        reporter = loop.create_task(self._report())
        self._sending = loop.create_task(self._send_all())
        await asyncio.wait({self._sending})
        if self._count.in_flight:
            await self._all_ended.wait()
        reporter.cancel()
        await asyncio.gather(reporter, return_exceptions=True)
        self._pool.close()
        return self._close()

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        for scheduled_s in self._settings.profile.arrivals_s(self._settings.spacing, self._settings.seed):
            due_s = self._start_s + scheduled_s
            if (early_s := due_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            late_ms = (loop.time() - due_s) * 1000
            second = self._count.offer(scheduled_s, late_ms)
            self._pool.send(partial(self._ended, second, due_s))
            if late_ms > 1:
                await asyncio.sleep(0)  # let answers be read while it catches up

    def _ended(self, second: SecondCount, due_s: float, status: int, how: str) -> None:
        latency_ms = (asyncio.get_running_loop().time() - due_s) * 1000
        self._count.end(second, latency_ms, status, how)
        if self._count.in_flight == 0 and self._sending is not None and self._sending.done():
            self._all_ended.set()

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        tick = 0
        while True:
            tick += 1
            await asyncio.sleep(max(0.0, self._start_s + tick - loop.time()))
            self._pool.cut_older(loop.time() - self._settings.timeout_s)
            self._write(self._count.take_live(loop.time() - self._start_s))
            self._write(*self._count.take_complete(before_second=int(loop.time() - self._start_s)))
            # Collect while nothing is due rather than in the middle of a burst.
            gc.collect(0)

    def _opening(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "kind": "start",
            "started_at": SystemClock().now(),
            "url": settings.url,
            "seed": settings.seed,
            "spacing": settings.spacing,
            "slow_ms": settings.slow_ms,
            "timeout_s": settings.timeout_s,
            "profile": asdict(settings.profile),
            "timeline": [asdict(phase) for phase in settings.profile.timeline()],
        }

    def _close(self) -> dict[str, Any]:
        duration_s = asyncio.get_running_loop().time() - self._start_s
        self._write(self._count.take_live(duration_s))
        self._write(*self._count.take_complete(before_second=sys.maxsize))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        closing = self._count.totals() | {
            "duration_s": round(duration_s, 3),
            "connections": self._pool.opened,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "complete": not self._stopping,
        }
        self._write(closing)
        return closing

    def _write(self, *lines: dict[str, Any]) -> None:
        if lines:
            self._events.write("".join(json.dumps(line) + "\n" for line in lines))
            self._events.flush()


async def run_load(settings: LoadSettings, events: TextIO) -> dict[str, Any]:
    """Offer the load, write the lines to `events`, and return the closing line. SIGTERM and SIGINT end it early."""
    generator = Generator(settings, events)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, generator.stop)
    try:
        return await generator.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def read_profile(text: str) -> LoadProfile:
    """Read a profile from a JSON object with the fields of LoadProfile. Raises InvalidInput."""
    try:
        return LoadProfile(**json.loads(text))
    except (TypeError, ValueError) as error:
        problem = Problem("profile", str(error), 'for example {"base_rps": 40, "surge_factor": 6}')
        raise InvalidInput((problem,), subject="load generator") from error


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dcp.demo.load", description="Offer an open-loop HTTP load.")
    parser.add_argument("--url", required=True, help="where requests go, http://host:port/path")
    parser.add_argument("--profile", required=True, help="JSON object: base_rps, surge_factor, before_s, ramp_s, …")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same arrivals")
    parser.add_argument("--spacing", choices=[*Spacing], type=Spacing, default=Spacing.POISSON)
    parser.add_argument("--slow-ms", type=float, default=500.0, help="an answer later than this is slow")
    parser.add_argument("--timeout-s", type=float, default=60.0, help="a request fails after this long")
    parser.add_argument("--events", required=True, help="file for the JSON lines; - for standard output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the generator; return 0, or 2 if the command line is wrong."""
    given = parse_arguments(arguments)
    try:
        profile = read_profile(given.profile)
        settings = LoadSettings(given.url, profile, given.seed, given.spacing, given.slow_ms, given.timeout_s)
        Target.parse(given.url)
    except DcpError as error:
        print(error, file=sys.stderr)
        return 2
    if given.events == "-":
        asyncio.run(run_load(settings, sys.stdout))
        return 0
    with Path(given.events).open("w", encoding="utf-8") as events:
        asyncio.run(run_load(settings, events))
    return 0


if __name__ == "__main__":
    sys.exit(main())
