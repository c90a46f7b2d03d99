"""The calls of Nova's API (2.1) that dcp makes, through openstacksdk's session: sign-in, catalogue, clouds.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openstack
from openstack.config import OpenStackConfig

from dcp.drivers.clouds.accounts import OpenStackAccount
from dcp.drivers.clouds.blocking import BlockingCalls
from dcp.drivers.clouds.openstack.errors import Refusal, translate
from dcp.kernel.errors import DriverError, Rejected

REQUEST_LIMIT_S = 30.0
PAGE = 1000
SURELY_WHOLE = 100
"""A page without a link to the next one is the last; a longer one than this is followed all the same, to be sure."""
LISTINGS = 3
"""A listing whose next page begins after a server that is gone meanwhile begins anew, so often at most."""

Server = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flavor:
    """What Nova calls a type of machine."""

    id: str
    name: str
    vcpus: int
    ram_mib: int


class Nova:
    """One project in one region. Every call may raise DriverError."""

    def __init__(self, name: str, account: OpenStackAccount) -> None:
        self._name = name
        self._account = account
        self._calls: BlockingCalls[Any] = BlockingCalls(name, self._connect, self._translate, threads=8)
        self._flavors: dict[str, Flavor] = {}

    def close(self) -> None:
        """Let go of the threads."""
        self._calls.close()

    async def servers(self, **filters: str) -> list[Server]:
        """Return every server of the project that the filters let pass, from all pages."""
        for _ in range(LISTINGS):
            found = await self._pages("/servers/detail", "servers", filters)
            if found is not None:
                return found
        raise DriverError(f"{self._name}: servers go faster than they can be listed")

    async def create(self, body: Mapping[str, Any]) -> str:
        """Ask for servers; return the name of the reservation."""
        answer = await self._request("POST", "/servers", {"server": {**body, "return_reservation_id": True}})
        return str(answer["reservation_id"])

    async def delete(self, server_id: str) -> None:
        """Ask to delete a server. What is absent is success."""
        try:
            await self._request("DELETE", f"/servers/{server_id}")
        except DriverError as error:
            if not (isinstance(error.__cause__, Refusal) and error.__cause__.status == 404):
                raise

    async def act(self, server_id: str, action: str) -> None:
        """Ask for an action such as `os-stop`."""
        await self._request("POST", f"/servers/{server_id}/action", {action: None})

    async def limits(self) -> Mapping[str, int]:
        """Return what the project may have and has, by Nova's names; -1: no bound."""
        answer = await self._request("GET", "/limits")
        found: Mapping[str, int] = answer["limits"]["absolute"]
        return found

    async def flavor(self, name: str) -> Flavor:
        """Return a flavor by name or id. Raises Rejected."""
        if name not in self._flavors:
            listed = await self._pages("/flavors/detail", "flavors", {}) or []
            flavors = [Flavor(one["id"], one["name"], int(one["vcpus"]), int(one["ram"])) for one in listed]
            self._flavors = {**{one.id: one for one in flavors}, **{one.name: one for one in flavors}}
        if name not in self._flavors:
            raise Rejected(f"{self._name}: there is no flavor {name}")
        return self._flavors[name]

    async def _pages(self, path: str, key: str, filters: Mapping[str, str]) -> list[Any] | None:
        """Return what stands on all pages; None: the last one read ends with what is gone by now."""
        found: dict[str, Any] = {}
        marker = ""
        while True:
            query = {**filters, "limit": str(PAGE), **({"marker": marker} if marker else {})}
            try:
                answer = await self._request("GET", path, query=query)
            except DriverError as error:
                if marker and isinstance(error.__cause__, Refusal) and error.__cause__.status == 400:
                    return None
                raise
            page = answer[key]
            found.update((one["id"], one) for one in page)
            more = any(link.get("rel") == "next" for link in answer.get(f"{key}_links", ()))
            if not page or not (more or len(page) >= SURELY_WHOLE):
                return list(found.values())
            marker = page[-1]["id"]

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        def ask(connection: Any) -> Any:
            answer = connection.compute.request(
                path, method, json=body, params=query, raise_exc=False, connect_retries=0, status_code_retries=0
            )
            if answer.status_code >= 400:
                raise Refusal(answer.status_code, _message(answer), answer.headers)
            return answer.json() if answer.content else {}

        return await self._calls.run(ask)

    def _connect(self) -> Any:
        files = [self._account.clouds_file] if self._account.clouds_file else None
        config: Any = OpenStackConfig(config_files=files, app_name="dcp")
        chosen = config.get_one(
            cloud=self._account.cloud or None,
            region_name=self._account.region or None,
            api_timeout=REQUEST_LIMIT_S,
        )
        return openstack.connection.Connection(config=chosen)

    def _translate(self, error: Exception) -> DriverError:
        return translate(error, asked=self._name)


def _message(answer: Any) -> str:
    """Return what an answer says: Nova wraps its words in one key, such as `forbidden` or `badRequest`."""
    try:
        body = answer.json()
    except ValueError:
        return str(answer.text)[:200]
    wrapped: Any = next(iter(body.values()), {}) if isinstance(body, dict) else {}
    return str(wrapped.get("message", "")) if isinstance(wrapped, dict) else ""
