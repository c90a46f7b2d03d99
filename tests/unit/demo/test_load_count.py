"""Every offered request is counted once, in the second it was scheduled in."""

import pytest

from dcp.demo.load_count import LoadCount, quantiles, weight


def test_a_second_is_written_when_its_last_request_has_ended() -> None:
    count = LoadCount(slow_ms=500)
    first, second = count.offer(0.2, 0), count.offer(0.9, 1)
    later = count.offer(1.1, 0)
    count.end(later, 20, 200, "")
    count.end(first, 30, 200, "")
    assert count.take_complete(before_second=2) == []
    count.end(second, 5000, 200, "")
    lines = count.take_complete(before_second=2)
    assert [(line["second"], line["offered"], line["answered"], line["slow"]) for line in lines] == [
        (0, 2, 2, 1),
        (1, 1, 1, 0),
    ]


def test_a_second_without_requests_has_its_line() -> None:
    count = LoadCount(slow_ms=500)
    for scheduled_s in (0.5, 3.5):
        count.end(count.offer(scheduled_s, 0), 10, 200, "")
    assert [line["offered"] for line in count.take_complete(before_second=4)] == [1, 0, 0, 1]


@pytest.mark.parametrize(("status", "how", "failure"), [(503, "", "503"), (0, "reset", "reset"), (200, "cut", "cut")])
def test_a_failure_is_counted_by_kind_and_is_slow(status: int, how: str, failure: str) -> None:
    count = LoadCount(slow_ms=500)
    count.end(count.offer(0.0, 0), 10, status, how)
    (line,) = count.take_complete(before_second=1)
    assert (line["failed"], line["failures"], line["slow"], line["answered"]) == (1, {failure: 1}, 1, 0)
    assert count.totals()["failures"] == {failure: 1}


def test_totals_add_up() -> None:
    count = LoadCount(slow_ms=500)
    seconds = [count.offer(number / 10, 3.0) for number in range(20)]
    for number, second in enumerate(seconds[:-1]):
        count.end(second, number * 100, 500 if number == 3 else 200, "")
    totals = count.totals()
    assert (totals["offered"], totals["answered"], totals["failed"], count.in_flight) == (20, 18, 1, 1)
    assert totals["slow"] == 13 + 1
    assert totals["late_max_ms"] == 3.0


def test_live_lines_tell_what_is_new() -> None:
    count = LoadCount(slow_ms=500)
    second = count.offer(0.0, 0)
    first = count.take_live(1.0)
    count.end(second, 700, 200, "")
    then = count.take_live(2.0)
    assert (first["offered"], first["answered"], first["in_flight"]) == (1, 0, 1)
    assert (then["offered"], then["answered"], then["slow"], then["in_flight"]) == (0, 1, 1, 0)


def test_weights_are_those_of_the_bands() -> None:
    assert [weight(ms) for ms in (0, 10, 10.1, 50, 100, 200, 500, 501, 60_000)] == [1, 1, 2, 2, 4, 8, 16, 32, 32]


def test_quantiles_are_nearest_rank_or_none() -> None:
    assert quantiles([]) == {"p50_ms": None, "p90_ms": None, "p99_ms": None, "max_ms": None}
    assert quantiles([float(number) for number in range(100)]) == {
        "p50_ms": 50.0,
        "p90_ms": 90.0,
        "p99_ms": 99.0,
        "max_ms": 99.0,
    }
