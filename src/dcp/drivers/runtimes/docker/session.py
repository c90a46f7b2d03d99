"""One host's session: an event stream that keeps what is known of its containers true, and what its silence means.

On every connection the stream is opened first and everything is listed after, so that nothing falls between the two.
While the stream lives a question is answered from what is known, without a call. When it breaks nothing is answered
until all was listed again. An event that cannot be right (a start of what has ended) is settled by asking the engine.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from dcp.drivers.runtimes.docker.api import ANSWER_S, EngineApi, EngineRefused, Spent
from dcp.drivers.runtimes.docker.host_ports import HostPorts
from dcp.drivers.runtimes.docker.reach import Way, Ways
from dcp.drivers.runtimes.docker.seen import OWNER, Phase, Seen, of_inspection, of_listing
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError, Unreachable
from dcp.orchestration.services.ports import EngineState, HostEngine

PING_S = 3.0
"""An engine that said nothing for this long is asked whether it is there."""
LIST_AGAIN_S = 60.0
"""Everything is listed again this often, because an engine drops events of a listener that is slow to take them."""
BACK_OFF_S = (0.5, 30.0)
OPEN_S = 9.0
"""Longest that a connection with its first listing may take, and so a verb that waits for it."""
REPLAY_S = 2.0
"""Events from this long before the connection are asked for: the engine subscribes us a moment after it answers."""
EVENTS = ("start", "die", "destroy")


class Line(StrEnum):
    """How we stand with an engine."""

    OPENING = "opening"
    LIVE = "live"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Shared:
    """What the sessions of all hosts share."""

    owner: str
    clock: Clock
    ways: Ways
    sockets: Path
    """Folder of forwarded sockets."""
    ports: tuple[int, int]
    opening: asyncio.Semaphore
    """So many connections are opened and listed at once."""
    random: random.Random
    list_again_s: float = LIST_AGAIN_S
    ping_s: float = PING_S
    answer_s: float = ANSWER_S
    """How long an engine that is asked whether it is there may think about it."""


class Session:
    """Keeps itself connected from `open` to `aclose`."""

    def __init__(self, host: HostEngine, shared: Shared) -> None:
        self.host = host
        self.shared = shared
        self.ports = HostPorts(shared.ports, f"{shared.owner} {host.host_id} {shared.random.random()}")
        self.spent = Spent()
        self.lacks: tuple[str, ...] = ()
        """Limits that the engine says it cannot enforce."""
        self._line = Line.OPENING
        self._state: EngineState | None = None
        self._way: Way | None = None
        self._by_container: dict[str, Seen] = {}
        self._by_instance: dict[str, Seen] = {}
        self._ahead_s = 0.0
        """How much the engine's time is ahead of the event loop's."""
        self._changes = 0
        self._changed_at: dict[str, int] = {}
        self._past: set[tuple[str, str, int]] = set()
        """What the stream is going to repeat of what was caught up with."""
        self._news = asyncio.Event()
        self._nudge = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"engine:{self.host.host_id}")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_way()

    def state(self) -> EngineState | None:
        """Return whether it answers; None before it was asked once."""
        return self._state

    async def ready(self) -> EngineApi:
        """Return the API once everything known is true; raises Unreachable if the engine is silent."""
        if self._line is Line.OPENING:
            await self._until(lambda: self._line is not Line.OPENING, OPEN_S)
        if self._line is not Line.LIVE or self._way is None:
            words = self._state.words if self._state else "no answer yet"
            raise Unreachable(f"{self.host.host_id}: its engine does not answer: {words}")
        return self._way.api

    async def ask_whether_there(self) -> None:
        """Raise Unreachable unless the engine answers now."""
        api = await self.ready()
        try:
            await api.ping(self.shared.answer_s)
        except Unreachable:
            self._nudge.set()
            raise

    def find(self, instance_id: str) -> Seen | None:
        return self._by_instance.get(instance_id)

    def all(self) -> tuple[Seen, ...]:
        return tuple(self._by_instance.values())

    def note(self, seen: Seen) -> Seen:
        """Take in what a call of ours has shown, unless more is known already; return what is known now."""
        known = self._by_container.get(seen.container_id)
        if known is not None and _is_further(known, seen):
            return known
        self._put(seen)
        return seen

    def drop(self, container_id: str) -> None:
        """The container is gone."""
        known = self._by_container.pop(container_id, None)
        if known is not None and self._by_instance.get(known.instance_id) is known:
            del self._by_instance[known.instance_id]
        self._touch(container_id)

    async def until_ended(self, instance_id: str, limit_s: float) -> bool:
        """Return whether it ends within `limit_s`; raises Unreachable if the engine falls silent meanwhile."""

        def over() -> bool:
            known = self.find(instance_id)
            return self._line is Line.SILENT or known is None or known.phase is Phase.ENDED

        await self._until(over, limit_s)
        await self.ready()
        known = self.find(instance_id)
        return known is None or known.phase is Phase.ENDED

    async def _until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                while not condition():
                    await self._news.wait()
        except TimeoutError:
            return condition()
        return True

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _run(self) -> None:
        failures = 0
        while True:
            was_live = False
            try:
                await self._connect_and_follow()
            except (DcpError, EngineRefused, ValueError, KeyError, OSError) as error:
                was_live = self._line is Line.LIVE
                await self._close_way()
                words = str(error)
            if was_live:
                # Often only the stream has broken; one attempt tells, before the engine counts as silent.
                self._line, failures = Line.OPENING, 0
                self._announce()
                continue
            failures += 1
            self._fall_silent(words)
            await self._back_off(failures)

    async def _connect_and_follow(self) -> None:
        async with self.shared.opening:
            way = self._way = await self.shared.ways.open(self.host.engine, self.shared.sockets)
            way.api.spent = self.spent
            await way.api.ping(self.shared.answer_s)
            await self._learn(way.api)
        since_s = self._engine_now_s() - REPLAY_S
        params = {"filters": self._filters(), "since": f"{since_s:.9f}"}
        async with way.api.lines("GET", "/events", params=params) as events:
            async with self.shared.opening:
                await self._list(way.api)
                await self._catch_up(way.api, since_s)
            self._line = Line.LIVE
            if self._state is None or not self._state.answers:
                self._state = EngineState(True, self.shared.clock.now())
            self._announce()
            reader = asyncio.create_task(self._read(way.api, events))
            tender = asyncio.create_task(self._tend(way.api))
            try:
                done, _ = await asyncio.wait((reader, tender), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (reader, tender):
                    task.cancel()
                await asyncio.gather(reader, tender, return_exceptions=True)

    async def _learn(self, api: EngineApi) -> None:
        """Note what the engine can limit, and its own time, which no event of the past is after."""
        info = await api.get("/info")
        named = (("CPUCfsQuota", "CpuCfsQuota"), ("MemoryLimit", "MemoryLimit"))
        self.lacks = tuple(ours for ours, theirs in named if not info.get(theirs, info.get(ours, True)))
        self._ahead_s = datetime.fromisoformat(info["SystemTime"]).timestamp() - asyncio.get_running_loop().time()

    def _engine_now_s(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead_s

    async def _list(self, api: EngineApi) -> None:
        """Make what is known exactly what the engine has, but for what has changed while it was listed."""
        before = self._changes
        filters = json.dumps({"label": [f"{OWNER}={self.shared.owner}"]})
        items: list[Mapping[str, Any]] = await api.get("/containers/json", {"all": "1", "filters": filters})
        listed = {item["Id"]: of_listing(item) for item in items}
        for container_id in [one for one in self._by_container if one not in listed]:
            if self._changed_at.get(container_id, 0) <= before:
                self.drop(container_id)
        for container_id, seen in listed.items():
            known = self._by_container.get(container_id)
            if self._changed_at.get(container_id, 0) > before:
                continue
            if known is None or (known.phase is not seen.phase and not _is_further(known, seen)):
                self._put(seen)
            elif known.phase is not seen.phase:
                # An engine's listing is a little behind its events.
                await self._inspect(api, container_id)
        self._changed_at = {one: at for one, at in self._changed_at.items() if at > before}
        self._announce()

    async def _catch_up(self, api: EngineApi, since_s: float) -> None:
        """Take in what happened just before and during the listing, because a listing is a little behind events."""
        bounds = {"since": f"{since_s:.9f}", "until": f"{self._engine_now_s():.9f}"}
        async with api.lines("GET", "/events", params={"filters": self._filters(), **bounds}) as events:
            past = [event async for event in events]
        gone = {_container_of(event) for event in past if event.get("Action") == "destroy"}
        for event in past:
            if _container_of(event) not in gone or event.get("Action") == "destroy":
                await self._take_in(api, event)
        self._past = {_mark(event) for event in past}

    def _filters(self) -> str:
        return json.dumps({"type": ["container"], "event": list(EVENTS), "label": [f"{OWNER}={self.shared.owner}"]})

    async def _read(self, api: EngineApi, events: Any) -> None:
        async for event in events:
            if _mark(event) not in self._past:
                self._past.clear()
                await self._take_in(api, event)
        raise Unreachable(f"{self.host.engine}: its event stream has ended")

    async def _take_in(self, api: EngineApi, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        container_id, action = actor.get("ID", ""), event.get("Action", "")
        known = self._by_container.get(container_id)
        if action == "destroy":
            self.drop(container_id)
        elif action == "die" and known is not None:
            code = (actor.get("Attributes") or {}).get("exitCode", "")
            self._put(replace(known, phase=Phase.ENDED, exit_code=int(code) if code else None))
        elif action == "start" and (known is None or known.phase is Phase.ENDED):
            await self._inspect(api, container_id)
        elif action == "start" and known is not None:
            self._put(replace(known, phase=Phase.RUNNING))
        self._announce()

    async def _inspect(self, api: EngineApi, container_id: str) -> None:
        try:
            self._put(of_inspection(await api.get(f"/containers/{container_id}/json")))
        except EngineRefused as error:
            if error.status != 404:
                raise
            self.drop(container_id)

    async def _tend(self, api: EngineApi) -> None:
        """Ask whether a quiet engine is still there, and list everything again now and then."""
        loop = asyncio.get_running_loop()
        list_at = loop.time() + self.shared.list_again_s * self.shared.random.uniform(0.5, 1.5)
        while True:
            await self._nudged_within(self.shared.ping_s * self.shared.random.uniform(0.8, 1.2))
            if loop.time() >= list_at:
                await self._list(api)
                list_at = loop.time() + self.shared.list_again_s
            elif loop.time() - api.answered_at >= self.shared.ping_s * 0.7:
                await api.ping(self.shared.answer_s)

    async def _back_off(self, failures: int) -> None:
        shortest, longest = BACK_OFF_S
        await self._nudged_within(
            min(longest, shortest * 2 ** min(failures - 1, 10)) * self.shared.random.uniform(0.5, 1.0)
        )

    async def _nudged_within(self, seconds: float) -> None:
        """Wait, or less if a call of ours found the engine silent."""
        self._nudge.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            return

    def nudge(self) -> None:
        """A call found no answer: ask at once."""
        if self._line is Line.LIVE:
            self._nudge.set()

    def _fall_silent(self, words: str) -> None:
        self._line = Line.SILENT
        if self._state is None or self._state.answers:
            self._state = EngineState(False, self.shared.clock.now(), words)
        else:
            self._state = replace(self._state, words=words)
        self._announce()

    async def _close_way(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            await way.aclose()

    def _put(self, seen: Seen) -> None:
        self._by_container[seen.container_id] = seen
        before = self._by_instance.get(seen.instance_id)
        if before is None or before.container_id == seen.container_id or before.phase is not Phase.RUNNING:
            self._by_instance[seen.instance_id] = seen
        self._touch(seen.container_id)

    def _touch(self, container_id: str) -> None:
        self._changes += 1
        self._changed_at[container_id] = self._changes
        self._announce()


def _container_of(event: Mapping[str, Any]) -> str:
    return str((event.get("Actor") or {}).get("ID", ""))


def _mark(event: Mapping[str, Any]) -> tuple[str, str, int]:
    return (_container_of(event), str(event.get("Action", "")), int(event.get("timeNano", 0)))


_ORDER = (Phase.CREATED, Phase.RUNNING, Phase.ENDED)


def _is_further(known: Seen, new: Seen) -> bool:
    return _ORDER.index(known.phase) > _ORDER.index(new.phase) or (
        known.phase is new.phase and known.exit_code is not None
    )
