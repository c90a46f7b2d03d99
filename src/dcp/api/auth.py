"""One lock in front of everything: no path answers, known or not, without the token, except the doors that are named.

A wrapper of the whole application, not a dependency of each endpoint, so that none can be forgotten.
"""

import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dcp.api.errors import body_of, status_of
from dcp.kernel.errors import Denied

HINT = "send Authorization: Bearer TOKEN; the token stands in the controller's state directory"

READABLE = ("/v1/", "/discovery/")
"""Below these stands what clients of discovery read."""


class RequireToken:
    """Passes on what carries the bearer token; answers everything else itself."""

    def __init__(
        self, app: ASGIApp, token: str, doors: frozenset[tuple[str, str]] = frozenset(), reader_token: str = ""
    ) -> None:
        """`doors`: method and exact path of endpoints that ask for keys of their own.

        `reader_token` opens what stands below READABLE, for reading. There a token may also come as Consul's clients
        send it: X-Consul-Token, or `token` in the query.
        """
        self._app = app
        self._token = token.encode()
        self._doors = doors
        self._readers = tuple(one.encode() for one in (token, reader_token) if one)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "lifespan"
            or self._is_door(scope)
            or self._is_allowed(scope["headers"])
            or (self._is_reader(scope) and scope["method"] in ("GET", "HEAD"))
        ):
            await self._app(scope, receive, send)
        elif self._is_reader(scope):
            error = Denied("discovery is for reading only", hint="entries follow the services; nobody else writes them")
            await JSONResponse(body_of(error), 403)(scope, receive, send)
        elif scope["type"] == "http":
            error = Denied("the token is missing or wrong", hint=HINT)
            headers = {"WWW-Authenticate": 'Bearer realm="dcp"'}
            await JSONResponse(body_of(error), status_of(error), headers)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_door(self, scope: Scope) -> bool:
        return scope["type"] == "http" and (scope["method"], scope["path"]) in self._doors

    def _is_allowed(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        return hmac.compare_digest(_bearer(headers), self._token)

    def _is_reader(self, scope: Scope) -> bool:
        if scope["type"] != "http" or not scope["path"].startswith(READABLE):
            return False
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = [value for name, value in scope["headers"] if name == b"x-consul-token"]
        given += [value.encode() for name, value in query if name == "token"]
        given.append(_bearer(scope["headers"]))
        return any(hmac.compare_digest(one, known) for one in given for known in self._readers)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bearer token of a request; empty if there is none, or more than one."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        return b""
    scheme, _, token = given[0].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
