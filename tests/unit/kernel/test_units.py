"""Units: what Compose files write, what we read, what we print."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.kernel.units import (
    format_bytes,
    format_cpu,
    format_duration,
    parse_bytes,
    parse_cpu_millis,
    parse_duration_s,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1h5m30s20ms", 3930.02),
        ("1.5h", 5400.0),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("500ns", 5e-7),
        ("1d", 86400.0),
        ("0s", 0.0),
        (" 2S ", 2.0),
        ("3", 3.0),
        (3, 3.0),
        (0.5, 0.5),
        ("1.1s100ms", 1.2),
    ],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "10 s", "10x", "s10", "-1s", "1m-30s", -1, math.inf, math.nan, True, "9" * 400, "9" * 400 + "s"]
)
def test_what_is_not_a_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64", 64),
        (64, 64),
        ("2b", 2),
        ("1024kb", 1024 * 1024),
        ("300m", 300 * 1024**2),
        ("300MiB", 300 * 1024**2),
        ("1.5G", 3 * 1024**3 // 2),
        ("1 gb", 1024**3),
        ("2t", 2 * 1024**4),
    ],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "12Q", "-5m", "1,5G", -5, True, 1.5, 10**400, "9" * 400 + "g"])
def test_what_is_not_a_size_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "millis"), [("0.5", 500), (2, 2000), (0.25, 250), ("1.10", 1100), ("0", 0)])
def test_processor_shares_are_read(text: str | float, millis: int) -> None:
    assert parse_cpu_millis(text) == millis


@pytest.mark.parametrize("text", ["", "half", "-1", -1, "inf", "nan", math.inf, math.nan, True, "9" * 400, 10**400])
def test_what_is_not_a_processor_share_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="is not a number of processors"):
        parse_cpu_millis(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1, "1s"), (90, "1m30s"), (3600, "1h"), (3930.02, "1h5m30.02s"), (59.9999, "1m")],
)
def test_durations_are_written_as_compose_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (128 * 1024**2, "128 MiB"), (1024**4, "1 TiB")],
)
def test_sizes_are_written_in_binary_units(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_processor_shares_are_written_as_processors() -> None:
    assert (format_cpu(250), format_cpu(2000)) == ("0.25 CPU", "2 CPU")


@given(st.integers(min_value=0, max_value=10**9))
def test_a_written_duration_reads_back(millis: int) -> None:
    assert parse_duration_s(format_duration(millis / 1000)) == pytest.approx(millis / 1000)
