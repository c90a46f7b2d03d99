"""Proxies on edge hosts with a real controller: started as `dcp proxy bootstrap` says, serving whoever is gone.

An edge host is an address of this machine's loopback; everything else is as it would be elsewhere.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dcp.api.client import Client
from dcp.drivers.balancers.envoy.proxy import envoy_binary
from dcp.drivers.runtimes.process import orphans
from dcp.kernel.errors import DcpError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("envoy")]

NODES = {"edge-1": "127.0.0.2", "edge-2": "127.0.0.3"}
WITHIN_S = 60.0
SERVICE = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        port: int = found.getsockname()[1]
        return port


class Site:
    """A controller, its two edge hosts, and one service."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.port = free_port()
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        xds = free_port()
        config = {
            "sources": [{"name": "private", "kind": "private", "hosts": 2, "cpus": 1, "memory": "512M"}],
            "engine": {"lease_ttl_s": 3},
            "balancer": {
                "embedded": False,
                "proxy_away_after_s": 2,
                "proxies": [
                    {"name": node, "listen_address": address, "status": f"{address}:{free_port(address)}"}
                    for node, address in NODES.items()
                ],
                "xds": {"listen": f"127.0.0.1:{xds}", "addresses": [f"127.0.0.1:{xds}"]},
            },
        }
        (folder / "dcp.yaml").write_text(yaml.safe_dump(config))
        (folder / "service.py").write_text(SERVICE)

    def dcp(self, *words: str) -> None:
        done = subprocess.run([sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start_controller(self) -> None:
        config = str(self._folder / "dcp.yaml")
        words = ["serve", "--state", str(self.state), "--config", config, "--port", "0"]
        self._start("controller", [sys.executable, "-m", "dcp", *words])

    def start_proxy(self, node: str) -> None:
        path = self._folder / f"{node}.json"
        if not path.exists():
            words = ["--config", str(self._folder / "dcp.yaml"), "--state", str(self.state), "--output", str(path)]
            self.dcp("proxy", "bootstrap", "--node", node, *words)
        self._start(node, [str(envoy_binary()), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"])

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def apply(self, replicas: int) -> None:
        service = {
            "command": [sys.executable, str(self._folder / "service.py")],
            "ports": [f"{self.port}:80"],
            "deploy": {"replicas": replicas, "resources": {"limits": {"cpus": "0.1", "memory": "64M"}}},
        }
        path = self._folder / "compose.yaml"
        path.write_text(yaml.safe_dump({"name": "shop", "services": {"feed": service}}))
        self.dcp("apply", str(path), "--state", str(self.state), "--yes", "--no-wait")

    def status(self, node: str) -> int:
        """Return what a client of this edge host gets; 0 if nothing listens."""
        try:
            with urllib.request.urlopen(f"http://{NODES[node]}:{self.port}/", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self, question: Callable[[Client], Any]) -> Any:
        with Client.found(self.state) as client:
            return question(client)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + WITHIN_S
        while True:
            try:
                if condition():
                    return
            except DcpError:
                pass
            assert time.monotonic() < give_up_at, (self._folder / "controller.log").read_text()[-3000:]
            time.sleep(0.1)

    def serving(self) -> int:
        return sum(int(service["serving"]) for service in self.ask(lambda client: client.services())["services"])

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        for pid in orphans(self.state / "runtime"):
            os.kill(pid, signal.SIGKILL)

    def _start(self, name: str, words: list[str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(words, stdout=log, stderr=log)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_edge_hosts_serve_whoever_is_gone_and_are_right_again_afterwards(site: Site) -> None:
    for node in NODES:
        site.start_proxy(node)
    site.start_controller()
    site.until(lambda: bool(site.ask(lambda client: client.status())))
    site.apply(2)
    site.until(lambda: site.serving() == 2 and {site.status(node) for node in NODES} == {200})

    site.kill("controller")
    assert {site.status(node) for node in NODES for _ in range(20)} == {200}
    site.start_controller()
    site.kill("edge-2")
    site.until(lambda: "away" in site.ask(lambda client: client.why("edge-2"))["now"])
    site.apply(1)
    site.until(lambda: site.serving() == 1)
    assert {site.status("edge-1") for _ in range(20)} == {200}, "the one that is left has the change"

    site.start_proxy("edge-2")
    site.until(lambda: site.status("edge-2") == 200)
    assert {site.status(node) for node in NODES for _ in range(20)} == {200}
    site.until(lambda: "counted" in site.ask(lambda client: client.why("edge-2"))["now"])
    reasons = [one["reason"] for one in site.ask(lambda client: client.why("proxy/edge-2"))["events"]]
    assert reasons == ["proxy-back", "proxy-away", "proxy-back"]
