"""Faults on an image's way to real engines: a copy is down, broken or missing, a disk is full. The rest goes on."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from container_platform import Platform, serving, web

from dcp.api.client import Client
from dcp.lab.lab import Lab
from lab_containers import engine

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]

NOBODY = base64.urlsafe_b64encode(json.dumps({}).encode()).decode()
TINY = "24m"


@pytest.fixture
def platform(lab: Lab, tmp_path: Path) -> Iterator[Platform]:
    made = Platform(lab, tmp_path)
    made.start()
    yield made
    made.end()


def push(lab: Lab, repository: str, *, tag: str = "1", source: str = "lab/busybox") -> str:
    """Push an image of host h1 to its site's registry; return its name."""
    name = f"{lab.registry_name}/{repository}"

    async def work() -> None:
        await engine(lab, "h1", "POST", f"/images/{source}/tag?repo={name}&tag={tag}")
        headers = {"X-Registry-Auth": NOBODY}
        await engine(lab, "h1", "POST", f"/images/{name}/push?tag={tag}", headers=headers)

    asyncio.run(work())
    return f"{name}:{tag}"


def acknowledged(repository: str):
    def looks(client: Client) -> bool:
        found = client.images.list(repository)["images"]
        return bool(found) and all(one["acknowledged_at"] for one in found)

    return looks


def registry_of(lab: Lab, site: str) -> Path:
    (found,) = [one for one in lab.registries if one.site == site]
    return found.folder


def at_site(site: str, count: int, image: str) -> dict:
    made = web(count, image=image)
    made["deploy"]["placement"] = {"constraints": [f"node.labels.site=={site}"]}
    return made


def test_a_registry_that_is_down_is_stood_in_for_by_the_other_sites_copy(platform: Platform):
    image = push(platform.lab, "faults/down", source=_image_of_its_own(platform.lab, "down", 1 << 20))
    platform.until(acknowledged("faults/down"))
    asyncio.run(platform.lab.kill_registry("s2"))
    try:
        platform.apply({"front": at_site("s2", 1, image)})
        platform.until(serving("front", 1))
    finally:
        asyncio.run(platform.lab.start_registry("s2"))


def test_a_broken_copy_is_found_by_its_digest_and_another_is_taken(platform: Platform):
    image = push(platform.lab, "faults/broken", source=_image_of_its_own(platform.lab, "broken", 1 << 20))
    platform.until(acknowledged("faults/broken"))
    _break_layers(registry_of(platform.lab, "s2"))
    platform.apply({"front": at_site("s2", 1, image)})
    platform.until(serving("front", 1))
    assert "wrong-digest" in platform.log()


def test_a_full_disk_leaves_the_host_out(lab: Lab, tmp_path: Path):
    image = push(lab, "faults/large", source=_image_of_its_own(lab, "large", 64 << 20))
    sources = yaml.safe_load(lab.platform_file.read_text())["sources"]
    by_address = {host["address"]: host for host in sources[0]["hosts"]}
    small, other = (by_address[lab.host(name).address] | {"cpus": "1", "memory": "1G"} for name in ("h4", "h3"))
    platform = Platform(lab, tmp_path, {"sources": [{**sources[0], "hosts": [small, other]}]})
    _remount_data(lab, "h4", TINY)
    platform.start()
    try:
        platform.until(acknowledged("faults/large"))
        platform.apply({"front": at_site("s2", 1, image)})
        platform.until(serving("front", 1), within_s=120)
        (one,) = platform.instances()
        assert platform.hosts()[lab.host("h3").address]["instances"] == [one["id"]]
        full = next(h for address, h in platform.hosts().items() if address == lab.host("h4").address)
        assert "disk-full" in platform.reasons(f"host/{full['id']}")
    finally:
        platform.end()
        _remount_data(lab, "h4", "")
        asyncio.run(lab.make_images())


def test_an_image_that_no_site_has_is_refused_with_its_path(platform: Platform):
    path = platform.folder / "ghost.yaml"
    image = f"{platform.lab.registry_name}/faults/ghost:1"
    path.write_text(yaml.safe_dump({"name": "ghost", "services": {"front": web(1, image=image)}}))
    words = ["apply", str(path), "--state", str(platform.state), "--yes"]
    done = subprocess.run([sys.executable, "-m", "dcp", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "services.front.image" in done.stderr
    assert platform.ask(lambda client: client.status()["applications"]) == []


def _image_of_its_own(lab: Lab, name: str, size_bytes: int) -> str:
    """Make an image on h1 with a layer that no other has, of so many bytes that do not compress."""
    script = f"head -c {size_bytes} /dev/urandom > /filling-{name}"

    async def work() -> None:
        body = {"Image": "lab/busybox", "Cmd": ["sh", "-c", script]}
        made = (await engine(lab, "h1", "POST", "/containers/create", body))["Id"]
        await engine(lab, "h1", "POST", f"/containers/{made}/start")
        await engine(lab, "h1", "POST", f"/containers/{made}/wait")
        await engine(lab, "h1", "POST", f"/commit?container={made}&repo=lab/{name}&tag=latest", {})
        await engine(lab, "h1", "DELETE", f"/containers/{made}")

    asyncio.run(work())
    return f"lab/{name}"


def _break_layers(registry: Path) -> None:
    """Change a byte in every large blob of a registry's storage."""
    blobs = [path for path in registry.rglob("blobs/sha256/*/*/data") if path.stat().st_size > 500_000]
    assert blobs
    for blob in blobs:
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 0xFF
        blob.write_bytes(content)


def _remount_data(lab: Lab, host: str, size: str) -> None:
    """Give the host's engine a small disk of its own in memory, or (with no size) its old one back."""

    async def work() -> None:
        await lab.kill_engine(host)
        data = str(lab.host(host).data)
        if size:
            await lab.run_on(host, "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", data)
        else:
            await lab.run_on(host, "umount", "-R", "-l", data)
        await lab.start_engine(host)

    asyncio.run(work())
