"""A controller and the registry of one site, both real, set up with nothing but `dcp registry`.

With `prefix` everything runs behind another command, such as `nsenter` into a network of its own.
"""

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conformance.registry_process import free_port, require_registry
from dcp.drivers.balancers.envoy import EnvoyBalancer
from dcp.drivers.runtimes.process import orphans
from dcp.kernel.clock import SystemClock
from dcp.store.database import InlineDatabase
from dcp.store.edge import StoredEdge

DCP = [sys.executable, "-m", "dcp"]
START_LIMIT_S = 20.0
GET = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
if sys.argv[2]:
    request.add_header("Authorization", sys.argv[2])
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        found = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    found = error.code, error.read().decode()
except OSError as error:
    found = 0, str(error)
print(json.dumps(found))
"""
PASSWORD = "correct horse battery"


def require_program(name: str) -> str:
    """Return where a program is; skip on a user's machine that has none."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"needs the program {name}")
    return found


def until(holds: Callable[[], Any], what: str, timeout_s: float = START_LIMIT_S) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < end, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)
    return found


@dataclass
class RegistryWorld:
    """Starts both, asks both, ends both."""

    folder: Path
    prefix: tuple[str, ...] = ()
    token_ttl_s: int = 60
    more: str = ""
    """Lines of dcp.yaml besides; NAME stands for the registry's."""
    port: int = field(default_factory=free_port)
    registry_port: int = field(default_factory=free_port)
    controller: subprocess.Popen[str] | None = None
    registry: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.registry_port}"

    def start(self) -> None:
        low = 29000 + os.getpid() % 90 * 10
        (self.folder / "dcp.yaml").write_text(
            f"access: {{token_ttl_s: {self.token_ttl_s}}}\n"
            f"balancer: {{internal_ports: {low}-{low + 4}}}\nruntime: {{ports: {low + 5}-{low + 9}}}\n"
            "sources: [{name: local, kind: private, hosts: 2, cpus: 1, memory: 128M}]\n"
            + self.more.replace("NAME", self.name)
        )
        self.start_controller()
        self.configure_registry()
        self.start_registry()

    def start_controller(self) -> None:
        words = ["--state", str(self.state), "--config", str(self.folder / "dcp.yaml"), "--port", str(self.port)]
        with (self.folder / "dcp.log").open("a") as log:
            self.controller = subprocess.Popen(
                [*self.prefix, *DCP, "serve", *words, "--json"], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.controller.stdout is not None
        assert self.controller.stdout.readline(), (self.folder / "dcp.log").read_text()

    def kill_controller(self) -> None:
        assert self.controller is not None and self.controller.stdout is not None
        self.controller.send_signal(signal.SIGKILL)
        self.controller.wait(10)
        self.controller.stdout.close()

    def configure_registry(self) -> None:
        """As docs/registry.md says."""
        bundle, storage = self.folder / "dcp.pem", self.folder / "storage"
        place = ["--listens", self.name, "--storage", str(storage), "--bundle", str(bundle)]
        self.dcp("registry", "config", "--site", "a", *place, "--output", str(self.folder / "config.yml"))
        self.fetch_bundle()

    def fetch_bundle(self) -> None:
        (self.folder / "dcp.pem").write_text(self.dcp("registry", "certificate"))

    def start_registry(self) -> None:
        require_registry()
        command = [*self.prefix, require_registry(), "serve", str(self.folder / "config.yml")]
        with (self.folder / "registry.log").open("ab") as log:
            self.registry = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.get(f"http://{self.name}/v2/")[0] == 401, "the registry answers")

    def kill_registry(self) -> None:
        assert self.registry is not None
        self.registry.send_signal(signal.SIGKILL)
        self.registry.wait(10)

    def close(self) -> None:
        if self.registry is not None and self.registry.poll() is None:
            self.kill_registry()
        if self.controller is not None and self.controller.poll() is None:
            self.kill_controller()
        if (self.state / "balancer").exists():
            clock = SystemClock()
            asyncio.run(EnvoyBalancer(self.state / "balancer", clock, StoredEdge(InlineDatabase(), clock)).stop())
        for pid in orphans(self.state / "runtime"):
            os.kill(pid, signal.SIGKILL)

    def call(self, command: list[str], stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, *command],
            input=stdin,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def get(self, url: str, authorization: str = "") -> tuple[int, str]:
        """Return status and body; (0, reason) where nobody answers."""
        done = self.call([sys.executable, "-c", GET, url, authorization])
        assert done.returncode == 0, done.stderr
        status, body = json.loads(done.stdout)
        return status, body

    def dcp(self, *words: str, stdin: str = "", fails: int = 0) -> str:
        """Return what a verb prints; `fails`: the exit code that is expected."""
        done = self.call([*DCP, *words], stdin, DCP_STATE=str(self.state))
        assert done.returncode == fails, (words, done.stdout, done.stderr)
        return done.stdout

    def json(self, *words: str, stdin: str = "", fails: int = 0) -> Any:
        return json.loads(self.dcp(*words, "--json", stdin=stdin, fails=fails))

    def add_account(self, name: str, *words: str) -> None:
        self.dcp("registry", "accounts", "add", name, *words, stdin=f"{PASSWORD}\n")

    def reasons_of(self, subject: str) -> list[str]:
        return [one["reason"] for one in self.json("events", "--subject", subject)["events"]]

    def skopeo(self, verb: str, *words: str, who: str = "", password: str = PASSWORD) -> tuple[bool, str]:
        """Return whether it worked, and what it said."""
        sides = ("--src-", "--dest-") if verb == "copy" else ("--",)
        remote = [side for side, word in zip(sides, words[-len(sides) :], strict=True) if word.startswith("docker:")]
        options = [f"{side}tls-verify=false" for side in remote]
        options += [f"{side}creds={who}:{password}" if who else f"{side}no-creds" for side in remote]
        # A policy and log-ins of the machine must not decide the test.
        (self.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        program = [require_program("skopeo"), "--policy", str(self.folder / "policy.json")]
        done = self.call([*program, verb, *options, *words], REGISTRY_AUTH_FILE=str(self.folder / "no-auth.json"))
        return done.returncode == 0, done.stdout + done.stderr

    def push(self, repository: str, tag: str = "1", *, who: str = "", password: str = PASSWORD) -> tuple[bool, str]:
        source = make_image(self.folder / "image", f"{repository}:{tag}")
        return self.skopeo("copy", source, self.image(repository, tag), who=who, password=password)

    def pull(self, repository: str, tag: str = "1", *, who: str = "", password: str = PASSWORD) -> tuple[bool, str]:
        target = self.folder / "pulled"
        shutil.rmtree(target, ignore_errors=True)
        return self.skopeo("copy", self.image(repository, tag), f"dir:{target}", who=who, password=password)

    def image(self, repository: str, tag: str = "1") -> str:
        return f"docker://{self.name}/{repository}:{tag}"


def make_image(folder: Path, words: str) -> str:
    """Make an image of one file with these words, as an OCI layout; return its name for skopeo."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(body: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(body).hexdigest()
        (blobs / digest).write_bytes(body)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(body)}

    oci = "application/vnd.oci.image"
    layer = tar_of({"words": words.encode()})
    diff_id = "sha256:" + hashlib.sha256(layer).hexdigest()
    rootfs = {"type": "layers", "diff_ids": [diff_id]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(config, f"{oci}.config.v1+json"),
        "layers": [put(layer, f"{oci}.layer.v1.tar")],
    }
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}"


def tar_of(files: dict[str, bytes]) -> bytes:
    """Return an archive of files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return made.getvalue()
