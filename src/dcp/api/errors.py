"""Errors over the wire: one shape, written by the server and read back by the client into the same tree.

    {"error": {"code", "message", "hint", "problems": [{"path", "message", "hint"}]}}

Light on purpose: the client imports it.
"""

from collections.abc import Mapping
from typing import Any

from dcp.kernel.errors import (
    AccessDenied,
    Conflict,
    DcpError,
    Denied,
    DriverError,
    InvalidInput,
    LeaseLost,
    NotFound,
    OutOfStock,
    Problem,
    QuotaReached,
    Rejected,
    Stale,
    Throttled,
    Unavailable,
    Unreachable,
)

STATUS: dict[type[DcpError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    Stale: 409,
    LeaseLost: 409,
    Denied: 401,
    Unavailable: 503,
    DriverError: 503,
    Throttled: 503,
    Unreachable: 503,
    OutOfStock: 503,
    QuotaReached: 503,
    Rejected: 503,
    AccessDenied: 503,
}
INTERNAL = "internal"
"""The code of a fault in dcp itself, HTTP 500."""
_BY_CODE = {
    kind.code: kind for kind in (NotFound, Conflict, Stale, LeaseLost, Denied, DriverError, OutOfStock, Rejected)
}
_BY_STATUS: dict[int, type[DcpError]] = {401: Denied, 404: NotFound, 405: NotFound, 409: Conflict}


def status_of(error: DcpError) -> int:
    """Return the HTTP status of an error."""
    return STATUS.get(type(error), 500)


def body_of(error: DcpError) -> dict[str, Any]:
    """Return the body of an error's answer. An InvalidInput's message is its subject; the faults stand beside it."""
    invalid = isinstance(error, InvalidInput)
    problems = error.problems if isinstance(error, InvalidInput) else ()
    return {
        "error": {
            "code": error.code,
            "message": f"{error.subject} cannot be used" if isinstance(error, InvalidInput) else error.message,
            "hint": "" if invalid else error.hint,
            "problems": [{"path": p.path, "message": p.message, "hint": p.hint} for p in problems],
        }
    }


def error_of(status: int, body: object) -> DcpError:
    """Return the error that an answer stands for, also one that did not come from dcp."""
    found = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping):
        kind = _BY_STATUS.get(status, Unavailable)
        return kind(f"the server answered {status}", hint="is this a dcp controller?")
    code, message, hint = str(found.get("code")), str(found.get("message")), str(found.get("hint", ""))
    if code == InvalidInput.code:
        problems = tuple(Problem(str(p["path"]), str(p["message"]), str(p["hint"])) for p in found.get("problems", ()))
        return InvalidInput(problems, subject=message.removesuffix(" cannot be used"))
    if code == INTERNAL:
        return DcpError(message, hint=hint)
    return _BY_CODE.get(code, Unavailable)(message, hint=hint)
