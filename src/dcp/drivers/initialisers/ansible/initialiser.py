"""Runs Ansible for a batch of hosts and follows each host through its phases."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from dcp.drivers.initialisers.ansible.playbook import (
    KEPT,
    LIMITS_S,
    OWN_PHASE,
    AnsibleChoice,
    configuration,
    environment,
    inventory,
    phase_of,
    playbook,
    skipped_tags,
    variables,
)
from dcp.hosts.adding.model import Reach
from dcp.hosts.initialising import LOG_BYTES
from dcp.hosts.model import Host
from dcp.hosts.ports import InitNews
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

MARK = "DCP_INITIALISE_RUN"
START_S = 60.0
"""Until Ansible begins with a host."""
GRACE_S = 10.0
"""Ansible itself ends a task that takes too long; a host that it does not end by then is given up here."""
LINE_BYTES = 16 << 20
_LOOK_S = 1.0
Reaches = Callable[[], Awaitable[Mapping[str, Reach]]]


@dataclass(slots=True)
class _Follow:
    """One host of a run."""

    phase: str
    since: float
    text: str = ""
    words: str = ""
    changed: int = 0
    note: str = ""


class AnsibleInitialiser:
    """See `Initialiser`. `folder` holds the files of runs while they last, and the keys of hosts that were seen."""

    def __init__(self, folder: Path, choice: AnsibleChoice, clock: Clock, reaches: Reaches | None = None) -> None:
        """`reaches` returns how machines are reached that people have added, by address."""
        self._folder = folder.absolute()
        self._choice = choice
        self._clock = clock
        self._reaches = reaches
        self._numbers = count()
        self._limits_s = {**LIMITS_S, **choice.limits_s}
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_leftovers(self._folder)

    async def run(self, batch: tuple[Host, ...]) -> AsyncIterator[InitNews]:
        """See `Initialiser`."""
        folder = self._folder / f"{os.getpid()}-{next(self._numbers)}"
        self._write(folder, batch, await self._reaches() if self._reaches else {})
        process = await self._start(folder)
        try:
            async for news in self._follow(process, batch, folder / "stderr"):
                yield news
        finally:
            await _end(process)
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, batch: tuple[Host, ...], reaches: Mapping[str, Reach]) -> None:
        folder.mkdir(mode=0o700)
        told = {
            "variables": variables(self._choice),
            "environment": environment(folder, self._folder / "known_hosts", self._choice),
            "forks": len(batch),
            "skipped_tags": skipped_tags(self._choice),
        }
        (folder / "ansible.cfg").write_text(configuration())
        _write_json(folder / "run.json", told)
        _write_json(folder / "hosts.json", inventory(batch, self._choice, reaches))
        _write_json(folder / "playbook.json", playbook(self._choice))

    async def _start(self, folder: Path) -> asyncio.subprocess.Process:
        programs = str(Path(sys.executable).parent)
        try:
            with (folder / "stderr").open("wb") as errors:
                return await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "dcp.drivers.initialisers.ansible.child", str(folder)),
                    env={**os.environ, MARK: folder.name, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    limit=LINE_BYTES,
                )
        except OSError as error:
            raise DriverError(f"Ansible cannot be started: {error.strerror}") from error

    async def _follow(
        self, process: asyncio.subprocess.Process, batch: tuple[Host, ...], errors: Path
    ) -> AsyncIterator[InitNews]:
        """Read events until every host has ended; whoever has not when Ansible ends has failed."""
        assert process.stdout is not None
        waiting = {host.id: _Follow("", self._clock.now()) for host in batch}
        said = ""
        reading = asyncio.create_task(process.stdout.readline())
        try:
            while waiting:
                await asyncio.wait({reading}, timeout=_LOOK_S)
                for news in self._too_long(waiting):
                    yield news
                if not reading.done():
                    continue
                line = reading.result()
                if not line:
                    break
                reading = asyncio.create_task(process.stdout.readline())
                event = _event(line)
                said += event.get("text", "") + "\n" if event.get("kind") == "said" else ""
                for news in self._take(event, waiting):
                    yield news
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ValueError):
                await reading
        said += errors.read_text(errors="replace")[-LOG_BYTES:] if waiting else ""
        for host_id, host in waiting.items():
            words = host.words or _last_line(said) or "Ansible ended before it was done with it"
            yield InitNews(host_id, host.phase, ended=True, failed_words=words, log=host.text + said)

    def _take(self, event: dict[str, Any], waiting: dict[str, _Follow]) -> list[InitNews]:
        host = waiting.get(event.get("host", ""))
        if host is None:
            return []
        host_id, kind, phase = event["host"], event["kind"], phase_of(event["role"], event["task"])
        host.text = (host.text + f"{phase}: {event['task']}\n{event['text']}\n")[-LOG_BYTES:]
        host.changed += event["changed"]
        if phase == "engine" and (last := _last_line(event["words"])).startswith(KEPT):
            host.note = f"its own engine {last.removeprefix(KEPT)} is kept as it is"
        if phase == "done" and kind == "runner_on_ok":
            del waiting[host_id]
            return [InitNews(host_id, host.phase, ended=True, changed=host.changed, note=host.note)]
        if kind in ("runner_on_failed", "runner_on_unreachable") and not event["ignored"]:
            host.words = _last_line(event["words"]) or f"{event['task']} failed"
            if kind == "runner_on_unreachable" or phase != OWN_PHASE:  # the user's own roles may rescue a task
                del waiting[host_id]
                return [InitNews(host_id, phase, ended=True, failed_words=host.words, log=host.text)]
        if phase in (host.phase, "done"):
            return []
        host.phase, host.since = phase, self._clock.now()
        return [InitNews(host_id, phase)]

    def _too_long(self, waiting: dict[str, _Follow]) -> list[InitNews]:
        now, late = self._clock.now(), []
        for host_id, host in list(waiting.items()):
            limit_s = self._limits_s.get(host.phase, START_S)
            if now - host.since > limit_s + GRACE_S:
                del waiting[host_id]
                words = f"phase {host.phase or 'start'} took longer than {limit_s:g} s"
                late.append(InitNews(host_id, host.phase, ended=True, failed_words=words, log=f"{host.text}{words}\n"))
        return late


def _event(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"kind": "said", "text": line.decode(errors="replace")}
    return found if isinstance(found, dict) else {}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its standard input, on which it ends all that it began; then end it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _remove_leftovers(folder: Path) -> None:
    """Remove the files of runs whose controller is no more."""
    for left in folder.glob("*-*"):
        if left.is_dir() and not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
