"""What Libcloud raises, as ours. Its errors carry a status code at best; the rest is in the provider's words."""

import re

from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError, ProviderError

from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled

THROTTLED_S = 10.0
"""Where the provider does not say how long."""

_WORDS: tuple[tuple[str, type[DriverError]], ...] = (
    (r"rate.?limit|too many requests|request limit exceeded|throttl", Throttled),
    (r"quota|(account|droplet|instance|resource|server|linode).{0,20} limit|limit.{0,40}(reach|exceed)", QuotaReached),
    (r"exceed.{0,30}limit|maximum number of (instances|servers|droplets|linodes)", QuotaReached),
    (r"out of (stock|capacity)|sold.?out|insufficient (capacity|resources)|no (more )?capacity", OutOfStock),
    (r"resource.?pool.?exhausted|not enough (resources|capacity)|currently unavailable", OutOfStock),
    (r"(not|un)(\s|-)?available (in|at|for)|no valid host", OutOfStock),
    (
        r"unauthori[sz]ed|forbidden|permission|not allowed|access denied|invalid (token|api key|credential)",
        AccessDenied,
    ),
)
"""The first row that matches holds."""

_FINAL = frozenset({400, 404, 405, 409, 410, 422})


def translate(error: Exception, *, asked: str) -> DriverError:
    """Return the error for one call; `asked` names the source and what it was asked for."""
    words = f"{asked}: {_text(error)}"
    if isinstance(error, RateLimitReachedError):
        return Throttled(words, delay_s=error.retry_after or THROTTLED_S)
    if isinstance(error, InvalidCredsError):
        return AccessDenied(words, hint="is the key in credentials_file right?")
    status = _status(error)
    if status == 429:
        return Throttled(words, delay_s=THROTTLED_S)
    for pattern, kind in _WORDS:
        if status is not None and status < 500 and re.search(pattern, _text(error), re.IGNORECASE):
            return Throttled(words, delay_s=THROTTLED_S) if kind is Throttled else kind(words)
    if status in (401, 403):
        return AccessDenied(words)
    return Rejected(words) if status in _FINAL else DriverError(words)


def is_absent(error: DriverError) -> bool:
    """Return whether the call failed because the machine is gone."""
    cause = error.__cause__
    return isinstance(cause, Exception) and _status(cause) in (404, 410)


def _text(error: Exception) -> str:
    return str(error) or repr(error)


def _status(error: Exception) -> int | None:
    if isinstance(error, BaseHTTPError):
        return int(error.code)
    if isinstance(error, ProviderError):
        return int(error.http_code)
    found = re.search(r"\bcode:? (\d{3})\b|^(\d{3}) ", _text(error))
    return int(found[1] or found[2]) if found else None
