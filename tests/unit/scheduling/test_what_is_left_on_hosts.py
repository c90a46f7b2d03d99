"""What stays usable: GPUs for those that need one, processor and memory used alike."""

from dataclasses import replace

from scheduling_builders import HOST, MIB, ask, host, where

from dcp.hosts.model import Resources, SourceKind
from dcp.scheduling.fleet import fleet_of
from dcp.scheduling.model import DEFAULT, FULLEST_FIRST
from dcp.scheduling.place import place, place_batch

WITH_GPUS = replace(HOST, extra=(("gpu", 2),))
ONE_GPU = Resources(250, 256 * MIB, extra=(("gpu", 1),))
LEAN = Resources(100, 400 * MIB)
MEMORY_AHEAD = Resources(100, 500 * MIB)
CPU_AHEAD = Resources(500, 100 * MIB)


def test_what_needs_no_gpu_leaves_gpus_alone() -> None:
    some = (host("gpus", total=WITH_GPUS), host("plain", instances={"shop/web": 3}))
    assert where(place((ask(1),), some, 0)) == ["plain"]
    assert where(place((ask(1, resources=ONE_GPU),), some, 0)) == ["gpus"]


def test_where_no_gpu_is_left_there_is_none_to_be_kept() -> None:
    spent = host("spent", total=WITH_GPUS, used=Resources(500, 512 * MIB, extra=(("gpu", 2),)))
    some = (spent, host("gpus", total=WITH_GPUS), host("crowded", instances={"shop/web": 3}))
    assert where(place((ask(1),), some, 0)) == ["spent"]


def test_private_hosts_with_gpus_before_the_cloud() -> None:
    some = (host("gpus", total=WITH_GPUS), host("cloud", kind=SourceKind.CLOUD))
    assert where(place((ask(1),), some, 0)) == ["gpus"]


def test_what_uses_more_memory_goes_where_the_processor_is_ahead() -> None:
    some = (
        host("cpu", used=CPU_AHEAD),
        host("memory", used=MEMORY_AHEAD),
        host("even", used=Resources(300, 307 * MIB)),
    )
    for weights in (FULLEST_FIRST, replace(DEFAULT, full=0.0)):
        assert where(place((replace(ask(1, resources=LEAN), weights=weights),), some, 0)) == ["cpu"]


def test_of_gpu_processor_and_memory_the_one_that_runs_ahead_counts() -> None:
    lean = Resources(400, 100 * MIB, extra=(("gpu", 1),))
    little_cpu = host("little-cpu", total=WITH_GPUS, used=Resources(600, 300 * MIB, extra=(("gpu", 1),)))
    much_cpu = host("much-cpu", total=WITH_GPUS, used=Resources(100, 300 * MIB, extra=(("gpu", 1),)))
    packed = replace(ask(1, resources=lean), weights=FULLEST_FIRST)
    assert where(place((packed,), (little_cpu, much_cpu), 0)) == ["much-cpu"]


def test_gpus_are_not_stranded_by_what_came_before() -> None:
    """Arrivals one by one: half of the hosts have GPUs; what needs none fills the others first, so all fit."""
    fleet = fleet_of([host(f"h{n}", total=WITH_GPUS if n % 2 else HOST) for n in range(20)], 1)
    plain, training = (
        ask(1, "shop/plain"),
        ask(1, "shop/training", resources=Resources(400, 400 * MIB, extra=(("gpu", 1),))),
    )
    left = dict.fromkeys(("shop/plain", "shop/training"), 0)
    for one in [plain] * 40 + [training] * 20:
        left[one.service] += place_batch(fleet, one).left
    assert left == {"shop/plain": 0, "shop/training": 0}
