"""What no packing can beat: a lower bound by column generation with exact prices, and small cases exactly (HiGHS).

For any prices of instances, no host holds more value than the best pattern of its type; so all instances together cost
at least their value, once prices are scaled so that no pattern is worth more than its host. Prices come from dcp's
own program, the best pattern from HiGHS: the bound holds whatever the prices are, and is tight if they are good.
"""

import itertools
import math

import highspy
import numpy as np

from dcp.orchestration.scaling.patterns import Classes, Counts, Figures, Patterns, cheapest_mix

_ROUNDS = 12
_TIGHT = 2e-3


def lower_bound(classes: Classes) -> float:
    """Return what all instances cost at least."""
    known = Patterns(len(classes.counts))
    best = max(_proven(classes, size.astype(np.float64), room) for size, room in _by_resource(classes))
    for _ in range(_ROUNDS):
        mix = cheapest_mix(classes, known)
        prices = np.maximum(mix.worth, 0.0)
        found = [_best_pattern(classes, kind, prices) for kind in range(len(classes.cost))]
        values = np.array([value for value, _ in found])
        best = max(best, _proven(classes, prices, values))
        cost = float(mix.times @ classes.cost[mix.types])
        patterns = np.array([pattern for _, pattern in found])
        if best >= cost * (1 - _TIGHT) or not known.add(np.arange(len(found)), patterns):
            break
    return best


def _by_resource(classes: Classes) -> list[tuple[Counts, Figures]]:
    """Return prices that count one resource only, as if instances were a liquid, and what each type holds of it."""
    used = [one for one in range(classes.sizes.shape[1]) if classes.sizes[:, one].any() and classes.room[:, one].any()]
    return [(classes.sizes[:, one], classes.room[:, one].astype(np.float64)) for one in used]


def _proven(classes: Classes, prices: Figures, values: Figures) -> float:
    """Return the bound that these prices prove, scaled for types without end, less what scarce types gain."""
    endless = ~np.isfinite(classes.stock)
    ratio = float((values[endless] / classes.cost[endless]).max(initial=0.0)) if endless.any() else 1.0
    gain = np.maximum(values / ratio - classes.cost, 0.0)[~endless] @ classes.stock[~endless]
    return float(prices @ classes.counts) / ratio - float(gain)


def exact(classes: Classes) -> float:
    """Return the least cost of whole hosts; small cases only, as every pattern is listed."""
    columns = [(kind, pattern) for kind in range(len(classes.cost)) for pattern in _maximal(classes, kind)]
    model = _quiet()
    for kind, _ in columns:
        model.addVar(0, highspy.kHighsInf)
        model.changeColCost(model.getNumCol() - 1, float(classes.cost[kind]))
        model.changeColIntegrality(model.getNumCol() - 1, highspy.HighsVarType.kInteger)
    table = np.array([pattern for _, pattern in columns])
    for number, count in enumerate(classes.counts.tolist()):
        used = np.flatnonzero(table[:, number])
        model.addRow(count, highspy.kHighsInf, len(used), used.astype(np.int32), table[used, number].astype(np.float64))
    model.run()
    return float(model.getInfo().objective_function_value)


def _maximal(classes: Classes, kind: int) -> list[Counts]:
    most = np.minimum(classes.most[kind], classes.counts)
    found = []
    for some in itertools.product(*(range(one + 1) for one in most)):
        pattern = np.array(some)
        free = classes.room[kind] - pattern @ classes.sizes
        if (free >= 0).all() and not ((classes.sizes <= free).all(axis=1) & (pattern < most)).any():
            found.append(pattern)
    return found


def _best_pattern(classes: Classes, kind: int, prices: Figures) -> tuple[float, Counts]:
    """Return what the best pattern of a type is worth at most, and a pattern that is worth it or nearly so."""
    pattern = np.zeros(len(prices), dtype=np.int64)
    most = np.minimum(classes.most[kind], classes.counts)
    used = np.flatnonzero((prices > 0) & (most > 0))
    if not len(used):
        return 0.0, pattern
    model = _quiet()
    for column, number in enumerate(used.tolist()):
        model.addVar(0, int(most[number]))
        model.changeColCost(column, -float(prices[number]))
        model.changeColIntegrality(column, highspy.HighsVarType.kInteger)
    index = np.arange(len(used), dtype=np.int32)
    for resource, room in enumerate(classes.room[kind].tolist()):
        scale = 1.0 / max(room, 1)
        sizes = classes.sizes[used, resource] * scale
        model.addRow(-highspy.kHighsInf, room * scale, len(used), index, sizes)
    model.run()
    pattern[used] = np.round(np.array(model.getSolution().col_value)).astype(np.int64)
    if (pattern @ classes.sizes > classes.room[kind]).any():
        pattern[:] = 0
    return -float(model.getInfo().mip_dual_bound), pattern


def _quiet() -> highspy.Highs:
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    model.setOptionValue("mip_rel_gap", 1e-3)
    return model


def whole(bound: float) -> int:
    """Return a bound on a number of hosts as a number of hosts."""
    return math.ceil(bound - 1e-6)
