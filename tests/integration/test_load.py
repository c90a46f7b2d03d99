"""The load generator as its own process against a small server that misbehaves on request."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Server:
    """Answers each request by the next word of `behaviour`, then well: ok, error, reset, silent, close, late."""

    behaviour: list[str] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    delay_s: float = 0.0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if not await self._answer(self.behaviour.pop(0) if self.behaviour else "ok", writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, word: str, writer: asyncio.StreamWriter) -> bool:
        if word == "reset":
            writer.transport.abort()
            return False
        if word == "silent":
            await asyncio.sleep(3600)
        await asyncio.sleep(1.0 if word == "late" else self.delay_s)
        writer.write(ERROR if word == "error" else GOOD)
        return word != "close"


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def start(port: int, events: Path, rps: float, duration_s: float, *more: str) -> asyncio.subprocess.Process:
    profile = {"base_rps": rps, "surge_factor": 1, "before_s": duration_s}
    profile |= dict.fromkeys(("ramp_s", "hold_s", "fall_s", "tail_s"), 0)
    words = ("--url", f"http://127.0.0.1:{port}/", "--profile", json.dumps(profile), "--events", str(events))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dcp.demo.load", *words, "--spacing", "even", *more
    )


def read(events: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in events.read_text().splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


async def test_every_request_is_answered_and_counted(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server()) as server:
        assert await (await start(server.port, events, 50, 2)).wait() == 0
    lines = read(events)
    assert lines[0]["kind"] == "start"
    assert lines[0]["timeline"][0]["name"] == "base"
    assert [(line["second"], line["offered"], line["answered"]) for line in of_kind(lines, "second")] == [
        (0, 50, 50),
        (1, 50, 50),
    ]
    end = lines[-1]
    assert (end["kind"], end["offered"], end["answered"], end["failed"], end["complete"]) == ("end", 100, 100, 0, True)
    assert server.requests == 100
    assert server.connections == end["connections"] < 50


async def test_load_is_open_whatever_becomes_of_the_answers(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server(delay_s=1.0)) as server:
        assert await (await start(server.port, events, 40, 2, "--slow-ms", "500")).wait() == 0
    lines = read(events)
    # Nothing was answered in the first second, and the requests of the second one left all the same.
    assert [line["offered"] for line in of_kind(lines, "second")] == [40, 40]
    assert lines[-1]["slow"] == 80
    assert lines[-1]["connections"] >= 20
    assert max(line["in_flight"] for line in of_kind(lines, "live")) >= 20


async def test_failures_are_counted_by_kind_and_nothing_is_repeated(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    behaviour = ["ok", "error", "reset", "ok", "close", "silent", "error", "ok"]
    async with serving(Server(behaviour)) as server:
        assert await (await start(server.port, events, 10, 2, "--timeout-s", "1")).wait() == 0
    end = read(events)[-1]
    assert end["failures"] == {"503": 2, "reset": 1, "timeout": 1}
    assert (end["offered"], end["answered"], end["failed"]) == (20, 16, 4)
    assert server.requests == 20


async def test_nobody_listening_is_a_refusal(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server()) as server:
        port = server.port
    assert await (await start(port, events, 10, 1)).wait() == 0
    assert read(events)[-1]["failures"] == {"refused": 10}


async def test_a_late_answer_counts_in_the_second_of_its_schedule(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server(["ok"] * 5 + ["late"])) as server:
        assert await (await start(server.port, events, 10, 2, "--slow-ms", "500")).wait() == 0
    assert [line["slow"] for line in of_kind(read(events), "second")] == [1, 0]


async def test_sigterm_ends_the_run_with_its_closing_line(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server(delay_s=0.3)) as server:
        process = await start(server.port, events, 20, 60)
        while server.requests < 10:
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    end = read(events)[-1]
    assert (end["kind"], end["complete"], end["failed"]) == ("end", False, 0)
    assert end["offered"] == end["answered"] == server.requests


async def test_a_second_sigterm_does_not_wait_for_answers(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with serving(Server(["silent"] * 1000)) as server:
        process = await start(server.port, events, 20, 60)
        while server.requests < 5:
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    end = read(events)[-1]
    assert end["failures"] == {"timeout": end["offered"]}


@pytest.mark.parametrize("profile", ["{", '{"base_rps": 0}', '{"base_rps": 5, "unknown": 1}', "[]"])
async def test_a_wrong_profile_is_refused(tmp_path: Path, profile: str) -> None:
    words = ("--url", "http://127.0.0.1:1/", "--profile", profile, "--events", str(tmp_path / "events.jsonl"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dcp.demo.load", *words, stderr=asyncio.subprocess.PIPE
    )
    _, words_said = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in words_said
    assert not (tmp_path / "events.jsonl").exists()
