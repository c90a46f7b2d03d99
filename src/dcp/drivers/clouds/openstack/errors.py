"""What Nova and Keystone answer, as our errors; and what a server's fault says."""

import re
from collections.abc import Mapping
from typing import Any

from keystoneauth1 import exceptions as keystone
from openstack.exceptions import ConfigException

from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled

THROTTLED_S = 10.0
"""Where there is no Retry-After."""
_FINAL = frozenset({400, 404, 405, 422})
_QUOTA = re.compile(r"quota|cannot run any more instances|can only run", re.IGNORECASE)
_NO_ROOM = re.compile(
    r"no valid host|not enough hosts|exhausted all hosts|exceeded max(imum)? (number of )?(scheduling attempts|retries)"
    r"|no fixed ips|no more (fixed )?ip|insufficient (compute )?resources",
    re.IGNORECASE,
)


class Refusal(Exception):
    """An answer with an HTTP status of 400 or above, before it is told what it means."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.words = message
        self.headers = headers


def meaning(refusal: Refusal, *, asked: str) -> DriverError:
    """Return the error that a refusal is; `asked` names the source."""
    words = f"{asked}: {refusal.words or refusal}"
    if refusal.status in (413, 429):
        return Throttled(words, delay_s=_delay_s(refusal.headers))
    if refusal.status in (401, 403):
        return QuotaReached(words) if _QUOTA.search(refusal.words) else AccessDenied(words)
    if refusal.status == 409 and _NO_ROOM.search(refusal.words):
        return OutOfStock(words)
    return Rejected(words) if refusal.status in _FINAL else DriverError(words)


def translate(error: Exception, *, asked: str) -> DriverError:
    """Return the error for what the vendor's library raised."""
    if isinstance(error, Refusal):
        return meaning(error, asked=asked)
    words = f"{asked}: {error}"
    if isinstance(error, keystone.Unauthorized | keystone.Forbidden | keystone.AuthorizationFailure):
        return AccessDenied(words, hint="are the credentials of this cloud right?")
    if isinstance(error, ConfigException | keystone.CatalogException | keystone.MissingRequiredOptions):
        return Rejected(words, hint="are cloud and region right?")
    return DriverError(words)


def fault(server: Mapping[str, Any], *, asked: str) -> DriverError:
    """Return why a server that never ran will not."""
    told = server.get("fault") or {}
    words = f"{asked}: {told.get('message') or 'the server is in state ERROR'}"
    if _QUOTA.search(words):
        return QuotaReached(words)
    return OutOfStock(words) if _NO_ROOM.search(words) else DriverError(words)


def _delay_s(headers: Mapping[str, str]) -> float:
    told = headers.get("Retry-After", "")
    return max(1.0, float(told)) if told.isdigit() else THROTTLED_S
