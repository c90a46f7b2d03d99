"""The part of OpenStack that the driver uses: Keystone's token and catalogue, Nova's servers, flavors and limits."""

import re
from pathlib import Path
from typing import Any

from aiohttp import web

from cloud_server import CloudMachine, CloudServer
from dcp.drivers.clouds.accounts import OpenStackAccount
from dcp.kernel.clock import Clock

PASSWORD, TOKEN, REGION = "nova-password", "token-1", "RegionOne"
NO_ROOM = "No valid host was found. There are not enough hosts available."
FLAVORS = {"s-1": (1, 1024), "l-4": (4, 4096)}


def openstack_account(
    cloud: CloudServer, folder: Path, *, password: str = PASSWORD, **changes: Any
) -> OpenStackAccount:
    """Return an account that asks this cloud, by a clouds.yaml in `folder`."""
    file = folder / "clouds.yaml"
    file.write_text(
        f"""
clouds:
  here:
    auth_type: password
    auth: {{auth_url: "{cloud.url}/identity/v3", username: dcp, password: {password}, project_name: p,
      user_domain_id: default, project_domain_id: default}}
    region_name: {REGION}
"""
    )
    return OpenStackAccount(**{"cloud": "here", "clouds_file": str(file), **changes})


class FakeNova(CloudServer):
    """One region. The scheduler decides `placing_s` after the request, for all servers of a call or for none."""

    def __init__(self, clock: Clock, stock: dict[str, int]) -> None:
        super().__init__(clock, stock)
        self.quota = 10_000
        self.placing_s = 2.0
        self.sign_ins = 0
        self._reservations = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/identity/v3", self._identity),
            web.get("/identity/v3/", self._identity),
            web.post("/identity/v3/auth/tokens", self._sign_in),
            web.get("/compute/v2.1", self._versions),
            web.get("/compute/v2.1/", self._versions),
            web.get("/compute/v2.1/flavors/detail", self._flavors),
            web.get("/compute/v2.1/limits", self._limits),
            web.get("/compute/v2.1/servers/detail", self._list),
            web.post("/compute/v2.1/servers", self._create),
            web.delete("/compute/v2.1/servers/{id}", self._delete),
            web.post("/compute/v2.1/servers/{id}/action", self._act),
        ]

    async def _identity(self, _: web.Request) -> web.StreamResponse:
        link = {"rel": "self", "href": f"{self.url}/identity/v3/"}
        return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": [link], "media-types": []}})

    async def _versions(self, _: web.Request) -> web.StreamResponse:
        link = {"rel": "self", "href": f"{self.url}/compute/v2.1/"}
        version = {"id": "v2.1", "status": "CURRENT", "version": "2.90", "min_version": "2.1", "links": [link]}
        return web.json_response({"version": version})

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["auth"]["identity"]["password"]["user"]["password"] != PASSWORD:
            error = {
                "code": 401,
                "message": "The request you have made requires authentication.",
                "title": "Unauthorized",
            }
            return web.json_response({"error": error}, status=401)
        self.sign_ins += 1
        endpoint = {"interface": "public", "region": REGION, "region_id": REGION, "url": f"{self.url}/compute/v2.1"}
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "dcp", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": [{"type": "compute", "name": "nova", "id": "c", "endpoints": [{**endpoint, "id": "e"}]}],
        }
        return web.json_response({"token": token}, status=201, headers={"X-Subject-Token": TOKEN})

    async def _flavors(self, request: web.Request) -> web.StreamResponse:
        shown = [{"id": f"id-{name}", "name": name, "vcpus": cpus, "ram": ram} for name, (cpus, ram) in FLAVORS.items()]
        return self._page(shown, request, "flavors")

    async def _limits(self, _: web.Request) -> web.StreamResponse:
        absolute = {
            "maxTotalInstances": self.quota,
            "totalInstancesUsed": len(self.present()),
            "maxTotalCores": 20,
            "totalCoresUsed": sum(FLAVORS[one.machine][0] for one in self.present()),
            "maxTotalRAMSize": -1,
            "totalRAMUsed": 0,
        }
        return web.json_response({"limits": {"rate": [], "absolute": absolute}})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("list")
        if refusal is not None:
            return refusal
        servers = [self._show(one) for one in reversed(self.present())]
        if "name" in request.query:
            servers = [one for one in servers if re.search(request.query["name"], one["name"])]
        if "reservation_id" in request.query:
            wanted = request.query["reservation_id"]
            servers = [one for one in servers if self.machines[one["id"]].details["reservation"] == wanted]
        return self._page(servers, request, "servers")

    def _page(self, shown: list[dict[str, Any]], request: web.Request, key: str) -> web.StreamResponse:
        marker, limit = request.query.get("marker", ""), min(self.page_limit, int(request.query.get("limit", 1000)))
        if marker:
            if self.between_pages is not None:
                self.between_pages()
            ids = [one["id"] for one in shown]
            if marker not in ids or marker not in self.machines:
                words = f"marker [{marker}] not found"
                return web.json_response({"badRequest": {"code": 400, "message": words}}, status=400)
            shown = shown[ids.index(marker) + 1 :]
        page = shown[:limit]
        body: dict[str, Any] = {key: page}
        if len(page) == limit:
            body[f"{key}_links"] = [{"rel": "next", "href": f"{self.url}/…?marker={page[-1]['id']}"}]
        return web.json_response(body)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("create")
        if refusal is not None:
            return refusal
        server = (await request.json())["server"]
        machine = server["flavorRef"].removeprefix("id-")
        granted = min(server["max_count"], self.quota - len(self.present()))
        if granted < server["min_count"]:
            used = len(self.present())
            words = f"Quota exceeded for instances: Requested 1, but already used {used} of {self.quota} instances"
            return web.json_response({"forbidden": {"code": 403, "message": words}}, status=403)
        self._reservations += 1
        placed = self.left(machine) >= granted
        for number in range(1, granted + 1):
            name = server["name"] if granted == 1 else f"{server['name']}-{number}"
            made = self.add(name, machine, body=server, reservation=f"r-{self._reservations}")
            made.details["placed"] = placed
        if not self.answered(request):
            return web.Response()
        if server.get("return_reservation_id"):
            return web.json_response({"reservation_id": f"r-{self._reservations}"}, status=202)
        return web.json_response({"server": {"id": made.id}}, status=202)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        refusal = self._denied(request) or self.refusal("delete")
        if refusal is not None:
            return refusal
        machine = {one.id: one for one in self.present()}.get(request.match_info["id"])
        if machine is None:
            return web.json_response({"itemNotFound": {"code": 404, "message": "not found"}}, status=404)
        # A server that was never placed is on no compute host: it goes at once.
        machine.gone_at = self.clock.now() + (self.delete_s if machine.details.get("placed", True) else 0.0)
        self.present()
        return web.Response(status=204)

    async def _act(self, request: web.Request) -> web.StreamResponse:
        (action,) = await request.json()
        machine = self.machines[request.match_info["id"]]
        machine.details["off"] = {"os-stop": "SHUTOFF", "shelve": "SHELVED_OFFLOADED"}.get(action, "")
        return web.Response(status=202)

    def _denied(self, request: web.Request) -> web.Response | None:
        if request.headers.get("X-Auth-Token") == TOKEN:
            return None
        error = {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}
        return web.json_response({"error": error}, status=401)

    def left(self, machine: str) -> int:
        """Return how many more there is room for; what was not placed takes none."""
        used = sum(1 for one in self.present() if one.machine == machine and one.details.get("placed", True))
        return self.stock.get(machine, 10_000) - used

    def _show(self, machine: CloudMachine) -> dict[str, Any]:
        number, body = int(machine.id[2:]), machine.details.get("body", {})
        decided = self.clock.now() >= machine.made_at + self.placing_s
        placed = machine.details.get("placed", True)
        runs = placed and self.runs(machine)
        shown: dict[str, Any] = {
            "id": machine.id,
            "name": machine.name,
            "status": machine.details.get("off") or ("ACTIVE" if runs else "BUILD"),
            "hostId": "h-1" if placed and decided else "",
            "created": f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z",
            "metadata": body.get("metadata", {}),
            "OS-EXT-STS:task_state": "deleting" if machine.gone_at is not None else None if runs else "spawning",
            "OS-SRV-USG:launched_at": "2026-01-01T01:00:00.000000" if runs else None,
            "flavor": {"id": body.get("flavorRef", ""), "links": []},
            "addresses": {},
        }
        if decided and not placed:
            shown["status"] = "ERROR"
            shown["OS-EXT-STS:task_state"] = "deleting" if machine.gone_at is not None else None
            shown["fault"] = {"code": 500, "message": NO_ROOM, "created": shown["created"]}
        if runs:
            fixed = {"addr": f"10.9.{number // 250}.{number % 250}", "version": 4, "OS-EXT-IPS:type": "fixed"}
            floating = {"addr": f"198.51.100.{number % 250}", "version": 4, "OS-EXT-IPS:type": "floating"}
            shown["addresses"] = {"net": [fixed, floating]}
        return shown
