"""No instance starts before its image is on its host, whatever fails on the way."""

from warming_engine import IMAGE, controlled, place, replace, run_virtual

from dcp.images.warming.model import REGISTRY, WarmingSettings
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.kernel.errors import DriverError, Rejected

DIRECT = WarmingSettings()
PEERS = WarmingSettings(mirror_image="mirror:1")
FEW = WarmingSettings(mirror_image="mirror:1", peers=False, ratio=0.2)


def test_instances_start_once_their_image_is_there() -> None:
    async def run() -> None:
        async with place(6, DIRECT) as made, controlled(made):
            await made.apply(3)

            async def pulling() -> bool:
                return any(row.state == HostImageState.PULLING for row in await made.rows())

            await made.until(pulling)
            assert not made.runtime.running()
            why = (await made.instances())[0]
            assert why.state == "placed"

            async def serving() -> bool:
                return await made.serving() == 3

            await made.until(serving)
            assert sorted(host for host, _ in made.engines.pulled) == sorted(
                one.host_id for one in await made.instances()
            )
            assert {row.source for row in await made.rows()} == {REGISTRY}
            (warmed,) = await made.events("warmed")
            assert warmed.numbers["line_bytes"] == 3 * made.engines.size_bytes

    run_virtual(run())


def test_few_mirrors_stand_and_flow_before_hosts_pull_from_them() -> None:
    async def run() -> None:
        async with place(12, FEW) as made, controlled(made):
            await made.apply(10)

            async def serving() -> bool:
                return await made.serving() == 10

            await made.until(serving)
            mirrors = await made.standing()
            assert len(mirrors) == 2
            assert all(len(made.mirrors.orders[mirror.id]) == 1 for mirror in mirrors)
            own = {mirror.host_id: f"127.0.0.1:{mirror.port}" for mirror in mirrors}
            others = {f"{mirror.address}:{mirror.port}" for mirror in mirrors}
            for host_id, order in made.engines.pulled:
                assert order.registry in others | {own.get(host_id, "")}
                assert order.insecure

    run_virtual(run())


def test_hosts_serve_each_other() -> None:
    async def run() -> None:
        async with place(12, PEERS) as made, controlled(made):
            await made.apply(10)

            async def serving() -> bool:
                return await made.serving() == 10

            await made.until(serving)
            assert len(await made.standing()) == 10
            assert {order.registry for _, order in made.engines.pulled} == {"127.0.0.1:5050"}
            assert len(made.mirrors.routes) == 10
            tops = [name for name, (stripes, _) in made.mirrors.routes.items() if () in stripes or not stripes]
            assert 1 <= len(tops) < 10
            assert all(registries == ("http://registry.dc1:5000",) for _, registries in made.mirrors.routes.values())

    run_virtual(run())


def test_a_pull_that_fails_is_tried_again_and_explained() -> None:
    async def run() -> None:
        async with place(4, DIRECT) as made:
            hosts = {"private-1"}
            async with controlled(made):
                for host_id in hosts:
                    made.engines.fail_pull(host_id, DriverError("disk-full: no space left"), times=2)
                await made.apply(1)

                async def serving() -> bool:
                    return await made.serving() == 1

                await made.until(serving)
                assert len(await made.events("disk-full")) == 2
                assert len(made.engines.pulled) == 3

    run_virtual(run())


def test_a_host_that_cannot_pull_is_left_and_another_is_taken() -> None:
    async def run() -> None:
        async with place(4, replace(DIRECT, attempts=2)) as made, controlled(made):
            made.engines.fail_pull("private-1", DriverError("disk-full"), times=99)
            await made.apply(1)

            async def serving() -> bool:
                return await made.serving() == 1

            await made.until(serving)
            (one,) = [instance for instance in await made.instances() if instance.state == "serving"]
            assert one.host_id != "private-1"
            states = {row.host_id: row.state for row in await made.rows()}
            assert states.get("private-1", HostImageState.EXCLUDED) == HostImageState.EXCLUDED
            assert await made.events("image-unavailable")

    run_virtual(run())


def test_an_image_that_nobody_has_moves_nothing() -> None:
    async def run() -> None:
        async with place(4, replace(DIRECT, attempts=2)) as made, controlled(made):
            for number in range(1, 5):
                made.engines.fail_pull(f"private-{number}", Rejected("image-missing: manifest unknown"), times=99)
            await made.apply(1)

            async def tried() -> bool:
                return len(made.engines.pulled) >= 4

            await made.until(tried)
            assert len({host for host, _ in made.engines.pulled}) == 1
            assert len(await made.instances()) == 1

    run_virtual(run())


def test_a_new_controller_takes_up_what_the_last_one_left() -> None:
    async def run() -> None:
        async with place(8, PEERS, pull_s=5.0) as made:
            async with controlled(made):
                await made.apply(6)

                async def pulling() -> bool:
                    return sum(1 for row in await made.rows() if row.state == HostImageState.PULLING) == 6

                await made.until(pulling)
            async with controlled(made):

                async def serving() -> bool:
                    return await made.serving() == 6

                await made.until(serving)
                assert len(await made.standing()) == 6
                assert all(count == 1 for count in made.runtime.starts.values())

    run_virtual(run())


def test_a_mirror_that_falls_silent_is_gone_round_and_stops_when_its_host_answers_no_more() -> None:
    async def run() -> None:
        async with place(8, PEERS) as made, controlled(made):
            await made.apply(6)

            async def serving() -> bool:
                return await made.serving() == 6

            await made.until(serving)
            lost = (await made.standing())[0]
            made.down.add(lost.host_id)

            async def is_lost() -> bool:
                return any(m.id == lost.id and m.state == MirrorState.LOST for m in await made.standing())

            await made.until(is_lost)

            async def gone() -> bool:
                return lost.id not in {mirror.id for mirror in await made.standing()}

            await made.until(gone, 200.0)
            assert lost.id not in made.runtime.running()

    run_virtual(run())


def test_idle_mirrors_stop() -> None:
    async def run() -> None:
        async with place(8, replace(FEW, mirror_linger_s=30.0)) as made, controlled(made):
            await made.apply(6)

            async def serving() -> bool:
                return await made.serving() == 6

            await made.until(serving)

            async def none() -> bool:
                return not await made.standing()

            await made.until(none)
            assert all("mirror" not in name for name in made.runtime.running())
            assert await made.serving() == 6

    run_virtual(run())


def test_what_is_not_pinned_is_not_waited_for() -> None:
    async def run() -> None:
        async with place(4, DIRECT) as made, controlled(made):
            await made.apply(2, IMAGE.partition("@")[0] + ":v1")

            async def serving() -> bool:
                return await made.serving() == 2

            await made.until(serving)
            assert made.engines.pulled == []

    run_virtual(run())
