"""The offered load follows its profile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.demo.load_profile import LoadProfile, Spacing
from dcp.kernel.errors import InvalidInput

PROFILE = LoadProfile(base_rps=40, surge_factor=6, before_s=10, ramp_s=2, hold_s=20, fall_s=2, tail_s=10)


def test_timeline_has_every_phase_end_to_end() -> None:
    phases = PROFILE.timeline()
    assert [phase.name for phase in phases] == ["base", "rise", "surge", "fall", "tail"]
    assert [phase.start_s for phase in phases[1:]] == [phase.end_s for phase in phases[:-1]]
    assert phases[-1].end_s == PROFILE.duration_s == 44


def test_phases_of_no_length_are_left_out() -> None:
    steady = LoadProfile(base_rps=1, surge_factor=1, before_s=5, ramp_s=0, hold_s=0, fall_s=0, tail_s=0)
    assert [phase.name for phase in steady.timeline()] == ["base"]


@pytest.mark.parametrize(
    ("at_s", "rate_rps"), [(-1, 0), (0, 40), (10, 40), (11, 140), (12, 240), (31, 240), (33, 140), (40, 40), (44, 0)]
)
def test_rate_follows_the_phases(at_s: float, rate_rps: float) -> None:
    assert PROFILE.rate_rps(at_s) == pytest.approx(rate_rps)


def test_even_spacing_offers_exactly_what_the_profile_says() -> None:
    arrivals = list(PROFILE.arrivals_s(Spacing.EVEN, seed=1))
    # 10 s and 10 s at 40, 20 s at 240, twice 2 s at 140 on average.
    assert len(arrivals) == 400 + 400 + 4800 + 280 + 280
    in_first_second = [at_s for at_s in arrivals if at_s < 1]
    assert in_first_second == pytest.approx([(number + 0.5) / 40 for number in range(40)])


def test_poisson_spacing_varies_as_independent_arrivals_do() -> None:
    counts = [sum(1 for _ in PROFILE.arrivals_s(Spacing.POISSON, seed)) for seed in range(40)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert mean == pytest.approx(6160, rel=0.02)
    assert 0.4 < variance / 6160 < 2.0


@given(seed=st.integers(0, 10_000), spacing=st.sampled_from(Spacing))
def test_arrivals_are_in_order_inside_the_run_and_repeatable(seed: int, spacing: Spacing) -> None:
    profile = LoadProfile(base_rps=5, surge_factor=4, before_s=2, ramp_s=1, hold_s=2, fall_s=0.5, tail_s=1.5)
    arrivals = list(profile.arrivals_s(spacing, seed))
    assert arrivals == sorted(arrivals)
    assert all(0 <= at_s < profile.duration_s for at_s in arrivals)
    assert arrivals == list(profile.arrivals_s(spacing, seed))


@pytest.mark.parametrize(
    "values", [{"base_rps": 0}, {"base_rps": -1}, {"base_rps": 5, "surge_factor": 0.5}, {"base_rps": float("nan")}]
)
def test_an_impossible_profile_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        LoadProfile(**values)
