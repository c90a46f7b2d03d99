"""The best host again and again, without asking again and again.

Only the host that was just chosen changes its score. So what one host is worth for its first, second and third
instance is a row of its own, and choosing is merging rows: from the row whose next score is the highest, again and
again. A score that is above an earlier one of its row comes right after that one; so a row is worth, at each place, the
lowest score up to there (its **level**), and the answer is the highest levels of all rows. They are found by counting,
a few steps of every row at a time, and not by taking one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dcp.scheduling.fleet import Figures
from dcp.scheduling.tally import Numbers, Positions

Worth = Callable[[Positions | slice, Numbers], Figures]
"""What one more instance is worth on each of these rows, once so many are there; shapes are broadcast."""
_STEPS_AT_FIRST = 2
_STEPS_TIMES = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """How many instances each row gets; rows ascend, and none gets nothing."""

    rows: Positions
    counts: Numbers


def choose(room: Numbers, count: int, worth: Worth) -> Chosen:
    """Return where `count` instances go, as if the best row were taken `count` times; all that fit, if not all do.

    A row has room for 1 or more. Between equals the first row is taken.
    """
    every = np.arange(len(room))
    if count <= 0 or not len(room):
        return Chosen(every[:0], room[:0])
    room = np.minimum(room, count)
    if len(room) == 1 or int(room.sum()) <= count:
        return Chosen(every, room)
    if count == 1:
        best = np.argmax(worth(slice(None), np.zeros(1, dtype=np.int64)))
        return Chosen(every[best : best + 1], np.ones(1, dtype=np.int64))
    rows = _best(count, worth, len(room))
    counts = _share_out(rows, room[rows], count, worth)
    some = counts > 0
    return Chosen(rows[some], counts[some])


def in_order(chosen: Chosen, worth: Worth) -> tuple[Positions, Numbers, Figures]:
    """Return the chosen instances one by one, as the best row gives them: row, how many came before it there, score."""
    segments = np.repeat(np.arange(len(chosen.rows)), chosen.counts)
    firsts = np.cumsum(chosen.counts) - chosen.counts
    steps = np.arange(len(segments)) - firsts[segments]
    rows = chosen.rows[segments]
    scores = worth(rows, steps)
    order = np.lexsort((steps, segments, -_levels(scores, firsts)))
    return rows[order], steps[order], scores[order]


def _best(count: int, worth: Worth, rows: int) -> Positions:
    """Leave out rows that get nothing: one gives its first step only as the best of those that gave none."""
    if count >= rows:
        return np.arange(rows)
    first = worth(slice(None), np.zeros(1, dtype=np.int64))
    bound = np.partition(first, rows - count)[rows - count]
    taken = first > bound
    taken[np.flatnonzero(first == bound)[: count - int(np.count_nonzero(taken))]] = True
    return np.flatnonzero(taken)


def _share_out(every: Positions, room: Numbers, count: int, worth: Worth) -> Numbers:
    """Return how many of the highest levels each row has.

    Every round looks a few steps further along the rows whose last known level is still among the highest.
    """
    going = np.arange(len(every))
    lowest = np.full(len(every), np.inf)
    rows: list[Positions] = []
    levels: list[Figures] = []
    done, steps = 0, max(_STEPS_AT_FIRST, 2 * -(-count // len(every)))
    while len(going):
        table = _table(every[going], room[going], done, steps, worth)
        table[:, 0] = np.minimum(table[:, 0], lowest[going])
        np.minimum.accumulate(table, axis=1, out=table)
        lowest[going] = table[:, -1]
        known = table > -np.inf
        rows.append(np.repeat(going, np.count_nonzero(known, axis=1)))
        levels.append(table[known])
        bound = _bound(levels, count)
        done += steps
        going = going[(lowest[going] >= bound) & (room[going] > done)]
        steps = min(steps * _STEPS_TIMES, _most_steps(count, len(going)))
    return _counts(np.concatenate(rows), np.concatenate(levels), bound, len(every), count)


def _most_steps(count: int, rows: int) -> int:
    """Bound the size of a table: no more than a few times as many figures as instances."""
    return max(_STEPS_AT_FIRST, 4 * count // max(rows, 1))


def _table(rows: Positions, room: Numbers, done: int, steps: int, worth: Worth) -> Figures:
    """Return what the steps from `done` on are worth; minus infinity where a host has no room for them."""
    steps = min(steps, int(room.max()) - done)
    at = np.arange(done, done + steps)
    table = worth(rows[:, None], at[None, :])
    table[at[None, :] >= room[:, None]] = -np.inf
    return table


def _bound(levels: list[Figures], count: int) -> float:
    """Return the level that the last of `count` has, as far as levels are known."""
    every = levels[0] if len(levels) == 1 else np.concatenate(levels)
    if len(every) < count:
        return -np.inf
    return float(np.partition(every, len(every) - count)[len(every) - count])


def _counts(rows: Positions, levels: Figures, bound: float, size: int, count: int) -> Numbers:
    """Count levels above the bound; of those at the bound, the first rows get as many as are left."""
    above = np.bincount(rows[levels > bound], minlength=size)
    at_bound = np.bincount(rows[levels == bound], minlength=size)
    left = count - int(above.sum())
    before = np.cumsum(at_bound) - at_bound
    found: Numbers = above + np.clip(left - before, 0, at_bound)
    return found


def _levels(scores: Figures, firsts: Numbers) -> Figures:
    """Return the lowest score of each row up to every place. Most rows only fall, and are their own levels."""
    rises = np.flatnonzero(scores[1:] > scores[:-1]) + 1
    rows = np.unique(np.searchsorted(firsts, rises, side="right") - 1)
    if not len(rows):
        return scores
    levels = scores.copy()
    ends = np.append(firsts[1:], len(scores))
    for row in rows.tolist():
        part = slice(int(firsts[row]), int(ends[row]))
        levels[part] = np.minimum.accumulate(scores[part])
    return levels
