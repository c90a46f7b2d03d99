"""Clients that find services by asking, against `dcp serve`.

Prometheus by http_sd, VictoriaMetrics by consul_sd (Debian's Prometheus is built without it), a Consul library, and
nginx-upsync's protocol.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import consul
import httpx
import pytest
from consul.exceptions import ConsulException
from served import Serve, free_ports, until
from upsync_client import UpsyncClient

pytestmark = pytest.mark.slow

READER = "only-for-reading-what-is-published"
STEP_S = 0.5
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
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", "5"); self.end_headers()
                self.wfile.write(b"hi 1\\n")
            def log_message(self, *_): pass
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
    deploy: {replicas: REPLICAS, resources: {limits: {cpus: "0.25", memory: 32M}}}
    x-dcp: {health: {http: /}}
"""
BY_HTTP = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: asked
    http_sd_configs:
      - url: "URL/discovery/prometheus"
        refresh_interval: 1s
        authorization: {type: Bearer, credentials_file: TOKEN_FILE}
    relabel_configs: [{source_labels: [__meta_dcp_service], target_label: service}]
"""
BY_CONSUL = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: asked
    consul_sd_configs: [{server: "SERVER", token: READER, services: [hello.web]}]
    relabel_configs: [{source_labels: [__meta_consul_service], target_label: service}]
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    low = free_ports(40)
    (tmp_path / "reader.token").write_text(READER)
    config = tmp_path / "dcp.yaml"
    config.write_text(
        f"balancer: {{internal_ports: {low}-{low + 9}}}\nruntime: {{ports: {low + 10}-{low + 38}}}\n"
        "sources: [{name: local, kind: private, hosts: 4, cpus: 1, memory: 256M}]\n"
        f"discovery: {{enabled: true, step_s: {STEP_S}, linger_s: 1, token_file: {tmp_path / 'reader.token'}}}\n"
    )
    serve = Serve(tmp_path / "state", config)
    yield serve
    asyncio.run(serve.clean_up())


@pytest.fixture
def url(serve: Serve) -> str:
    """The controller's address, with three instances published."""
    _, here = serve.listening()
    scale(serve, 3)
    until(lambda: len(published(here["url"])) == 3, 40)
    return here["url"]


def scale(serve: Serve, replicas: int) -> None:
    file = serve.state.with_name("compose.yaml")
    file.write_text(COMPOSE.replace("REPLICAS", str(replicas)))
    applied = serve.run("apply", str(file), "--yes", "--no-wait")
    assert applied.returncode == 0, applied.stderr


def published(url: str) -> set[str]:
    found = httpx.get(f"{url}/discovery/prometheus", headers={"X-Consul-Token": READER}).raise_for_status().json()
    return {target for group in found for target in group["targets"]}


def kill_one(url: str) -> str:
    """End the process of one instance as a crash would; return where it was published."""
    address = min(published(url))
    shown = ["ss", "-Hltnp", f"sport = :{address.rpartition(':')[2]}"]
    found = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    os.kill(int(found.partition("pid=")[2].partition(",")[0]), signal.SIGKILL)
    return address


def instances(serve: Serve) -> list[dict[str, Any]]:
    return json.loads(serve.run("instances", "--json").stdout)["instances"]


