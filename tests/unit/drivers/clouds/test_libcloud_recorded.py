"""Linode and Vultr by Libcloud's drivers, against the answers that Libcloud recorded for its own tests."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcloud
import pytest
from aiohttp import web
from libcloud.compute.base import NodeDriver
from libcloud.compute.drivers.linode import LinodeNodeDriverV4
from libcloud.compute.drivers.vultr import VultrNodeDriverV2
from libcloud.compute.providers import set_driver

from dcp.drivers.clouds.accounts import LibcloudAccount
from dcp.drivers.clouds.libcloud import LibcloudSource, make
from dcp.drivers.clouds.template import MachineType, Place, Template
from dcp.hosts.model import HostOrder, HostType, Resources, SourceHostState
from dcp.kernel.clock import SystemClock

RECORDED = Path(libcloud.__file__).parent / "test" / "compute" / "fixtures"
SMALL = HostType("small", Resources(1000, 1 << 30))


def here(driver: type[NodeDriver]) -> type[NodeDriver]:
    """Return a vendor's driver that asks a port of this machine, without TLS."""

    def start(self: Any, key: str, port: int) -> None:
        driver.__init__(self, key)
        self.connection.host, self.connection.port, self.connection.secure = "127.0.0.1", port, 0

    members = {"__new__": lambda cls, key, port: object.__new__(cls), "__init__": start}
    return type(f"{driver.__name__}Here", (driver,), members)


LinodeHere, VultrHere = here(LinodeNodeDriverV4), here(VultrNodeDriverV2)
set_driver("linode_here", __name__, "LinodeHere")
set_driver("vultr_here", __name__, "VultrHere")


@dataclass
class Provider:
    """One provider's recorded answers: where machines stand, in what key, and what they are called there."""

    path: str
    folder: str
    key: str
    machine: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    port: int = 0

    async def list(self, _: web.Request) -> web.Response:
        answer = json.loads((RECORDED / self.folder / "list_nodes.json").read_text())
        for number, one in enumerate(answer[self.key], 1):
            one["label"] = f"dcp-t.tail.tail-{number}"
        return web.json_response(answer)

    async def create(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.json_response(
            json.loads((RECORDED / self.folder / "create_node.json").read_text()), status=self.made
        )

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["id"])
        return web.json_response({}) if self.key == "data" else web.Response(status=204)

    @property
    def made(self) -> int:
        return 200 if self.key == "data" else 202


@pytest.fixture(params=["linode", "vultr"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    known = {
        "linode": Provider("/v4/linode/instances", "linode_v4", "data", "g6-nanode-1"),
        "vultr": Provider("/v2/instances", "vultr_v2", "instances", "vc2-1c-2gb"),
    }
    found = known[request.param]
    app = web.Application()
    app.add_routes([web.get(found.path, found.list), web.post(found.path, found.create)])
    app.add_routes([web.delete(found.path + "/{id}", found.delete), web.get("/v2/bare-metals", no_bare_metal)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


async def no_bare_metal(_: web.Request) -> web.Response:
    return web.json_response({"bare_metals": [], "meta": {"total": 0, "links": {"next": "", "prev": ""}}})


@pytest.fixture
async def source(provider: Provider, tmp_path: Path) -> AsyncIterator[LibcloudSource]:
    name = "linode_here" if provider.key == "data" else "vultr_here"
    options = {"ex_tags": ["a"]} if provider.key == "data" else {"ex_enable_ipv6": True}
    template = Template("tail", "dcp-t", "1743", (MachineType(SMALL, provider.machine),), (Place("fra", "eu-central"),))
    secret = tmp_path / "keys.yaml"
    secret.write_text("{key: k, create: {root_pass: p}}" if provider.key == "data" else "{key: k}")
    account = LibcloudAccount(name, {"port": provider.port}, options, str(secret))
    made = make(template, account, SystemClock())
    yield made
    await made.aclose()


async def test_recorded_machines_are_shown_with_state_type_and_address(
    provider: Provider, source: LibcloudSource
) -> None:
    shown = {one.host_id: one for one in await source.list_all()}
    assert set(shown) == ({"tail-1", "tail-2"} if provider.key == "data" else {"tail-1", "tail-2", "tail-3"})
    first = shown["tail-1"]
    assert (first.state, first.type_name) == (SourceHostState.RUNNING, "small")
    assert first.address == ("192.168.1.230" if provider.key == "data" else "45.76.83.44")


async def test_machines_are_asked_for_and_given_back_as_the_provider_takes_it(
    provider: Provider, source: LibcloudSource
) -> None:
    assert await source.create((HostOrder("tail-9", "small", "fra", "call"),)) == {}
    (asked,) = provider.asked
    assert asked["label"] == "dcp-t.tail.tail-9"
    assert asked.get("type", asked.get("plan")) == provider.machine
    assert asked["region"] == "eu-central"
    assert asked.get("root_pass", "p") == "p"
    assert await source.delete(("tail-1", "never")) == {}
    assert len(provider.deleted) == 1
