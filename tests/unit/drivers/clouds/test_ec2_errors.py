"""What answers of EC2 mean."""

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from dcp.drivers.clouds.ec2.errors import absent_in, classified, code_of, translate
from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Rejected, Throttled


def answer(code: str, status: int, words: str = "words") -> ClientError:
    response = {"Error": {"Code": code, "Message": words}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "RunInstances")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, OutOfStock),
        ("InsufficientHostCapacity", 500, OutOfStock),
        ("InsufficientFreeAddressesInSubnet", 400, OutOfStock),
        ("Unsupported", 400, OutOfStock),
        ("SpotMaxPriceTooLow", 400, OutOfStock),
        ("InstanceLimitExceeded", 400, QuotaReached),
        ("VcpuLimitExceeded", 400, QuotaReached),
        ("MaxSpotInstanceCountExceeded", 400, QuotaReached),
        ("RequestLimitExceeded", 503, Throttled),
        ("Throttling", 400, Throttled),
        ("UnauthorizedOperation", 403, AccessDenied),
        ("AuthFailure", 401, AccessDenied),
        ("OptInRequired", 403, AccessDenied),
        ("InvalidParameterValue", 400, Rejected),
        ("InvalidAMIID.NotFound", 400, Rejected),
        ("UnsupportedOperation", 400, Rejected),
        ("IncompleteSignature", 400, DriverError),
        ("RequestExpired", 400, DriverError),
        ("IncorrectInstanceState", 400, DriverError),
        ("IdempotentParameterMismatch", 400, DriverError),
        ("InternalError", 500, DriverError),
        ("Unavailable", 503, DriverError),
        ("NeverSeen", 502, DriverError),
    ],
)
def test_codes(code: str, status: int, kind: type[DriverError]) -> None:
    error = translate(answer(code, status), asked="east")
    assert type(error) is kind
    assert str(error).startswith(f"east: {code}: words")


def test_a_throttled_call_says_how_long_to_wait() -> None:
    error = translate(answer("RequestLimitExceeded", 503), asked="east")
    assert isinstance(error, Throttled)
    assert error.delay_s > 0


@pytest.mark.parametrize(
    "error", [ReadTimeoutError(endpoint_url="http://x"), ConnectTimeoutError(endpoint_url="http://x"), OSError("gone")]
)
def test_without_an_answer_nothing_is_known(error: Exception) -> None:
    assert type(translate(error, asked="east")) is DriverError
    assert code_of(error) == ""


def test_missing_credentials_are_a_denial_with_a_hint() -> None:
    error = translate(NoCredentialsError(), asked="east")
    assert isinstance(error, AccessDenied)
    assert "credentials_file" in str(error)


@given(st.text(max_size=30), st.integers(100, 599))
def test_only_a_refusal_by_the_service_gives_a_host_up(code: str, status: int) -> None:
    """An answer that may hide a machine that was made is never taken for a final no."""
    error = classified(code, status, "words")
    if isinstance(error, Rejected) and not isinstance(error, AccessDenied):
        assert 400 <= status < 500
    if status >= 500 and not isinstance(error, OutOfStock | Throttled | AccessDenied):
        assert type(error) is DriverError


def test_the_machines_that_are_absent_are_named() -> None:
    words = "The instance IDs 'i-0aa1, i-0bb2' do not exist"
    error = translate(answer("InvalidInstanceID.NotFound", 400, words), asked="east-i-1x")
    assert absent_in(error) == {"i-0aa1", "i-0bb2"}
