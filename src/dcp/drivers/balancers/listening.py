"""Listen addresses, as every balancer sees them: how they are written, whether they are free, whether two clash."""

import asyncio
import socket
from collections.abc import Sequence

from dcp.kernel.errors import Rejected, Unavailable
from dcp.orchestration.traffic.model import Route


def address_text(address: str, port: int) -> str:
    """Return `address:port`, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_free(address: str, port: int) -> bool:
    """Return whether the address could be bound now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((address, port))
    except OSError:
        return False
    return True


async def listens(address: str, port: int) -> bool:
    """Return whether somebody takes connections there now."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        _, writer = await asyncio.open_connection(here, port)
    except OSError:
        return False
    writer.close()
    return True


def check_distinct(routes: Sequence[Route]) -> None:
    """Raise Rejected if two routes have the same address or the same service."""
    for words, keys in (
        ("address", [address_text(route.listen_address, route.listen_port) for route in routes]),
        ("service", [str(route.service) for route in routes]),
    ):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise Rejected(f"two routes have the same {words}: {', '.join(twice)}")


def taken(routes: Sequence[Route]) -> Unavailable:
    """Return the error that says which routes could not have their port."""
    words = "; ".join(f"port {r.listen_port} on {r.listen_address} for {r.service} is taken" for r in routes)
    port = routes[0].listen_port
    hint = f"find what listens there with: ss -ltnp 'sport = :{port}', or choose another port"
    return Unavailable(f"the proxy cannot listen: {words}", hint=hint)
