"""The REST API: endpoints below /api/v1, metrics at /metrics, one lock in front, one shape of errors.

There is no page of interactive documentation: it would fetch scripts from the internet, and a browser does not send
the token. `openapi.json` is for the tool of your choice.
"""

from fastapi import FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from dcp import __version__
from dcp.api.auth import RequireToken
from dcp.api.faults import ERRORS, handle_errors
from dcp.api.routes import DISCOVERY, DOORS, METRICS, ROUTERS
from dcp.engine.context import Context
from dcp.engine.published_watch import PublishedWatch

PREFIX = "/api/v1"
OPENAPI = f"{PREFIX}/openapi.json"


def create_app(context: Context, token: str, reader_token: str = "") -> FastAPI:
    """Return the API of one controller; nothing of it answers without the token but `DOORS`.

    `reader_token` opens discovery and nothing else; empty: there is none.
    """
    app = FastAPI(
        title="dcp",
        version=__version__,
        summary="Carries microservices through traffic surges",
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        # Written into openapi.json; what refuses is RequireToken.
        dependencies=[Security(HTTPBearer(auto_error=False, description="The token of the state directory"))],
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(METRICS)
    app.include_router(DOORS)
    app.include_router(DISCOVERY)
    app.state.published = PublishedWatch(context.database, context.clock) if context.settings.discovery else None
    handle_errors(app)
    app.add_middleware(RequireToken, token=token, doors=_doors(), reader_token=reader_token)
    return app


def _doors() -> frozenset[tuple[str, str]]:
    """Return method and path of every endpoint that has a lock of its own."""
    routes = (route for route in DOORS.routes if isinstance(route, APIRoute))
    return frozenset((method, route.path) for route in routes for method in route.methods or ())
