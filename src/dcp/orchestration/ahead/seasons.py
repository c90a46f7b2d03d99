"""Seasonal forecasts: what came at the same time of the day or week, at today's level. Pure, over arrays of NumPy.

The textbook's seasonal method with one level: the median of the same buckets of the last seasons, evened out over
their neighbours, times how the last quarter of an hour compares with what was usual then. Medians shrug off single
events; the level carries what grew or shrank altogether. Once two weeks are known the season is a week, after two days
it is a day; before that nothing is said.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
BUCKET_S = 300.0
DAY, WEEK = 288, 2016
"""In buckets."""
SEASONS = 4
"""So many of the last seasons are looked at, at most."""
LEAST_SEASONS = 2
RECENT = 3
"""Buckets that say at which level today is."""
NEIGHBOURS = 2
"""Buckets on each side with which what is usual is evened out."""
LEVELS = (0.5, 2.0)
"""Further than this a level is not believed."""
LEAST_KNOWN = 0.5
"""Of the buckets behind a figure at least this share is known."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How good forecasts would have been, over the buckets in which both the forecast and what came are known.

    `error` is the mean absolute error as a share of the mean; `bias` above 0: it says too much; `last_error` is that of
    saying that it stays as it is.
    """

    buckets: int
    error: float
    bias: float
    last_error: float


def season_of(known: int) -> int | None:
    """Return the length of the season for so many known buckets; None: too little is known."""
    if known >= LEAST_SEASONS * WEEK:
        return WEEK
    return DAY if known >= LEAST_SEASONS * DAY else None


def foretell(rates: Numbers, steps: int) -> Numbers:
    """Return what comes in the next `steps` buckets, NaN where that is not known.

    `rates` are requests/s by bucket, oldest first, the last one just over; NaN where it is not known.
    """
    season = season_of(len(rates))
    if season is None:
        return np.full(steps, math.nan)
    now = len(rates)
    return _at_level(rates, now, season, np.arange(now, now + steps))


def judge(rates: Numbers, ahead: int, last: int) -> tuple[Numbers, Judged]:
    """Return what would have been foretold `ahead` buckets before each of the `last` buckets, and how good that was."""
    targets = np.arange(max(0, len(rates) - last), len(rates))
    told = np.full(len(targets), math.nan)
    for position, target in enumerate(targets):
        made = int(target) - ahead + 1
        season = season_of(made)
        if season is not None:
            told[position] = _at_level(rates, made, season, np.array([target]))[0]
    came = rates[targets]
    stays = np.array([rates[target - ahead] if target >= ahead else math.nan for target in targets])
    both = np.isfinite(told) & np.isfinite(came) & np.isfinite(stays)
    mean = float(came[both].mean()) if both.any() else 0.0
    if mean <= 0:
        return told, Judged(int(both.sum()), math.nan, math.nan, math.nan)
    error = float(np.abs(told[both] - came[both]).mean()) / mean
    bias = float((told[both] - came[both]).mean()) / mean
    last_error = float(np.abs(stays[both] - came[both]).mean()) / mean
    return told, Judged(int(both.sum()), error, bias, last_error)


def _at_level(rates: Numbers, now: int, season: int, targets: NDArray[np.int64]) -> Numbers:
    """Return the forecasts for `targets`, made when the buckets before `now` were known."""
    return _usual(rates, now, season, targets) * _level(rates, now, season)


def _level(rates: Numbers, now: int, season: int) -> float:
    recent = np.arange(max(0, now - RECENT), now)
    came, usual = rates[recent], _medians(rates, int(recent[0]), season, recent)
    both = np.isfinite(came) & np.isfinite(usual)
    if both.sum() < LEAST_KNOWN * RECENT or usual[both].sum() <= 0:
        return 1.0
    return float(np.clip(came[both].sum() / usual[both].sum(), *LEVELS))


def _usual(rates: Numbers, now: int, season: int, targets: NDArray[np.int64]) -> Numbers:
    """Return the median of the same buckets of the last seasons, evened out over neighbours; NaN: none is known."""
    around = targets[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    medians = _medians(rates, now, season, around.ravel()).reshape(around.shape)
    known = np.isfinite(medians)
    counts = known.sum(axis=1)
    sums = np.where(known, medians, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)


def _medians(rates: Numbers, now: int, season: int, targets: NDArray[np.int64]) -> Numbers:
    """Return the median of the same buckets of the last seasons, of those before `now`."""
    first = (targets - now) // season + 1
    back = targets[None, :] - season * (np.maximum(first, 1)[None, :] + np.arange(SEASONS)[:, None])
    values = np.where(back >= 0, rates[np.clip(back, 0, None)], math.nan)
    known = np.isfinite(values).any(axis=0)
    usual = np.full(len(targets), math.nan)
    usual[known] = np.nanmedian(values[:, known], axis=0)
    return usual
