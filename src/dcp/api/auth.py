"""One lock in front of everything: no path answers, known or not, without the token, except the doors that are named.

A wrapper of the whole application, not a dependency of each endpoint, so that none can be forgotten.
"""

import hmac
from collections.abc import Iterable

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dcp.api.errors import body_of, status_of
from dcp.kernel.errors import Denied

HINT = "send Authorization: Bearer TOKEN; the token stands in the controller's state directory"


class RequireToken:
    """Passes on what carries the bearer token; answers everything else itself."""

    def __init__(self, app: ASGIApp, token: str, doors: frozenset[tuple[str, str]] = frozenset()) -> None:
        """`doors`: method and exact path of endpoints that ask for keys of their own."""
        self._app = app
        self._token = token.encode()
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_door(scope) or self._is_allowed(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            error = Denied("the token is missing or wrong", hint=HINT)
            headers = {"WWW-Authenticate": 'Bearer realm="dcp"'}
            await JSONResponse(body_of(error), status_of(error), headers)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_door(self, scope: Scope) -> bool:
        return scope["type"] == "http" and (scope["method"], scope["path"]) in self._doors

    def _is_allowed(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
