"""Degrade switches on real processes: an instance at its maximum is told what to leave out, and when to do it again."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from served import Serve, free_ports, start_load, until

pytestmark = pytest.mark.slow

PAGE = """
import http.server, json, os, time

OFF = []

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.02)
        self.answer(json.dumps({"off": OFF}).encode())

    def do_PUT(self):
        OFF[:] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["off"]
        with open(os.environ["TOLD"], "a") as file:
            print(json.dumps(OFF), file=file)
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
APPLICATION = """
name: page
services:
  web:
    command: ["@PYTHON@", "@PAGE@"]
    environment: {TOLD: "@TOLD@"}
    ports: ["@PORT@:80"]
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
    x-dcp:
      elastic: {min: 1, max: 1}
      capacity: {units_per_s: 30, requests_per_s: 15}
      degrade: {features: [pictures, comments], path: /switches, after: 1s, every: 1s}
"""


def test_features_go_while_it_is_too_small_and_come_back(tmp_path: Path) -> None:
    low = free_ports(40)
    config, page, told = tmp_path / "dcp.yaml", tmp_path / "page.py", tmp_path / "told"
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 38}}}\ntime_scale: 60\n"
        "sources: [{name: local, kind: private, hosts: 1, cpus: 1, memory: 256M}]\n"
    )
    page.write_text(PAGE)
    text = APPLICATION.replace("@PYTHON@", sys.executable).replace("@PAGE@", str(page)).replace("@TOLD@", str(told))
    (tmp_path / "page.yaml").write_text(text.replace("@PORT@", str(low + 39)))
    serve = Serve(tmp_path / "state", config)
    try:
        serve.listening()
        applied = serve.run("apply", str(tmp_path / "page.yaml"))
        assert applied.returncode == 0, applied.stderr
        until(lambda: _told(told) == [[]])
        load = start_load(low + 39, tmp_path / "events.jsonl", 40)
        try:
            until(lambda: _told(told)[-1] == ["pictures", "comments"], 60)
            assert "features off: pictures, comments" in serve.run("why", "web").stdout
        finally:
            load.terminate()
            load.wait(30)
        until(lambda: _told(told)[-1] == [], 60)
        assert _told(told) == [[], ["pictures"], ["pictures", "comments"], ["pictures"], []]
        logged = serve.run("events", "--limit", "200").stdout
        assert "feature-off" in logged and "feature-on" in logged
    finally:
        asyncio.run(serve.clean_up())


def _told(path: Path) -> list[list[str]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
