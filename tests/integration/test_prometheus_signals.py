"""Signals from a real Prometheus: the driver's answers, and a service that grows by a figure of it."""

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Serve, free_ports

from dcp.drivers.metrics.prometheus import PrometheusMetrics
from dcp.kernel.errors import DriverError, Rejected, Unreachable

APPLICATION = """
name: mail
services:
  worker:
    command: [sleep, "1000"]
    deploy: {resources: {limits: {cpus: "0.1", memory: 32M}}}
    x-dcp:
      elastic: {min: 1, max: 3}
      signals: {queue: {query: "sum(queue_length)", per_instance: 10}}
"""


class Exporter(http.server.BaseHTTPRequestHandler):
    """Shows the length of a queue."""

    text = 'queue_length 25\nparts{part="a"} 1\nparts{part="b"} 2\nbroken NaN\n'

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("prometheus")
    if program is None:
        assert not os.environ.get("CI"), "prometheus is not installed; .ci/run does that"
        pytest.skip("needs prometheus (the Debian package of that name)")
    folder = tmp_path_factory.mktemp("prometheus")
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    (folder / "scrape.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: e, static_configs: [{{targets: ['127.0.0.1:{exporter.server_port}']}}]}}]\n"
    )
    address = f"127.0.0.1:{free_ports(1)}"
    flags = [f"--config.file={folder / 'scrape.yml'}", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, *flags, f"--storage.tsdb.path={folder / 'series'}"], stdout=log, stderr=log
        )
    try:
        until(lambda: scraped(f"http://{address}"), 30)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)
        exporter.shutdown()
        exporter.server_close()


def scraped(url: str) -> bool:
    """Return whether it has the exporter's figures; until it is ready it answers 503."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": "queue_length"})
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and bool(answer.json()["data"]["result"])


def until(holds, limit_s: float) -> None:
    limit = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.3)


async def test_one_number_is_an_answer(prometheus: str):
    metrics = PrometheusMetrics(prometheus)
    assert await metrics.value("sum(queue_length) / 2") == 12.5
    assert await metrics.value("scalar(queue_length)") == 25
    await metrics.aclose()


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("sum(nothing)", DriverError, "gives nothing"),
        ("parts", Rejected, "gives 2 numbers"),
        ("broken", DriverError, "gives NaN"),
        ("queue_length / 0", DriverError, "gives \\+Inf"),
        ("queue_length[1m]", Rejected, "not a number"),
        ("sum(", Rejected, "cannot answer"),
    ],
)
async def test_anything_else_is_none(prometheus: str, query: str, error: type[DriverError], words: str):
    metrics = PrometheusMetrics(prometheus)
    with pytest.raises(error, match=words):
        await metrics.value(query)
    await metrics.aclose()


async def test_a_server_that_is_away_is_said():
    metrics = PrometheusMetrics(f"http://127.0.0.1:{free_ports(1)}")
    with pytest.raises(Unreachable, match="does not answer"):
        await metrics.value("up")
    await metrics.aclose()


def test_a_service_grows_by_what_it_says(prometheus: str, tmp_path: Path):
    low = free_ports(40)
    config = tmp_path / "dcp.yaml"
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 38}}}\ntime_scale: 60\n"
        f"sources: [{{name: local, kind: private, hosts: 4, cpus: 1, memory: 256M}}]\nmetrics: {{url: {prometheus}}}\n"
    )
    (tmp_path / "mail.yaml").write_text(APPLICATION)
    serve = Serve(tmp_path / "state", config)
    try:
        serve.listening()
        assert serve.run("apply", str(tmp_path / "mail.yaml"), "--no-wait").returncode == 0
        until(lambda: worker(serve)["serving"] == 3, 60)
        assert "signal queue is 25, 10 an instance" in worker(serve)["words"] + serve.run("events").stdout
    finally:
        asyncio.run(serve.clean_up())


def worker(serve: Serve) -> dict:
    (found,) = json.loads(serve.run("services", "--json").stdout)["services"]
    return found
