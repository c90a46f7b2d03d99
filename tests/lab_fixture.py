"""Fixture `lab`: four real container hosts in two sites, one lab for a whole run of tests.

    pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]

    async def test_something(lab: Lab):
        lab.hosts[0].engine_unix, lab.hosts[0].engine_tls, lab.client

Missing root or programs skip on a user's machine and fail in CI. Several runs may go on at once on one machine: each
takes a network of its own (10.120.0.0/16 to 10.129.0.0/16), and removes what a killed run left in it. A test that
leaves a host cut or an engine dead spoils the next: put right what you break. Containers and images that a file of
tests leaves are removed after it, as every image of tests has the same content and one that is in use stays.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcp.kernel.errors import Unavailable
from dcp.lab.lab import Lab, remove
from dcp.lab.programs import require
from dcp.lab.rooms import find_directory
from dcp.lab.spec import LabSpec
from lab_containers import engine

OCTETS = range(120, 130)
OWN_IMAGES = ("lab/busybox:latest", "lab/python:latest")


def require_lab() -> None:
    """Skip where this machine cannot run a lab; fail in CI."""
    try:
        require(registries=True, images=True)
    except Unavailable as why:
        if os.environ.get("CI"):
            pytest.fail(str(why))
        pytest.skip(str(why))


@contextmanager
def free_octet() -> Iterator[int]:
    """Reserve a network for a lab of tests; what a killed run left there is removed first."""
    for octet in OCTETS:
        # A name of the kernel's, gone with this process however it ends.
        with socket.socket(socket.AF_UNIX) as reservation:
            try:
                reservation.bind(f"\0dcp-test-lab-{octet}")
            except OSError:
                continue
            name = lab_name(octet)
            if left := find_directory(name):
                asyncio.run(remove(left, name))
            yield octet
            return
    pytest.fail("all networks for labs of tests are taken")


def lab_name(octet: int) -> str:
    """Return the name of the lab in that network."""
    return f"t-{octet}"


async def _make(lab: Lab) -> None:
    await lab.up()
    await lab.make_images()


@pytest.fixture(scope="session")
def whole_run_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four hosts (h1, h2 in s1; h3, h4 in s2) with registries and the images lab/busybox and lab/python."""
    require_lab()
    with free_octet() as octet:
        spec = LabSpec(name=lab_name(octet), hosts=4, sites=2, octet=octet, registries=True)
        made = Lab(spec, Path(tmp_path_factory.mktemp("lab")))
        try:
            asyncio.run(_make(made))
            yield made
        finally:
            asyncio.run(made.down())


@pytest.fixture(scope="module")
def lab(whole_run_lab: Lab) -> Iterator[Lab]:
    """Four hosts (h1, h2 in s1; h3, h4 in s2) with registries; no container, and only lab/busybox and lab/python."""
    yield whole_run_lab
    asyncio.run(_empty(whole_run_lab))


async def _empty(lab: Lab) -> None:
    for host in lab.hosts:
        for container in await engine(lab, host.name, "GET", "/containers/json?all=1"):
            await engine(lab, host.name, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for image in await engine(lab, host.name, "GET", "/images/json"):
            names = (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
            for name in names:
                if name not in OWN_IMAGES and not name.startswith("<none>"):
                    # The last name of an image takes its digests with it.
                    await engine(lab, host.name, "DELETE", f"/images/{name}?force=1", text=True)
