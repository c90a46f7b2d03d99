"""Three real registries that dcp gives the tokens of, one controller: what is pushed to one is at all of them, also
when the controller is killed in the middle, and nothing acknowledged is lost with a site.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.registries import make_image, put_blob
from conformance.registry_process import RegistryProcess, free_port
from dcp.api.client import Client
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.registries.distribution import Credentials, DistributionRegistry, RegistryAddress
from dcp.images.manifests import digest_of
from dcp.images.model import Manifest
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DcpError, Denied
from dcp.store.database import InlineDatabase
from dcp.store.edge import StoredEdge

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("registries")]

SITES = ("east", "west", "cloud")
WITHIN_S = 60.0
RATE_MBIT = 48
RATE_BYTES_PER_S = RATE_MBIT * 125_000
PASSWORD = "a password of this test"


class CountingLine:
    """A TCP relay in front of a registry that counts what goes in."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.received_bytes = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, outer, count=True))
                group.create_task(self._pass(inner, writer, count=False))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            outer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        while piece := await reader.read(65536):
            if count:
                self.received_bytes += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.close()


class Sites:
    """`dcp serve` and a registry for each site, configured by what dcp prints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        self.registries = {name: RegistryProcess(folder / name) for name in SITES}
        self.west_line = CountingLine(self.registries["west"].port)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *, rate_mbit: float | None = None, compare_s: float = 3600.0) -> None:
        urls = {name: registry.url for name, registry in self.registries.items()}
        urls["west"] = f"http://127.0.0.1:{self.west_line.port}"
        roles = {"east": {"role": "master"}, "west": {"role": "master"}}
        sites = [
            {"name": name, "url": urls[name], **roles.get(name, {"role": "follower", "follows": "west"})}
            for name in SITES
        ]
        registry = {"name": "registry.example.com", "sites": sites, "compare_s": compare_s}
        registry |= {} if rate_mbit is None else {"rate_limit_mbit": rate_mbit}
        low = free_port() % 2000 + 30000
        config = {
            "registry": registry,
            "engine": {"lease_ttl_s": 1.5, "poll_s": 0.1, "busy_poll_s": 0.05},
            "sources": [{"name": "local", "kind": "private", "hosts": 1}],
            "balancer": {"internal_ports": f"{low}-{low + 9}"},
        }
        (self.folder / "dcp.yaml").write_text(json.dumps(config))

    def start(self) -> None:
        words = [
            "serve",
            "--state",
            str(self.state),
            "--config",
            str(self.folder / "dcp.yaml"),
            "--port",
            str(self.port),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "dcp", *words], stdout=log, stderr=log)
        self.until(lambda client: client.status())

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def start_registries(self) -> None:
        for name, registry in self.registries.items():
            registry.folder.mkdir(parents=True, exist_ok=True)
            bundle = registry.folder / "dcp.pem"
            bundle.write_text(self.dcp("registry", "certificate"))
            place = ["--listens", f"127.0.0.1:{registry.port}", "--storage", str(registry.storage)]
            base = f"http://127.0.0.1:{self.port}"
            registry.text = self.dcp(
                "registry", "config", "--site", name, "--url", base, "--bundle", str(bundle), *place
            )
            registry.start()
        self.dcp("registry", "accounts", "add", "ann", "--platform-admin", stdin=PASSWORD)

    def dcp(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dcp", *words, "--state", str(self.state)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def open(self, name: str, user: str = "ann") -> DistributionRegistry:
        address = RegistryAddress(self.registries[name].url, Credentials(user, PASSWORD))
        return DistributionRegistry(address, SystemClock())

    async def push(self, name: str, repository: str, tag: str, *layers: bytes) -> Manifest:
        registry = self.open(name)
        try:
            manifest, blobs = make_image(*layers)
            for content in blobs.values():
                await put_blob(registry, repository, content, 4 << 20)
            await registry.put_manifest(repository, tag, manifest)
        finally:
            await registry.aclose()
        return manifest

    async def has(self, name: str, repository: str, reference: str) -> str | None:
        registry = self.open(name)
        try:
            return await registry.resolve(repository, reference)
        except DcpError:
            return None
        finally:
            await registry.aclose()

    def until(self, condition: Callable[[Client], Any]) -> Any:
        give_up_at = time.monotonic() + WITHIN_S
        while True:
            try:
                with Client.found(self.state) as client:
                    if found := condition(client):
                        return found
            except DcpError:
                assert self._process is None or self._process.poll() is None, self.log()
            assert time.monotonic() < give_up_at, self.log()
            time.sleep(0.05)

    async def until_has(self, name: str, repository: str, reference: str, digest: str) -> None:
        give_up_at = time.monotonic() + WITHIN_S
        while await self.has(name, repository, reference) != digest:
            assert time.monotonic() < give_up_at, self.log()
            await asyncio.sleep(0.1)

    def events(self, reason: str) -> list[dict[str, Any]]:
        with Client.found(self.state) as client:
            return [one for one in client.events(limit=1000)["events"] if one["reason"] == reason]

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def close(self) -> None:
        for registry in self.registries.values():
            registry.kill()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
        if (self.state / "balancer").exists():
            clock = SystemClock()
            asyncio.run(EnvoyBalancer(self.state / "balancer", clock, StoredEdge(InlineDatabase(), clock)).stop())


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    made = Sites(tmp_path)
    try:
        yield made
    finally:
        made.close()


async def test_a_push_is_everywhere_and_survives_the_loss_of_its_site(sites: Sites) -> None:
    await sites.west_line.open()
    sites.configure(compare_s=2.0)
    await asyncio.to_thread(sites.start)
    await asyncio.to_thread(sites.start_registries)
    with pytest.raises(Denied):
        stranger = sites.open("east", user="eve")
        try:
            await stranger.resolve("shop/web", "1")
        finally:
            await stranger.aclose()
    layer = os.urandom(5_000_000)
    manifest = await sites.push("east", "shop/web", "1", b"base", layer)
    await asyncio.to_thread(sites.until, lambda _: sites.events("acknowledged"))
    sites.registries["east"].kill()
    sites.registries["east"].wipe()
    await sites.until_has("west", "shop/web", "1", manifest.digest)
    await sites.until_has("cloud", "shop/web", "1", manifest.digest)
    west = sites.open("west")
    content = b"".join([piece async for piece in west.read_blob("shop/web", digest_of(layer))])
    await west.aclose()
    assert content == layer
    await asyncio.sleep(1.0)
    await asyncio.to_thread(sites.registries["east"].start)
    await sites.until_has("east", "shop/web", "1", manifest.digest)
    east = sites.open("east")
    assert b"".join([piece async for piece in east.read_blob("shop/web", digest_of(layer))]) == layer
    await east.aclose()
    await sites.west_line.close()


async def test_both_masters_take_pushes_and_the_last_of_a_tag_wins(sites: Sites) -> None:
    await sites.west_line.open()
    sites.configure()
    await asyncio.to_thread(sites.start)
    await asyncio.to_thread(sites.start_registries)
    first = await sites.push("east", "shop/web", "1", b"from the east")
    second = await sites.push("west", "shop/web", "1", b"from the west")
    for name in SITES:
        await sites.until_has(name, "shop/web", "1", second.digest)
        await sites.until_has(name, "shop/web", first.digest, first.digest)
    third = await sites.push("east", "shop/web", "1", b"from the east again")
    for name in SITES:
        await sites.until_has(name, "shop/web", "1", third.digest)
    await asyncio.sleep(1.0)
    for name in SITES:
        assert await sites.has(name, "shop/web", "1") == third.digest, "what dcp copied is taken for no push"
    await sites.west_line.close()


async def test_a_killed_controller_goes_on_where_it_was_and_keeps_the_rate(sites: Sites) -> None:
    await sites.west_line.open()
    sites.configure(rate_mbit=RATE_MBIT)
    await asyncio.to_thread(sites.start)
    await asyncio.to_thread(sites.start_registries)
    layer = os.urandom(30_000_000)
    manifest = await sites.push("east", "shop/web", "1", layer)
    began = time.monotonic()
    while sites.west_line.received_bytes < 12_000_000:
        assert time.monotonic() - began < WITHIN_S, sites.log()
        await asyncio.sleep(0.02)
    await asyncio.to_thread(sites.kill)
    await asyncio.sleep(0.5)
    sent_before = sites.west_line.received_bytes
    rate_before = sent_before / (time.monotonic() - began - 0.5)
    await asyncio.to_thread(sites.start)
    await sites.until_has("west", "shop/web", "1", manifest.digest)
    sent = sites.west_line.received_bytes
    print(f"sent {sent_before} before the kill, {sent} in all, of {len(layer)}; {rate_before:.0f} bytes/s")
    assert sent < len(layer) * 1.15, "what was there was not sent again"
    assert rate_before < RATE_BYTES_PER_S * 1.25
    await sites.west_line.close()
