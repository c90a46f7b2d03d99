"""Turns whatever goes wrong behind an endpoint into the one shape of errors."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dcp.api.errors import INTERNAL, body_of, status_of
from dcp.api.shapes import Shape
from dcp.engine.context import log
from dcp.kernel.errors import DcpError, InvalidInput, NotFound
from dcp.settings.faults import problems_of_validation


class ProblemShape(Shape):
    """One thing that is wrong with the request, by its dotted path."""

    path: str
    message: str
    hint: str


class ErrorDetail(Shape):
    """What went wrong. `code` is stable; words may change."""

    code: str
    message: str
    hint: str
    problems: list[ProblemShape]


class ErrorBody(Shape):
    """The answer of every request that fails."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "`denied`: the token is missing or wrong"},
    404: {"model": ErrorBody, "description": "`not-found`: there is no such subject"},
    409: {"model": ErrorBody, "description": "`conflict` or `stale`: the present state does not allow it"},
    422: {"model": ErrorBody, "description": "`invalid-input`: nothing was changed; `problems` names each fault"},
    500: {"model": ErrorBody, "description": "`internal`: a fault in dcp itself"},
    503: {"model": ErrorBody, "description": "`unavailable`: the store or a driver cannot be reached"},
}


def handle_errors(app: FastAPI) -> None:
    """Have `app` answer every error in the one shape."""
    app.add_exception_handler(DcpError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_request)
    app.add_exception_handler(HTTPException, _of_route)
    app.add_exception_handler(Exception, _of_fault)


async def _of_ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DcpError)
    return JSONResponse(body_of(error), status_of(error))


async def _of_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [{**one, "loc": _location(one)} for one in error.errors()]
    invalid = InvalidInput(problems_of_validation(found), subject="the request")
    return JSONResponse(body_of(invalid), status_of(invalid))


def _location(error: dict[str, Any]) -> tuple[str | int, ...]:
    """Leave out where in the request it stands (body, query, path): the names say it."""
    inner = tuple(error["loc"][1:])
    return () if error["type"] == "json_invalid" else inner


async def _of_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    words = "there is nothing" if error.status_code == 404 else f"{request.method} is not possible"
    missing = NotFound(f"{words} at {request.url.path}", hint="see /api/v1/openapi.json")
    return JSONResponse(body_of(missing), error.status_code, error.headers)


async def _of_fault(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    body = body_of(DcpError("a fault in dcp itself", hint="see the controller's log"))
    body["error"]["code"] = INTERNAL
    return JSONResponse(body, 500)
