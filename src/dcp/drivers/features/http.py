"""Tells an instance by HTTP: `PUT` on its own port, `{"off": [...]}`; anything but 2xx is a failure."""

import aiohttp

from dcp.kernel.errors import DriverError, Unreachable

CALL_S = 5.0


class HttpFeatureSwitches:
    """One session; no connection is kept, as an idle one would hold up an instance that waits for its clients."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def tell(self, address: str, port: int, path: str, off: tuple[str, ...]) -> None:
        """Raises Unreachable where nobody answers, DriverError for an answer that is not 2xx."""
        if self._session is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=100)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        host = f"[{address}]" if ":" in address else address
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        try:
            async with self._session.put(
                f"http://{host}:{port}{path}", json={"off": list(off)}, timeout=timeout, allow_redirects=False
            ) as response:
                if not 200 <= response.status < 300:
                    raise DriverError(f"PUT {path} at {host}:{port} answered {response.status}")
        except TimeoutError:
            raise Unreachable(f"PUT {path} at {host}:{port} gave no answer within {CALL_S:g} s") from None
        except aiohttp.ClientError as error:
            raise Unreachable(f"PUT {path} at {host}:{port} failed: {error or type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None
