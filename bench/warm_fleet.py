"""A real fleet for `bench/warm.py`: network namespaces with shaped links; a real registry, mirrors and curl in them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from dcp.images.manifests import digest_of
from dcp.images.warming.model import REGISTRY, Mirror, Pull, WarmHost, WarmImage, WarmingSettings

REPOSITORY = "bench/image"
PORT = 5050
TOKEN = "bench"
OCI = "application/vnd.oci.image.manifest.v1+json"
NETWORK = "10.131"
SOURCE = Path(__file__).resolve().parents[1] / "src"
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "DCP_MIRROR_TOKEN": TOKEN, "LC_ALL": "C"}


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout


class Network:
    """One bridge; a namespace for the registry and for each host, each behind a link with its own speed."""

    def __init__(self, hosts: int) -> None:
        self.prefix = f"dw{os.getpid() % 100000}"
        self.bridge = f"{self.prefix}b"
        self.names = ["r", *(f"h{number}" for number in range(1, hosts + 1))]

    def address(self, name: str) -> str:
        return f"{NETWORK}.0.{self.names.index(name) + 1}"

    def up(self) -> None:
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{NETWORK}.255.254/16", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        for name in self.names:
            space, outside = f"{self.prefix}{name}", f"{self.prefix}{name}o"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", outside, "master", self.bridge, "up")
            run("ip", "-n", space, "addr", "add", f"{self.address(name)}/16", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    def shape(self, name: str, bytes_s: float) -> None:
        """Limit what a node sends and what it receives."""
        rate = ("tbf", "rate", f"{int(bytes_s * 8)}bit", "burst", "256kb", "latency", "50ms")
        run("tc", "qdisc", "replace", "dev", f"{self.prefix}{name}o", "root", *rate)
        run("tc", "-n", f"{self.prefix}{name}", "qdisc", "replace", "dev", "eth0", "root", *rate)

    def inside(self, name: str, *words: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.prefix}{name}", *words]

    def sent_bytes(self, name: str) -> int:
        """Bytes that a node has put on its link, headers included."""
        (link,) = json.loads(run("ip", "-j", "-s", "link", "show", f"{self.prefix}{name}o"))
        return int(link["stats64"]["rx"]["bytes"])

    def down(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", f"{self.prefix}{name}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)


class RealSite:
    """The registry with one image, and hosts. A fleet of its processes is made for each way."""

    def __init__(self, hosts: int, image_bytes: int, line_bytes_s: float, host_bytes_s: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dcp-warm-"))
        self.network = Network(hosts)
        self.speeds = dict.fromkeys(self.network.names, host_bytes_s) | {"r": line_bytes_s}
        self.registry: subprocess.Popen[bytes] | None = None
        self.blobs = tuple(
            os.urandom(1 << 20) * max(1, round(share * image_bytes / (1 << 20))) for share in (0.6, 0.3, 0.1)
        )
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI,
                "config": _descriptor(b"{}"),
                "layers": [_descriptor(blob) for blob in self.blobs],
            }
        ).encode()
        self.image = WarmImage(
            f"registry.example/{REPOSITORY}@{digest_of(self.manifest)}", sum(len(blob) for blob in self.blobs)
        )
        self.hosts = tuple(WarmHost(name, self.network.address(name), True) for name in self.network.names[1:])

    @property
    def url(self) -> str:
        return f"http://{self.network.address('r')}:5000"

    def up(self) -> None:
        self.network.up()
        config = self.folder / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/registry}}}}\n"
            "http: {addr: '0.0.0.0:5000', secret: bench}\n"
        )
        words = self.network.inside("r", "docker-registry", "serve", str(config))
        self.registry = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _until(lambda: _ask(f"{self.url}/v2/"))
        for blob in (b"{}", *self.blobs):
            self._push(blob)
        _send("PUT", f"{self.url}/v2/{REPOSITORY}/manifests/v1", self.manifest, {"Content-Type": OCI})
        for name, bytes_s in self.speeds.items():
            self.network.shape(name, bytes_s)

    def _push(self, blob: bytes) -> None:
        location = _send("POST", f"{self.url}/v2/{REPOSITORY}/blobs/uploads/", b"", {})
        separator = "&" if "?" in location else "?"
        octets = {"Content-Type": "application/octet-stream"}
        _send("PUT", f"{location}{separator}digest={digest_of(blob)}", blob, octets)

    def down(self) -> None:
        if self.registry is not None:
            self.registry.kill()
            self.registry.wait()
        self.network.down()
        shutil.rmtree(self.folder, ignore_errors=True)


class RealFleet:
    """Mirrors and pulls as processes in the namespaces of the hosts."""

    def __init__(self, site: RealSite, settings: WarmingSettings) -> None:
        self._site = site
        self._settings = settings
        self._mirrors: dict[str, tuple[Mirror, subprocess.Popen[bytes]]] = {}
        self._answering: set[str] = set()
        self._pulls: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = Path(tempfile.mkdtemp(dir=site.folder))
        self._sent_before = site.network.sent_bytes("r")

    def now(self) -> float:
        return time.monotonic()

    def start_mirror(self, mirror: Mirror) -> None:
        words = (
            *(sys.executable, "-m", "dcp", "mirror", "--listen", f"0.0.0.0:{PORT}", "--name", mirror.id),
            *("--directory", str(self._folder / mirror.id), "--registry", self._site.url),
        )
        process = subprocess.Popen(
            self._site.network.inside(mirror.host_id, *words),
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._mirrors[mirror.id] = (mirror, process)

    def set_route(self, mirror: Mirror) -> None:
        urls = {name: one.url for name, (one, _) in self._mirrors.items()}
        stripes = [[urls[name] for name in upward] for upward in mirror.stripes.upward]
        body = {"stripes": stripes if any(stripes) else [], "registries": [self._site.url]}
        _send("PUT", f"{mirror.url}/mirror/route", json.dumps(body).encode(), _CONTROL)

    def warm(self, mirror_id: str, image: WarmImage) -> None:
        body = {"repository": REPOSITORY, "reference": image.reference.partition("@")[2]}
        url = self._mirrors[mirror_id][0].url
        _send("POST", f"{url}/mirror/warm", json.dumps(body).encode(), _CONTROL)

    def pull(self, pull: Pull, image: WarmImage) -> None:
        base = self._site.url
        if pull.source != REGISTRY:
            mirror = self._mirrors[pull.source][0]
            base = f"http://127.0.0.1:{PORT}" if mirror.host_id == pull.host_id else mirror.url
        manifest = f"{base}/v2/{REPOSITORY}/manifests/{image.reference.partition('@')[2]}"
        layers = [f"{base}/v2/{REPOSITORY}/blobs/{digest_of(blob)}" for blob in self._site.blobs]
        first = ["curl", "-sf", "--retry", "5", "-o", "/dev/null", "-H", f"Accept:{OCI}", manifest]
        rest = ["curl", "-sf", "--retry", "5", "--no-progress-meter", "-Z", "--parallel-max", "3"]
        for layer in layers:
            rest += ["-o", "/dev/null", layer]
        script = f"{' '.join(first)} && exec {' '.join(rest)}"
        words = self._site.network.inside(pull.host_id, "sh", "-c", script)
        self._pulls[pull.host_id] = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL)

    def answering(self) -> frozenset[str]:
        for name, (mirror, _) in self._mirrors.items():
            if name not in self._answering and _ask(f"{mirror.url}/mirror/health"):
                self._answering.add(name)
        return frozenset(self._answering)

    def finished(self) -> Mapping[str, float]:
        ended = {name: process for name, process in self._pulls.items() if process.poll() is not None}
        for name, process in ended.items():
            if process.returncode != 0:
                raise RuntimeError(f"the pull of {name} failed: curl exit code {process.returncode}")
            del self._pulls[name]
        return dict.fromkeys(ended, self.now())

    def pass_time(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))

    def line_bytes(self) -> int:
        return self._site.network.sent_bytes("r") - self._sent_before

    def received_from_registry(self) -> int:
        """What mirrors say they received from the registry."""
        total = 0
        for mirror, _ in self._mirrors.values():
            request = urllib.request.Request(f"{mirror.url}/mirror/status", headers=_CONTROL)
            with urllib.request.urlopen(request, timeout=5) as answer:
                total += json.load(answer)["from_upstream_bytes"].get(self._site.url, 0)
        return total

    def close(self) -> None:
        processes = [process for _, process in self._mirrors.values()] + list(self._pulls.values())
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


_CONTROL = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def _descriptor(blob: bytes) -> dict[str, object]:
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(blob), "size": len(blob)}


def _send(method: str, url: str, body: bytes, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.headers.get("Location", ""))


def _ask(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=0.5):
            return True
    except OSError:
        return False


def _until(holds: object, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError("the registry does not answer")
        time.sleep(0.05)


def can_run() -> Iterable[str]:
    """Return what is missing for a real fleet."""
    if os.geteuid() != 0:
        yield "root"
    for program in ("ip", "tc", "nsenter", "curl", "docker-registry"):
        if shutil.which(program) is None:
            yield program
