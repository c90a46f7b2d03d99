"""Controls mirrors (`dcp mirror`) over HTTP with the control token that they were started with."""

import asyncio
from typing import Any

import aiohttp

from dcp.images.warming.ports import MirrorOrder, MirrorReport
from dcp.kernel.errors import DriverError, Rejected, Unreachable

CALL_S = 5.0


class HttpMirrors:
    """One session for all mirrors."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def report(self, url: str) -> MirrorReport:
        found = await self._call("GET", f"{url}/mirror/status")
        warmed = [one for one in found["warmed"] if isinstance(one, dict)]
        received = tuple(sorted((str(name), int(count)) for name, count in found["from_upstream_bytes"].items()))
        return MirrorReport(
            name=str(found["name"]),
            flowing=frozenset((w["repository"], w["reference"]) for w in warmed if w["state"] in ("flowing", "here")),
            ordered=frozenset((w["repository"], w["reference"]) for w in warmed if w["state"] != "failed"),
            from_upstream_bytes=received,
            served_bytes=int(found["served_bytes"]),
        )

    async def set_route(self, url: str, stripes: tuple[tuple[str, ...], ...], registries: tuple[str, ...]) -> None:
        route = {"stripes": [list(stripe) for stripe in stripes], "registries": list(registries)}
        await self._call("PUT", f"{url}/mirror/route", route)

    async def warm(self, url: str, order: MirrorOrder) -> None:
        body = {"repository": order.repository, "reference": order.digest, "authorization": order.authorization}
        await self._call("POST", f"{url}/mirror/warm", body)

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, limit_per_host=2))
        try:
            async with (
                asyncio.timeout(CALL_S),
                self._session.request(method, url, json=body, headers=self._headers) as response,
            ):
                text = await response.text()
                if response.status == 403:
                    raise Rejected(f"{url} does not take our control token", hint="is it another controller's mirror?")
                if response.status >= 400:
                    raise DriverError(f"{url} answered {response.status}: {text[:200]}")
                found: dict[str, Any] = await response.json()
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DriverError(f"{url} answered something that is no mirror's: {error}") from error
