"""Asks Prometheus, or a server that speaks its HTTP API (VictoriaMetrics, Mimir, Thanos)."""

import asyncio
import math
from typing import Any

import aiohttp

from dcp.kernel.errors import DriverError, Rejected, Unreachable

CALL_S = 5.0


class PrometheusMetrics:
    """One session; asks nothing by itself."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def value(self, query: str) -> float:
        """Return the number of a scalar, or of a vector with one element."""
        answer = await self._ask(query)
        if answer.get("status") != "success":
            raise Rejected(f"{self._url} cannot answer {query!r}: {answer.get('error', 'no reason given')}")
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "vector":
            if not result:
                raise DriverError(f"{query!r} gives nothing: no series with data in the last minutes")
            if len(result) > 1:
                raise Rejected(f"{query!r} gives {len(result)} numbers", hint="wrap it in sum(), max() or avg()")
            result = result[0]["value"]
        elif kind != "scalar":
            raise Rejected(f"{query!r} gives a {kind}, not a number", hint="leave the range out, or use rate()")
        found = float(result[1])
        if not math.isfinite(found):
            raise DriverError(f"{query!r} gives {result[1]}")
        return found

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, query: str) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        try:
            async with (
                asyncio.timeout(CALL_S),
                self._session.post(f"{self._url}/api/v1/query", data={"query": query}) as response,
            ):
                if response.status in (401, 403):
                    raise Rejected(f"{self._url} does not take our token")
                found: dict[str, Any] = await response.json(content_type=None)
                return found
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{self._url} does not answer: {error or 'no answer in time'}") from error
        except ValueError as error:
            raise DriverError(f"{self._url} answers what is no JSON") from error
