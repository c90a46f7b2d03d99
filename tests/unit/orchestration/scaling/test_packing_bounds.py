"""The yardsticks of the comparison of packings: the bound is below the exact answer, and that below every plan."""

from pathlib import Path

import numpy as np
import pytest

from dcp.orchestration.scaling.packing import pack_new_hosts
from dcp.orchestration.scaling.patterns import Classes

pytest.importorskip("highspy", reason="the extra bounds is not installed")
BENCH = str(Path(__file__).parents[4] / "bench")


@pytest.mark.parametrize("seed", range(4))
def test_bound_exact_answer_and_plan_stand_in_this_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    from packed.bound import exact, lower_bound
    from packed.cases import small

    case = small(seed)
    classes = Classes(
        sizes=np.array([[ask.resources.cpu_millis, ask.resources.memory_bytes] for ask in case.asks]),
        counts=np.array([ask.count for ask in case.asks]),
        unplaced_cost=np.full(len(case.asks), 1000.0),
        room=np.array([[16_000, 64 << 30]]),
        most=np.array(
            [[min(16_000 // a.resources.cpu_millis, (64 << 30) // a.resources.memory_bytes) for a in case.asks]]
        ),
        cost=np.array([1.0]),
        stock=np.array([np.inf]),
    )
    bound, best = lower_bound(classes), exact(classes)
    packed = len(pack_new_hosts(case.asks, case.offers))
    assert 0.9 * best <= bound <= best + 1e-6
    assert best <= packed <= best + 1


def test_kubernetes_prefers_the_emptier_host_by_default_and_the_fuller_one_by_most_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    from packed.rivals import kubernetes_default, kubernetes_most

    used, room = np.array([[0, 0], [4_000, 8_000]]), np.array([[10_000, 20_000], [10_000, 20_000]])
    size = np.array([1_000, 2_000])
    assert kubernetes_default(used, room, size).tolist() == [90 + 75, 50 + 75]
    assert kubernetes_most(used, room, size).tolist() == [10 + 75, 50 + 75]


def test_arrivals_are_placed_until_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    from packed.rivals import Hosts, first_fit, place_each

    hosts = Hosts(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2), dtype=np.int64), np.array([10, 10]))
    sizes = [np.array([one, 1]) for one in (6, 6, 4, 3, 11)]
    place_each(hosts, sizes, first_fit, seed=1)
    assert (hosts.used.tolist(), hosts.unplaced) == ([[10, 2], [9, 2]], 1)
