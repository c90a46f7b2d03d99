"""The part of DigitalOcean's API (v2) that Libcloud uses for machines."""

from typing import Any

from aiohttp import web
from libcloud.compute.drivers.digitalocean import DigitalOcean_v2_NodeDriver
from libcloud.compute.providers import set_driver

from cloud_server import CloudMachine, CloudServer

TOKEN = "do-token"
HERE = "digitalocean_here"
"""Libcloud's own driver under another name: the driver takes no other address than DigitalOcean's."""


class HereDriver(DigitalOcean_v2_NodeDriver):
    """Asks a port of this machine, without TLS."""

    def __new__(cls, key: str, port: int) -> "HereDriver":
        return object.__new__(cls)

    def __init__(self, key: str, port: int) -> None:
        super().__init__(key)
        self.connection.host, self.connection.port, self.connection.secure = "127.0.0.1", port, 0


set_driver(HERE, __name__, "HereDriver")


class FakeDigitalOcean(CloudServer):
    """Droplets, in pages by number."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v2/droplets", self._list),
            web.post("/v2/droplets", self._create),
            web.delete("/v2/droplets/{id}", self._delete),
        ]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("list")
        if refusal is not None:
            return refusal
        page, size = int(request.query.get("page", 1)), min(self.page_limit, int(request.query.get("per_page", 20)))
        if page > 1 and self.between_pages is not None:
            self.between_pages()
        machines = self.present()
        last = max(1, -(-len(machines) // size))
        links: dict[str, Any] = {"pages": {"last": f"{self.url}/v2/droplets?page={last}"}} if last > 1 else {}
        shown = machines[(page - 1) * size : page * size]
        return web.json_response(
            {"droplets": [self._show(one) for one in shown], "links": links, "meta": {"total": len(machines)}}
        )

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("create")
        if refusal is not None:
            return refusal
        body = await request.json()
        if self.left(body["size"]) <= 0:
            words = f"size {body['size']} is unavailable in region {body['region']}"
            return web.json_response({"id": "unprocessable_entity", "message": words}, status=422)
        made = self.add(body["name"], body["size"], region=body["region"], tags=body.get("tags", []))
        self.answered(request)
        return web.json_response({"droplet": self._show(made), "links": {}}, status=202)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("delete")
        if refusal is not None:
            return refusal
        machine = self.machines.get(request.match_info["id"])
        if machine is None:
            words = "The resource you were accessing could not be found."
            return web.json_response({"id": "not_found", "message": words}, status=404)
        machine.gone_at = self.clock.now() + self.delete_s
        return web.Response(status=204)

    def _denied(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return web.json_response({"id": "Unauthorized", "message": "Unable to authenticate you"}, status=401)

    def _show(self, machine: CloudMachine) -> dict[str, Any]:
        runs = self.runs(machine)
        address = {"ip_address": f"10.7.0.{int(machine.id[2:])}", "type": "private", "netmask": "255.255.0.0"}
        return {
            "id": machine.id,
            "name": machine.name,
            "size_slug": machine.machine,
            "status": "active" if runs else "new",
            "created_at": f"2026-01-01T00:00:{int(machine.id[2:]) % 60:02d}Z",
            "networks": {"v4": [address] if runs else [], "v6": []},
            "region": {"slug": machine.details.get("region"), "name": machine.details.get("region")},
            "tags": machine.details.get("tags", []),
        }
