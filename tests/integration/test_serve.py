"""`dcp serve` as people run it: a process, its state directory, its signals, and what stays when it is gone."""

import asyncio
import json
import os
import pty
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import DCP, Serve, free_ports, until

from dcp.api.client import Client
from dcp.api.state_directory import found_server
from dcp.drivers.runtimes.process import orphans
from dcp.kernel.errors import Denied

pytestmark = pytest.mark.slow

COMPOSE = """
name: hello
services:
  web:
    command:
      - python3
      - -c
      - |
        import http.server, os
        class Hello(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
                self.wfile.write(b"hi")
            def log_message(self, *_): pass
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64M}}}
    x-dcp: {health: {http: /}}
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    config = tmp_path / "dcp.yaml"
    low = free_ports(20)
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 19}}}\n"
        "sources: [{name: local, kind: private, hosts: 4, cpus: 1, memory: 256M}]\n"
    )
    serve = Serve(tmp_path / "state", config)
    yield serve
    asyncio.run(serve.clean_up())


def test_its_state_is_private_and_its_token_is_kept(serve: Serve):
    process, here = serve.listening()
    token = serve.state / "token"
    assert stat.S_IMODE(serve.state.stat().st_mode) == 0o700
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    first = token.read_text()
    assert len(first.strip()) == 64
    assert json.loads((serve.state / "server.json").read_text()) == {"url": here["url"], "pid": process.pid}
    assert httpx.get(f"{here['url']}/api/v1/status").status_code == 401
    with Client(here["url"], "wrong") as api, pytest.raises(Denied):
        api.status()
    assert first.strip() not in serve.log()
    end(process)
    serve.listening()
    assert token.read_text() == first
    assert serve.ask(Client.status)["applications"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order(serve: Serve, number: signal.Signals):
    process, _ = serve.listening()
    end(process, number)
    assert found_server(serve.state) is None
    last = json.loads(serve.log().splitlines()[-1])
    assert last["event"] == "ended; services and proxy keep running"
    assert serve.run("status").returncode == 1


def test_it_ends_in_good_order_when_its_terminal_is_gone(serve: Serve):
    ours, theirs = pty.openpty()
    command = [*DCP, "serve", "--state", str(serve.state), "--config", str(serve.config), "--port", "0"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, text=True)
    serve.processes.append(process)
    os.close(theirs)
    until(lambda: found_server(serve.state) is not None)
    os.close(ours)
    end(process)
    assert found_server(serve.state) is None


def test_a_second_controller_on_the_same_directory_is_refused(serve: Serve):
    process, here = serve.listening()
    code, words = serve.refused("--port", "0")
    assert code == 1
    assert f"is in use by controller pid {process.pid}" in words
    assert serve.ask(lambda api: api.url) == here["url"]
    assert serve.run("status").returncode == 0


def test_a_port_that_is_taken_is_named_with_a_way_out(serve: Serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, words = serve.refused("--port", str(port))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is taken" in words and "--port 0" in words
    assert not (serve.state / "token").exists()


def test_a_wrong_configuration_is_a_wrong_input_and_makes_nothing(serve: Serve):
    serve.config.write_text("policy: best\nengin: {}\n")
    code, words = serve.refused("--port", "0")
    assert code == 2
    assert "policy: line 1" in words and "did you mean engine?" in words
    assert not serve.state.exists()


def test_a_store_in_memory_is_refused(serve: Serve):
    code, words = serve.refused("--port", "0", "--database", "sqlite://")
    assert code == 2 and "in memory" in words


def test_a_store_of_ones_own_can_have_one_controller_only(serve: Serve, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    serve.listening("--database", url)
    other = Serve(tmp_path / "other", serve.config, serve.processes)
    code, words = other.refused("--port", "0", "--database", url)
    assert code == 1 and "in use by another controller" in words


def test_services_outlive_the_controller_and_the_next_one_takes_them_up(serve: Serve):
    process, _ = serve.listening()
    file = serve.state.with_name("compose.yaml")
    file.write_text(COMPOSE)
    applied = serve.run("apply", str(file), "--json")
    assert applied.returncode == 0, applied.stderr
    before = {one["id"]: one for one in json.loads(serve.run("instances", "--json").stdout)["instances"]}
    url = json.loads(serve.run("services", "--json").stdout)["services"][0]["listen_url"]
    assert httpx.get(url).text == "hi"

    process.kill()
    process.wait(10)
    assert httpx.get(url).text == "hi"
    assert "no controller at" in serve.run("status").stderr

    process, _ = serve.listening()
    assert httpx.get(url).text == "hi"
    until(lambda: len(serve.ask(Client.status)["controllers"]) == 1)
    after = {one["id"]: one for one in json.loads(serve.run("instances", "--json").stdout)["instances"]}
    assert after == before
    end(process)
    assert httpx.get(url).text == "hi"

    serve.listening()
    removed = serve.run("remove", "hello", "--yes", "--json")
    assert json.loads(removed.stdout)["gone"] is True
    assert orphans(serve.state / "runtime") == ()


def test_a_change_is_asked_for_on_a_terminal(serve: Serve):
    serve.listening()
    file = serve.state.with_name("compose.yaml")
    file.write_text(COMPOSE)
    assert serve.run("apply", str(file), "--no-wait").returncode == 0
    file.write_text(COMPOSE.replace("replicas: 2", "replicas: 3"))
    assert "not confirmed" in on_terminal(serve, ["apply", str(file)], "n\n")
    assert serve.ask(lambda api: api.application("hello"))["revision"] == 1
    assert "revision 2 applied" in on_terminal(serve, ["apply", str(file), "--no-wait"], "y\n")
    assert serve.run("remove", "hello", "--yes").returncode == 0


@pytest.mark.postgresql
def test_several_controllers_share_a_store_and_a_directory(serve: Serve, postgresql_url: str, tmp_path: Path):
    first, _ = serve.listening("--database", postgresql_url)
    second, newest = serve.listening("--database", postgresql_url)
    assert serve.ask(lambda api: api.url) == newest["url"]
    assert len(serve.ask(Client.status)["controllers"]) == 2

    code, words = serve.refused("--port", "0")
    assert code == 1 and f"pid {first.pid}" in words
    elsewhere = Serve(tmp_path / "elsewhere", serve.config, serve.processes)
    code, words = elsewhere.refused("--port", "0", "--database", postgresql_url)
    assert code == 1 and "another state directory" in words

    end(second)
    assert serve.ask(lambda api: api.url) != newest["url"]
    end(first)
    assert found_server(serve.state) is None


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> None:
    process.send_signal(number)
    assert process.wait(20) == 0


def on_terminal(serve: Serve, words: list[str], answer: str) -> str:
    """Return what a verb prints on a terminal on which somebody answers its question."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DCP_STATE": str(serve.state), "TERM": "xterm"}
    process = subprocess.Popen([*DCP, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    process.wait(30)
    return shown.decode()
