"""The figures of a run are computed from its lines and nothing else."""

import json
from dataclasses import replace

import pytest

from dcp.demo.load_profile import LoadProfile
from dcp.demo.outcome import Course, compute_outcome, measure_surge_factor
from dcp.demo.recording import HostCount, InstanceCount, LoadSecond, Recording, StateSample
from dcp.orchestration.capacity.recovery import find_recovery_s


def seconds(*slow: int, offered: int = 200) -> list[LoadSecond]:
    return [LoadSecond(number, offered, offered, 0, count, 60.0, 90.0, 1.0) for number, count in enumerate(slow)]


def instances(at_s: float, feed: int, private: int) -> StateSample:
    return StateSample(
        at_s, (), (InstanceCount("feed", serving=feed),), (HostCount("pool", "private", ready=private),), 0
    )


def test_recovery_is_the_first_second_after_the_last_slow_one() -> None:
    run = seconds(0, 0, 150, 200, 200, 80, 0, 0, 0, 0, 0, 0, 0)
    assert find_recovery_s(run, surge_start_s=2) == 4


def test_a_single_late_answer_is_no_relapse() -> None:
    # 3 of 200 is 1.5% of its second and 0.3% of its pool.
    run = seconds(0, 0, 150, 200, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0)
    assert find_recovery_s(run, surge_start_s=2) == 2


def test_a_relapse_counts() -> None:
    run = seconds(0, 0, 150, 200, 0, 0, 0, 0, 30, 0, 0, 0, 0, 0)
    assert find_recovery_s(run, surge_start_s=2) == 7


def test_recovery_begins_with_a_second_under_the_limit() -> None:
    # The second of index 4 has 2%: its pool is good, it is not.
    run = seconds(0, 0, 150, 200, 4, 0, 0, 0, 0, 0, 0)
    assert find_recovery_s(run, surge_start_s=2) == 3


def test_without_a_good_end_there_is_no_recovery() -> None:
    assert find_recovery_s(seconds(0, 0, 150, 200, 200, 200, 200, 200, 0, 0), surge_start_s=2) is None
    assert find_recovery_s(seconds(0, 0, 0), surge_start_s=2) is None
    assert find_recovery_s([], surge_start_s=2) is None


def test_a_run_that_was_never_slow_recovers_at_once() -> None:
    assert find_recovery_s(seconds(*[0] * 12), surge_start_s=2) == 0


def test_slow_seconds_before_the_surge_do_not_count() -> None:
    assert find_recovery_s(seconds(200, 200, *[0] * 12), surge_start_s=2) == 0


def test_the_surge_is_measured_from_what_was_offered(recording: Recording) -> None:
    assert measure_surge_factor(recording) == pytest.approx(6, abs=0.5)
    halved = tuple(
        replace(second, offered=second.offered // 2) if second.second >= 15 else second for second in recording.seconds
    )
    assert measure_surge_factor(replace(recording, seconds=halved)) == pytest.approx(3, abs=0.3)
    assert measure_surge_factor(replace(recording, seconds=())) is None


def test_totals_are_sums_of_the_lines(recording: Recording) -> None:
    failing = replace(recording.seconds[20], answered=recording.seconds[20].answered - 2, failed=2)
    outcome = compute_outcome(replace(recording, seconds=(*recording.seconds[:20], failing, *recording.seconds[21:])))
    assert outcome.offered_requests == sum(second.offered for second in recording.seconds)
    assert outcome.failed_requests == 2
    assert outcome.answered_requests + outcome.failed_requests == outcome.offered_requests


def test_courses_are_before_peak_and_after(recording: Recording) -> None:
    outcome = compute_outcome(recording)
    assert outcome.instances["feed"] == Course(before=2, peak=11, after=2)
    assert outcome.hosts["cloud"] == Course(before=0, peak=3, after=0)
    assert list(outcome.hosts) == ["pool", "cloud"]
    assert outcome.back_where_it_began


def test_what_did_not_come_back_is_told() -> None:
    profile = LoadProfile(base_rps=1, before_s=5)
    recording = Recording("app", "feed", "gated", 60, "none", 0.0, profile, 500, 1)
    run = (instances(1, 1, 1), instances(4, 2, 1), instances(9, 6, 3), instances(20, 3, 1))
    outcome = compute_outcome(replace(recording, samples=run))
    assert outcome.instances["feed"] == Course(before=2, peak=6, after=3)
    assert not outcome.back_where_it_began
    assert not compute_outcome(recording).back_where_it_began


def test_the_outcome_is_json_with_the_promised_names(recording: Recording) -> None:
    written = json.loads(json.dumps(compute_outcome(recording).to_json()))
    promised = (
        "surge_factor offered_requests answered_requests failed_requests slow_ratio_peak recovery_s instances hosts "
        "orphan_processes cost_usd policy time_scale decisions"
    )
    assert set(promised.split()) <= set(written)
    assert written["instances"]["feed"] == {"before": 2, "peak": 11, "after": 2}
    assert set(written["decisions"][0]) == {"at_s", "subject", "reason", "words", "numbers"}


def test_a_late_generator_is_told(recording: Recording) -> None:
    late = (replace(recording.seconds[0], late_max_ms=250.0), *recording.seconds[1:])
    assert not compute_outcome(recording).generator_starved
    assert compute_outcome(replace(recording, seconds=late)).generator_starved
