"""One run of the main job: a fresh controller, the example, a surge, and everything given back. Nothing is left behind.

Every figure is counted by the load generator, the proxy or the store; this module only starts, asks and waits.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from dcp.api.client import Client
from dcp.compose import read
from dcp.demo.controller import DemoController
from dcp.demo.ground import MIN_LAB_HOSTS, DemoRuntime, Ground, ground
from dcp.demo.load_profile import LoadProfile
from dcp.demo.outcome import Outcome, compute_outcome
from dcp.demo.recording import Decision, LiveSecond, Recording, ServiceLines, StateSample, read_live, read_seconds
from dcp.demo.view import Progress
from dcp.demo.watch import Watch, same_counts
from dcp.kernel.errors import NotFound, Unavailable
from dcp.orchestration.scaling.model import Policy
from dcp.orchestration.services.model import ApplicationSpec

ENTRY = "feed"
SETTLE_LIMIT_S = 30.0
"""The application serves within this time, and is removed within it."""
RETURN_LIMIT_S = 120.0
"""After the load has ended, all must be as before within this time."""
LOOK_S = 1.0

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be told to a run."""

    profile: LoadProfile
    policy: Policy = Policy.GATED
    seed: int = 1
    compose: Path | None = None
    """The application; None: examples/hot-event of this project."""
    keep: bool = False
    """Keep the run's folder (state, logs, load events)."""
    runtime: DemoRuntime = DemoRuntime.PROCESS
    hosts: int = MIN_LAB_HOSTS
    """Engines of the lab; only with runtime `docker`."""


def find_example() -> Path:
    """Return the example's Compose file. Raises NotFound where only the installed package is at hand."""
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        path = folder / "examples" / "hot-event" / "compose.yaml"
        if path.is_file():
            return path
    raise NotFound("examples/hot-event/compose.yaml is not here", hint="run it in a clone of dcp, or name a --file")