@pytest.fixture(params=["prometheus", "victoria-metrics"])
def scraper(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[str]:
    program = shutil.which(request.param)
    if program is None:
        assert not os.environ.get("CI"), f"{request.param} is not installed; .ci/run does that"
        pytest.skip(f"needs {request.param} (the Debian package of that name)")
    text = {"prometheus": BY_HTTP, "victoria-metrics": BY_CONSUL}[request.param]
    text = text.replace("URL", url).replace("SERVER", urlsplit(url).netloc).replace("READER", READER)
    config = tmp_path / "scrape.yml"
    config.write_text(text.replace("TOKEN_FILE", str(tmp_path / "reader.token")))
    address, series = f"127.0.0.1:{free_ports(1)}", tmp_path / "series"
    flags = {
        "prometheus": [f"--config.file={config}", f"--web.listen-address={address}", f"--storage.tsdb.path={series}"],
        "victoria-metrics": [
            f"-promscrape.config={config}",
            f"-httpListenAddr={address}",
            f"-storageDataPath={series}",
            "-promscrape.consulSDCheckInterval=1s",
        ],
    }
    with (tmp_path / "scraper.log").open("w") as log:
        process = subprocess.Popen([program, *flags[request.param]], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def scraped(scraper: str) -> set[str]:
    """Return the targets that it reaches; none until it answers."""
    try:
        targets = httpx.get(f"{scraper}/api/v1/targets", params={"state": "active"}).json()["data"]["activeTargets"]
    except httpx.TransportError:
        return set()
    assert {target["labels"]["service"] for target in targets} <= {"web", "hello.web"}
    return {target["labels"]["instance"] for target in targets if target["health"] == "up"}


def test_a_scraper_follows_instances_as_they_come_and_go(serve: Serve, url: str, scraper: str):
    def follows(count: int) -> bool:
        now = published(url)
        return len(now) == count and scraped(scraper) == now

    until(lambda: follows(3), 40)
    scale(serve, 6)
    until(lambda: follows(6), 40)
    gone = kill_one(url)
    until(lambda: gone not in published(url) and follows(6), 40)
    scale(serve, 2)
    until(lambda: follows(2), 40)
    token = (serve.state / "token").read_text().strip()
    metrics = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert "dcp_discovery_zombies_total 1.0" in metrics.text


def test_a_consul_library_reads_waits_and_may_not_write(serve: Serve, url: str):
    client = consul.Consul(host="127.0.0.1", port=urlsplit(url).port, token=READER)
    index, nodes = client.health.service("hello.web", passing=True)
    assert {f"{n['Service']['Address']}:{n['Service']['Port']}" for n in nodes} == published(url)
    assert all(check["Status"] == "passing" for node in nodes for check in node["Checks"])
    _, services = client.catalog.services()
    assert services == {"hello.web": ["dcp"]}
    _, keys = client.kv.get("upstreams/hello.web/", recurse=True)
    assert {key["Key"].rpartition("/")[2] for key in keys} == published(url)
    assert json.loads(keys[0]["Value"])["weight"] == 1
    assert client.kv.get("upstreams/nobody/", recurse=True)[1] is None

    began = time.monotonic()
    assert client.health.service("hello.web", index=index, wait="1s")[0] == index
    assert time.monotonic() - began >= 1
    waiting = threading.Timer(1.0, scale, (serve, 4))
    waiting.start()
    later, nodes = client.health.service("hello.web", index=index, wait="60s")
    assert int(later) > int(index) and len(nodes) > 3
    waiting.join()

    with pytest.raises(ConsulException, match="reading only"):
        client.kv.put("upstreams/hello.web/127.0.0.1:1", "{}")
    with pytest.raises(ConsulException, match="reading only"):
        client.agent.service.register("intruder", port=1)
    with pytest.raises(ConsulException, match="token"):
        consul.Consul(host="127.0.0.1", port=urlsplit(url).port, token="wrong").catalog.services()


def test_who_follows_as_upsync_does_never_asks_one_that_is_stopped(serve: Serve, url: str):
    port = urlsplit(url).port
    assert port is not None
    path = f"/v1/kv/upstreams/hello.web/?token={READER}&recurse="
    client = UpsyncClient(port, path).start()
    try:
        until(lambda: len(client.servers) == 3)
        scale(serve, 10)
        until(lambda: len(client.servers) == 10, 60)
        scale(serve, 2)
        until(lambda: len(client.servers) == 2, 60)
        until(lambda: len(instances_alive(serve)) == 2, 60)
        assert client.failed == []
        assert client.sent > 100

        before = client.servers
        serve.processes[-1].kill()
        serve.processes[-1].wait(10)
        time.sleep(0.5)
        serve.listening("--port", str(port))
        time.sleep(2)
        assert client.servers == before
        scale(serve, 4)
        until(lambda: len(client.servers) == 4, 60)
        assert client.failed == []
    finally:
        client.stop()
    assert client.indices == sorted(client.indices)
    for now, then in itertools.pairwise(client.lists):
        assert len({*now} - {*then}) <= max(1, 0.2 * len(now))


def instances_alive(serve: Serve) -> list[str]:
    return [one["id"] for one in instances(serve) if one["state"] in ("serving", "draining", "stopping")]
