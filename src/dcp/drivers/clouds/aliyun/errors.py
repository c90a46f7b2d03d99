"""Error codes of ECS as our errors."""

from alibabacloud_tea_openapi.exceptions import AlibabaCloudException, ClientException

from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled

THROTTLED_S = 10.0
"""Where the answer does not say how long; most limits of ECS are by the minute."""

_KINDS: tuple[tuple[str, type[DriverError]], ...] = (
    ("Throttling", Throttled),
    ("OperationDenied.NoStock", OutOfStock),
    ("OperationDenied.ZoneIsNotAvailable", OutOfStock),
    ("Zone.NotOnSale", OutOfStock),
    ("Zone.NotOpen", OutOfStock),
    ("InvalidResourceType.NotSupported", OutOfStock),
    ("InvalidInstanceType.ZoneNotSupported", OutOfStock),
    ("InvalidVSwitchId.IpNotEnough", OutOfStock),
    ("QuotaExceed.PrivateIpAddress", OutOfStock),
    ("QuotaExceeded.PrivateIpAddress", OutOfStock),
    ("SecurityGroupInstanceLimitExceed", OutOfStock),
    ("QuotaExceed", QuotaReached),
    ("Forbidden", AccessDenied),
    ("NoPermission", AccessDenied),
    ("InvalidAccessKeyId", AccessDenied),
    ("InvalidSecurityToken", AccessDenied),
    ("IncompleteSignature", AccessDenied),
    ("SignatureDoesNotMatch", AccessDenied),
    ("InvalidAccountStatus", AccessDenied),
    ("Account.Arrearage", AccessDenied),
    ("UserNotInTheWhiteList", AccessDenied),
    ("IncorrectInstanceStatus", DriverError),
    ("ServiceUnavailable", DriverError),
    ("InternalError", DriverError),
    ("LastTokenProcessing", DriverError),
    ("IdempotentProcessing", DriverError),
)
"""By the beginning of the code; the first row that fits holds. A full subnet or security group is one place's own."""


def translate(error: Exception, *, asked: str) -> DriverError:
    """Return the error of one call; `asked` names the source."""
    code = code_of(error)
    if not code:
        return DriverError(f"{asked}: {error}")
    words = f"{asked}: {code}: {getattr(error, 'message', '') or error}"
    for beginning, kind in _KINDS:
        if code.startswith(beginning):
            return Throttled(words, delay_s=_delay_s(error)) if kind is Throttled else kind(words)
    status = getattr(error, "status_code", None)
    return Rejected(words) if isinstance(status, int) and 400 <= status < 500 else DriverError(words)


def refusal_of(code: str, message: str, *, asked: str) -> DriverError:
    """Return the error for one machine of a call that did the others."""
    return translate(ClientException(status_code=403, code=code, message=message), asked=asked)


def code_of(error: BaseException | None) -> str:
    """Return the service's own code; empty: the service did not answer."""
    return str(error.code or "") if isinstance(error, AlibabaCloudException) else ""


def _delay_s(error: Exception) -> float:
    told_ms = getattr(error, "retry_after", None)
    return max(1.0, float(told_ms) / 1000) if told_ms else THROTTLED_S
