"""Error codes of EC2 as our errors.

The code decides before the HTTP status does: a lack of capacity comes with status 500, as failures of the service do.
"""

import re

from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled

THROTTLED_S = 1.0
"""EC2 does not say how long to wait. By its documentation two RunInstances and some twenty listings are added to the
account's buckets each second."""

TOKEN_USED = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
"""The call of this client token was made before: its machines are gone, or it was made with other settings."""
NOT_FOUND = "InvalidInstanceID.NotFound"

_INSTANCE = re.compile(r"\bi-[0-9a-f]+\b")

_OUT_OF_STOCK = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientCapacityOnHost",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientReservedInstancesCapacity",
        "ReservationCapacityExceeded",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
    }
)
"""In this place. `Unsupported`: the zone does not have the machine type."""
_QUOTA = frozenset(
    {
        "InstanceLimitExceeded",
        "MaxIOPSLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "NetworkInterfaceLimitExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "Blocked",
        "ExpiredToken",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "PendingVerification",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_UNKNOWN_OUTCOME = frozenset(
    {
        *TOKEN_USED,
        "IncompleteSignature",
        "IncorrectInstanceState",
        "IncorrectState",
        "InternalError",
        "InternalFailure",
        "RequestExpired",
        "ResourceNotReady",
        "ServiceUnavailable",
        "Unavailable",
    }
)
"""Told with status 4xx at times, and yet the same call may succeed later."""


def translate(error: Exception, *, asked: str) -> DriverError:
    """Return the error of one call; `asked` names the source."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return AccessDenied(f"{asked}: {error}", hint="name a credentials_file or a profile, or set AWS_ACCESS_KEY_ID")
    if not isinstance(error, ClientError):
        return DriverError(f"{asked}: {type(error).__name__}: {error}")
    code = code_of(error)
    words = f"{asked}: {code}: {error.response.get('Error', {}).get('Message', '')}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return classified(code, status, words)


def classified(code: str, status: int, words: str) -> DriverError:
    """Return the error that an answer with this code and HTTP status is to us."""
    if code in _OUT_OF_STOCK:
        return OutOfStock(words)
    if code in _QUOTA:
        return QuotaReached(words)
    if code in _THROTTLED or status == 429:
        return Throttled(words, delay_s=THROTTLED_S)
    if code in _DENIED:
        return AccessDenied(words)
    if code in _UNKNOWN_OUTCOME:
        return DriverError(words)
    return Rejected(words) if 400 <= status < 500 else DriverError(words)


def code_of(error: BaseException | None) -> str:
    """Return the service's own code; empty: the service did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def absent_in(error: DriverError) -> frozenset[str]:
    """Return the instances that an error names as absent; none where it does not name them."""
    return frozenset(_INSTANCE.findall(error.message))