def run_demo(options: DemoOptions, show: Show) -> tuple[Recording, Outcome]:
    """Run once and return what was written down and its figures. Whatever happens, what was started is ended."""
    compose = options.compose or find_example()
    spec = read(compose, environment=os.environ).spec
    program = compose.absolute().parent
    with _folder(options.keep) as folder, ground(options.runtime, options.hosts, program, folder) as stands:
        controller = DemoController(folder, stands.configuration(options.policy))
        try:
            with controller.start() as client:
                run = _Run(options, stands, stands.adapt(spec), client, folder)
                run.play(show)
                run.remove()
            controller.end()
        finally:
            controller.end()
            left = controller.leftovers()
            if left:
                controller.sweep()
        recording = replace(run.recording, orphan_processes=len(left) + stands.left_behind())
    return recording, compute_outcome(recording)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dcp-demo-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    """The run between the controller's start and its end."""

    def __init__(
        self, options: DemoOptions, stands: Ground, spec: ApplicationSpec, client: Client, folder: Path
    ) -> None:
        self._options = options
        self._stands = stands
        self._spec = spec
        self._client = client
        self._events = folder / "load.jsonl"
        self._load_log = folder / "load.log"
        status = client.status()
        self._watch = Watch(client, {"private": "private", "cloud": "cloud"})
        self.recording = Recording(
            application=spec.name,
            entry=ENTRY,
            policy=status["policy"],
            time_scale=status["time_scale"],
            cloud=stands.cloud,
            hosts=stands.hosts,
            started_at=status["now"],
            profile=options.profile,
            slow_ms=spec.service(ENTRY).slow_threshold_ms,
            seed=options.seed,
            lines={
                s.name: ServiceLines(s.elastic.safe_level, s.elastic.fatal_level) for s in spec.services if s.elastic
            },
        )
        self._live: list[LiveSecond] = []
        self._samples: list[StateSample] = []
        self._decisions: list[Decision] = []

    def play(self, show: Show) -> None:
        """Apply the application, send the load, and watch until all is as before."""
        self._client.apply(self._spec)
        self._wait_until_serving()
        load = self._start_load()
        try:
            with self._events.open(encoding="utf-8") as lines:
                opening = self._opening(lines, load)
                self._watch.zero_at = opening["started_at"]
                self.recording = replace(self.recording, started_at=opening["started_at"])
                self._follow(lines, load, show)
        finally:
            if load.poll() is None:
                load.terminate()
                load.wait()
        self._close(load)

    def remove(self) -> None:
        """Remove the application and wait until it is gone."""
        self._client.remove(self._spec.name)
        give_up_at = time.monotonic() + SETTLE_LIMIT_S
        while self._client.status()["applications"]:
            if time.monotonic() > give_up_at:
                raise Unavailable(f"{self._spec.name} was not removed within {SETTLE_LIMIT_S:.0f} s")
            time.sleep(0.2)

    def _wait_until_serving(self) -> None:
        give_up_at = time.monotonic() + SETTLE_LIMIT_S
        while True:
            services = self._client.services()["services"]
            if services and all(s["serving"] == s["target"] and not s["coming"] for s in services):
                return
            if time.monotonic() > give_up_at:
                words = "; ".join(f"{s['name']}: {s['words']}" for s in services)
                raise Unavailable(f"the application does not serve after {SETTLE_LIMIT_S:.0f} s: {words}")
            time.sleep(0.2)

    def _start_load(self) -> subprocess.Popen[bytes]:
        url = next(s["listen_url"] for s in self._client.services()["services"] if s["name"] == ENTRY)
        self._events.touch()
        words = ["--url", f"{url}/", "--events", str(self._events), "--seed", str(self._options.seed)]
        words += ["--slow-ms", str(self.recording.slow_ms)]
        words += ["--profile", json.dumps({n: getattr(self._options.profile, n) for n in LoadProfile.__slots__})]
        with self._load_log.open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", "dcp.demo.load", *words], stderr=log)

    def _opening(self, lines: TextIO, load: subprocess.Popen[bytes]) -> dict[str, Any]:
        while load.poll() is None:
            line = lines.readline()
            if line.endswith("\n"):
                opening: dict[str, Any] = json.loads(line)
                return opening
            time.sleep(0.02)
        raise Unavailable(f"the load generator ended at once: {self._load_log.read_text()[-1000:]}")

    def _follow(self, lines: TextIO, load: subprocess.Popen[bytes], show: Show) -> None:
        """Look once a second until the load has ended and all is as it was before the surge."""
        give_up_at = time.monotonic() + self._options.profile.duration_s + RETURN_LIMIT_S
        while time.monotonic() < give_up_at:
            began_at = time.monotonic()
            self._live += [read_live(line) for line in _whole_lines(lines) if line["kind"] == "live"]
            self._samples.append(self._watch.sample())
            self._decisions += self._watch.decisions()
            ended = load.poll() is not None
            show(self._progress(ended))
            if ended and same_counts(self._before(), self._samples[-1]):
                return
            time.sleep(max(0.0, LOOK_S - (time.monotonic() - began_at)))

    def _before(self) -> StateSample:
        surge_start_s = self._options.profile.surge_start_s
        ahead = [sample for sample in self._samples if sample.at_s <= surge_start_s]
        return ahead[-1] if ahead else self._samples[0]

    def _progress(self, ended: bool) -> Progress:
        at_s = self._samples[-1].at_s
        phase = next((p.name for p in self.recording.timeline if p.start_s <= at_s < p.end_s), "waiting for the return")
        return Progress(
            at_s=at_s,
            profile=self._options.profile,
            policy=self.recording.policy,
            time_scale=self.recording.time_scale,
            cloud=self._stands.cloud,
            hosts=self._stands.hosts,
            phase="load has ended" if ended else phase,
            live=self._live,
            sample=self._samples[-1],
            decisions=self._decisions,
            lines=dict(self.recording.lines),
        )

    def _close(self, load: subprocess.Popen[bytes]) -> None:
        with self._events.open(encoding="utf-8") as lines:
            every = _whole_lines(lines)
        self.recording = replace(
            self.recording,
            seconds=read_seconds(every),
            live=tuple(self._live),
            samples=tuple(self._samples),
            decisions=tuple(self._decisions),
            load_complete=load.returncode == 0 and every[-1]["kind"] == "end" and every[-1]["complete"],
        )


def _whole_lines(lines: TextIO) -> list[dict[str, Any]]:
    """Return what can be read now; the generator writes whole lines in one call."""
    return [json.loads(line) for line in lines.readlines() if line.endswith("\n")]
