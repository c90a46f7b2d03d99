"""A Harbor: pushes and pulls are those of any registry; what there is, and deleting, is asked of its REST API.

Harbor refuses the registry's own catalogue to everybody but administrators, and deletes only through its API. A robot
with the rights to list and delete is enough here.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

from dcp.drivers.registries.distribution import DistributionRegistry, RegistryAddress
from dcp.drivers.registries.distribution.connection import Connection
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError

PAGE = 100
"""Harbor's own bound."""


class HarborRegistry(DistributionRegistry):
    """One Harbor."""

    def __init__(
        self, address: RegistryAddress, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(address, clock, transport=transport)
        # Its API takes the password itself; tokens are for the registry part.
        self._api = Connection(address, clock, transport, basic=True)

    async def aclose(self) -> None:
        """Close what is open."""
        await super().aclose()
        await self._api.aclose()

    async def repositories(self) -> AsyncIterator[str]:
        async for one in self._pages("/api/v2.0/repositories"):
            yield str(one["name"])

    async def tags(self, repository: str) -> tuple[str, ...]:
        found: set[str] = set()
        async for one in self._pages(f"{_repository(repository)}/artifacts"):
            found.update(str(tag["name"]) for tag in one.get("tags") or [])
        return tuple(sorted(found))

    async def delete_manifest(self, repository: str, digest: str) -> None:
        await self._api.request("DELETE", f"{_repository(repository)}/artifacts/{digest}", "", missing=True)

    async def _pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every entry of a listing; none if there is no such project or repository."""
        number = 1
        while True:
            params = {"page": number, "page_size": PAGE}
            response = await self._api.request("GET", path, "", params=params, missing=True)
            if response.status_code == 404:
                return
            entries = _entries(response)
            for entry in entries:
                yield entry
            if len(entries) < PAGE:
                return
            number += 1


def _repository(name: str) -> str:
    """A repository's part of the path; its slashes are escaped twice, as Harbor wants it."""
    project, _, rest = name.partition("/")
    return f"/api/v2.0/projects/{quote(project, safe='')}/repositories/{quote(quote(rest, safe=''), safe='')}"


def _entries(response: httpx.Response) -> list[dict[str, Any]]:
    try:
        entries = response.json()
    except ValueError as error:
        raise DriverError(f"{response.url} does not answer with JSON") from error
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise DriverError(f"{response.url} does not answer with a list")
    return entries
