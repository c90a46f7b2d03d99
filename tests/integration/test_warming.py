"""Images reach real engines through real mirrors before the instances start; the line carries an image once a site."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_platform import Platform, serving, show, web

import dcp
from dcp.lab import image_files, images
from dcp.lab.lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]

MIRROR = "lab/mirror:1"
PACKAGES = ("aiohttp", "httpx", "pydantic", "rich", "typer")
BALLAST_BYTES = 12 << 20
WARMING = {
    "mirror_image": MIRROR,
    "mirror_command": ["python3", "-m", "dcp", "mirror"],
    "direct_hosts": 0,
    "host_mbit": 100,
    "attempts": 3,
}


@pytest.fixture(scope="module")
def mirror_image(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image that mirrors run in: this dcp, on every host."""
    archive = tmp_path_factory.mktemp("mirror") / "mirror.tar"
    inside = f"{image_files.SITE}/dcp"
    code = [one for one in image_files.tree_files(Path(dcp.__file__).parent, inside) if "__pycache__" not in one.path]
    images.build_python(archive, MIRROR, packages=PACKAGES, files=code)
    asyncio.run(lab.load(archive))
    return MIRROR


@pytest.fixture(scope="module")
def image(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with ballast in the registries of both sites, by digest, and on no host."""
    folder = tmp_path_factory.mktemp("image")
    archive = folder / "web.tar"
    images.build_ballast(archive, "shop/web:1", (BALLAST_BYTES, BALLAST_BYTES // 2), seed=7)
    policy = folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    digest = folder / "digest"
    for registry in lab.registries:
        target = f"docker://{registry.url.removeprefix('https://')}/shop/web:1"
        words = ["copy", "--dest-tls-verify=false", "--digestfile", str(digest), f"docker-archive:{archive}", target]
        subprocess.run(["skopeo", "--policy", str(policy), *words], check=True, capture_output=True, timeout=120)
    return f"{lab.registry_name}/shop/web@{digest.read_text().strip()}"


@pytest.fixture
def platform(lab: Lab, tmp_path: Path, mirror_image: str) -> Iterator[Platform]:
    made = Platform(lab, tmp_path, {"warming": WARMING})
    made.start()
    yield made
    made.end()


def _mirrors(platform: Platform) -> list[str]:
    return [name for host in platform.lab.hosts for name in platform.containers(host.name) if "mirror" in name]


def _mirror_events(platform: Platform) -> list[dict[str, object]]:
    found = platform.ask(lambda client: client.events(limit=1000)["events"])
    return [one for one in found if one["subject"].startswith("mirror/")]


def test_hosts_have_the_image_by_mirrors_before_the_instances_start(platform: Platform, image: str) -> None:
    limits = {"cpus": "0.2", "memory": "32M"}
    spread = {"replicas": 4, "resources": {"limits": limits}, "placement": {"max_replicas_per_node": 1}}
    platform.apply({"front": web(4, image=image, deploy=spread)})
    platform.until(serving("front", 4), within_s=120.0)
    used = {one["host"] for one in platform.instances()}
    assert len(used) == 4
    assert len(_mirrors(platform)) == 4, show(_mirrors(platform))
    for site in ("s1", "s2"):
        found = platform.ask(lambda client, site=site: client.events(subject=f"site/{site}", limit=100)["events"])
        (warmed,) = [one for one in found if one["reason"] == "warmed"]
        assert warmed["numbers"]["hosts"] == 2, show(found)
        # Once over the line for the whole site, and a little for manifests; each host has pulled all of it.
        assert warmed["numbers"]["line_bytes"] < 1.3 * 1.5 * BALLAST_BYTES, show([*found, *_mirror_events(platform)])
        assert warmed["numbers"]["line_bytes"] > 1.5 * BALLAST_BYTES, show(warmed)
    why = json.dumps(platform.ask(lambda client: client.why(min(one["id"] for one in platform.instances()))))
    assert "image" in why


def test_a_registry_that_is_away_delays_and_nothing_is_lost(platform: Platform, image: str) -> None:
    lab = platform.lab
    platform.apply({"front": web(1, image=image)})
    for site in ("s1", "s2"):
        asyncio.run(lab.kill_registry(site))
    try:
        platform.until(lambda client: bool(client.instances()["instances"]))
        (one,) = platform.instances()
        host = [name for name, found in platform.hosts().items() if one["id"] in found["instances"]]
        assert host
        assert one["state"] == "placed"
    finally:
        for site in ("s1", "s2"):
            asyncio.run(lab.start_registry(site))
    platform.until(serving("front", 1), within_s=120.0)
    assert [found["id"] for found in platform.instances()] == [one["id"]]
