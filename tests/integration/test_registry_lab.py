"""Real container hosts in two sites whose registries believe dcp's tokens: a host pulls what runs on it, by an account
of its own for which nothing has to be made, and nothing else.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from container_platform import Platform, serving, web
from registry_world import PASSWORD, require_program

from conformance.registry_process import free_port
from dcp.images.access.model import AccountKind
from dcp.kernel.clock import SystemClock
from dcp.lab.lab import Lab
from dcp.settings.read import parse_settings
from dcp.store.database import InlineDatabase
from dcp.wiring import make_token_server

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]


@dataclass
class Guarded:
    """A controller that the hosts and registries of a lab can reach, and their registries behind its tokens."""

    platform: Platform
    lab: Lab
    url: str

    def dcp(self, *words: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "dcp", *words, "--state", str(self.platform.state)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def guard(self, folder: Path) -> None:
        """Give every registry the part of its configuration that dcp writes."""
        (folder / "dcp.pem").write_text(self.dcp("registry", "certificate"))
        for registry in self.lab.registries:
            words = ["--site", registry.site, "--bundle", str(folder / "dcp.pem")]
            written = yaml.safe_load(self.dcp("registry", "config", *words))
            parts = {key: written[key] for key in ("auth", "notifications")}
            asyncio.run(self.lab.start_registry(registry.site, parts))

    def open(self) -> None:
        """Take it back: other tests know nothing of tokens."""
        for registry in self.lab.registries:
            asyncio.run(self.lab.start_registry(registry.site))

    def push(self, repository: str) -> None:
        """Push lab/busybox to the first site as ann."""
        archive = next(self.lab.directory.rglob("busybox.tar"))
        target = f"docker://{self.lab.registries[0].address}:5000/{repository}:1"
        options = ["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", f"ann:{PASSWORD}"]
        command = [require_program("skopeo"), *options, f"docker-archive:{archive}", target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def history(self, repository: str) -> list[dict[str, Any]]:
        found = self.platform.ask(lambda client: client.registry.history(repository)["history"])
        return list(found)

    def pull_by_hand(self, host: str, repository: str, folder: Path) -> tuple[bool, str]:
        """Log in on a host as that host, with what dcp gives its engine, and pull."""
        settings, database = parse_settings("", "dcp.yaml"), InlineDatabase()
        identifier = self.platform.hosts()[self.lab.host(host).address]["id"]
        tokens = make_token_server(settings, self.platform.state, database, SystemClock())
        own = tokens.identities.own(AccountKind.HOST, identifier)
        database.close()
        docker = [require_program("docker"), "--config", str(folder / host), "-H", self.lab.host(host).engine_unix]
        login = [*docker, "login", "-u", own.name, "--password-stdin", self.lab.registry_name]
        done = subprocess.run(login, input=own.password, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        pull = [*docker, "pull", f"{self.lab.registry_name}/{repository}:1"]
        done = subprocess.run(pull, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode == 0, done.stdout + done.stderr


class Reachable(Platform):
    """Listens where the lab reaches it."""

    port = 0

    def words(self) -> list[str]:
        return ["--host", self.lab.topology.sites[0].gateway, "--port", str(self.port)]


@pytest.fixture
def guarded(lab: Lab, tmp_path: Path) -> Iterator[Guarded]:
    require_program("skopeo")
    require_program("docker")
    port = free_port()
    url = f"http://{lab.topology.sites[0].gateway}:{port}"
    platform = Reachable(lab, tmp_path, {"access": {"url": url}})
    platform.port = port
    made = Guarded(platform, lab, url)
    platform.start()
    try:
        made.guard(tmp_path)
        yield made
    finally:
        platform.end()
        made.open()


def test_hosts_pull_what_runs_on_them_and_nothing_else(guarded: Guarded, tmp_path: Path):
    platform, lab = guarded.platform, guarded.lab
    guarded.dcp("registry", "projects", "add", "shop")
    guarded.dcp("registry", "accounts", "add", "ann", stdin=PASSWORD)
    guarded.dcp("registry", "members", "add", "shop", "ann", "developer")
    guarded.push("shop/web")
    guarded.push("shop/other")
    platform.until(lambda _: len({one["site"] for one in guarded.history("shop/web")}) == 2, 60)
    large = {"replicas": 1, "resources": {"limits": {"cpus": "0.8", "memory": "32M"}}}
    images = {"front": "shop/web", "back": "shop/other"}
    platform.apply({k: web(1, image=f"{lab.registry_name}/{v}:1", deploy=large) for k, v in images.items()})
    platform.until(lambda client: all(serving(name, 1)(client) for name in images), 120)
    carry = {one["service"]: one["host"] for one in platform.instances()}
    assert len(set(carry.values())) == 2, "a host has room for one of them"
    address = {one["id"]: address for address, one in platform.hosts().items()}
    for service, other in (("front", "back"), ("back", "front")):
        account = f"dcp.host.{carry[service]}"
        pulled = {one["actor"] for one in guarded.history(images[service]) if one["action"] == "pull"}
        assert account in pulled and f"dcp.host.{carry[other]}" not in pulled
        host = next(one.name for one in lab.hosts if one.address == address[carry[service]])
        worked, said = guarded.pull_by_hand(host, images[service], tmp_path)
        assert worked, said
        worked, said = guarded.pull_by_hand(host, images[other], tmp_path)
        assert not worked and "denied" in said, said
        assert "not-needed-on-host" in platform.reasons(f"account/{account}")
