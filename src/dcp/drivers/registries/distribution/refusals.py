"""A registry's refusals in our words: what it says, and which of our errors tells the caller what to do."""

import httpx

from dcp.kernel.errors import DcpError, Denied, DriverError, NotFound, Rejected, Throttled

THROTTLED_S = 5.0
"""Where a registry says slow down and not for how long."""
_TEXT_LIMIT = 300


def refusal_of(response: httpx.Response, what: str) -> DcpError:
    """Return the error for an answer that is no success; `what` names the request."""
    status, words = response.status_code, _words(response)
    message = f"{what}: {status} {words}"
    if status == 401:
        return Denied(message, hint="is the user name or password of this registry right?")
    if status == 403:
        return Denied(message, hint="the user has no such right here")
    if status == 404:
        return NotFound(message)
    if status == 429:
        return Throttled(message, delay_s=_delay_s(response.headers.get("retry-after", "")))
    if status == 405:
        return Rejected(message, hint="the registry does not allow this; deleting is off unless it is configured")
    return DriverError(message) if status >= 500 else Rejected(message)


def _words(response: httpx.Response) -> str:
    try:
        errors = response.json()["errors"]
        return "; ".join(f"{one['code']} {one.get('message', '')}".strip() for one in errors)[:_TEXT_LIMIT]
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.text[:_TEXT_LIMIT].strip() or response.reason_phrase


def _delay_s(header: str) -> float:
    return float(header) if header.isdigit() else THROTTLED_S
