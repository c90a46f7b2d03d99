"""The ways to an engine: its unix socket, TCP with or without client certificates, and SSH."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from dcp.drivers.runtimes.docker.api import KEPT_ALIVE_S, EngineApi
from dcp.drivers.runtimes.docker.choices import TlsChoice
from dcp.drivers.runtimes.docker.forwarding import Forwarding
from dcp.drivers.ssh.access import SshAccess
from dcp.kernel.errors import Unavailable, Unreachable

LOCAL = "http://engine"
"""Over a socket the host of the URL says nothing."""


@dataclass(slots=True)
class Way:
    """An open way: the API over it, and what has to be closed with it."""

    api: EngineApi
    forwarding: Forwarding | None = None

    async def aclose(self) -> None:
        await self.api.aclose()
        if self.forwarding is not None:
            await self.forwarding.aclose()


class Ways:
    """Opens ways to engines by their URLs."""

    def __init__(self, tls: TlsChoice | None, calls_at_once: int, access: SshAccess | None = None) -> None:
        self._access = access
        self._context = _tls_context(tls) if tls is not None else None
        self._calls_at_once = calls_at_once

    async def open(self, engine: str, sockets: Path) -> Way:
        """Return a way to the engine; over SSH it is forwarded first, to a socket in `sockets`. Raises Unreachable."""
        url = urlsplit(engine)
        if url.scheme == "unix":
            return Way(self._over_socket(engine, url.path))
        if url.scheme == "tcp":
            scheme, connector = "http", aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S)
            if self._context is not None:
                scheme = "https"
                connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S, ssl=self._context)
            return Way(EngineApi(engine, connector, f"{scheme}://{url.netloc}", calls_at_once=self._calls_at_once))
        if url.scheme == "ssh":
            forwarding = Forwarding(engine, sockets, self._access)
            socket = await forwarding.open()
            return Way(self._over_socket(engine, str(socket)), forwarding)
        raise Unreachable(f"{engine}: no way to such an engine", hint="unix://, tcp:// or ssh://")

    def _over_socket(self, engine: str, path: str) -> EngineApi:
        connector = aiohttp.UnixConnector(path=path, limit=0, keepalive_timeout=KEPT_ALIVE_S)
        return EngineApi(engine, connector, LOCAL, calls_at_once=self._calls_at_once)


def _tls_context(tls: TlsChoice) -> ssl.SSLContext:
    """Trust only engines that our authority signed, and show them our own certificate."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(
            f"runtime.tls cannot be used: {error}", hint=f"see {tls.ca}, {tls.cert}, {tls.key}"
        ) from error
    return context
