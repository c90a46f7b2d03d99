"""A mirror before a real registry, and before upstreams that fail."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from mirror_world import CONTROL, REPOSITORY, Upstream, image_of, layer, mirror_at, push

from conformance.registry_process import RegistryProcess
from dcp.images.manifests import digest_of
from dcp.kernel.errors import Unavailable

MIB = 1 << 20


async def test_twenty_readers_at_once_cost_the_registry_one(registry: RegistryProcess, tmp_path: Path) -> None:
    image = image_of(layer(12 * MIB), layer(3 * MIB, 1))
    await push(registry.url, image)
    async with mirror_at(tmp_path / "m", registry.url) as running:
        await asyncio.gather(*(running.pull(image) for _ in range(20)))
        assert running.from_upstream[registry.url] == image.size + len(image.manifest)
        counters = running.mirror.counters
        assert counters.misses == 3
        assert counters.hits + counters.joined == 57
        assert counters.served_bytes == 20 * (image.size + len(image.manifest))


async def test_by_tag_by_range_and_head(registry: RegistryProcess, tmp_path: Path) -> None:
    image = image_of(layer(2 * MIB))
    await push(registry.url, image)
    blob = image.blobs[1]
    async with mirror_at(tmp_path / "m", registry.url) as running:
        by_tag = await running.manifest("v1")
        assert by_tag.headers["Docker-Content-Digest"] == image.digest
        for header, wanted in (
            ("bytes=100-199", blob[100:200]),
            ("bytes=2000000-", blob[2000000:]),
            ("bytes=-5", blob[-5:]),
        ):
            for _ in range(2):  # while it arrives, and when it is there
                assert await running.blob(blob, headers={"Range": header}) == wanted
        target = f"{running.url}/v2/{REPOSITORY}/blobs/{digest_of(blob)}"
        async with running.session.head(target) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(blob)))
        async with running.session.get(target, headers={"Range": f"bytes={len(blob)}-"}) as outside:
            assert outside.status == 416
        async with running.session.get(f"{running.url}/v2/") as base:
            assert base.status == 200
        async with running.session.get(f"{running.url}/v2/{REPOSITORY}/blobs/{digest_of(b'none')}") as missing:
            assert missing.status == 404
        async with running.session.put(target, data=b"") as write:
            assert write.status == 405


async def test_a_reader_gets_bytes_before_the_blob_is_whole(tmp_path: Path) -> None:
    image = image_of(layer(2 * MIB))
    async with Upstream(image).serve() as upstream, mirror_at(tmp_path / "m", upstream.url) as running:
        upstream.chunk_s = 0.02
        target = f"{running.url}/v2/{REPOSITORY}/blobs/{digest_of(image.blobs[1])}"
        async with running.session.get(target) as response:
            assert await response.content.readexactly(256 * 1024) == image.blobs[1][: 256 * 1024]
            assert upstream.sent_bytes < MIB


async def test_an_upstream_that_dies_midway_is_gone_on_from_the_other(tmp_path: Path) -> None:
    image = image_of(layer(6 * MIB))
    async with Upstream(image).serve() as first, Upstream(image).serve() as second:
        first.stop_after = 4 * MIB
        async with mirror_at(tmp_path / "m", first.url, second.url) as running:
            await running.pull(image)
            assert running.from_upstream[first.url] >= 3 * MIB
            assert 0 < second.sent_bytes < 3 * MIB
            assert sum(running.from_upstream.values()) == image.size + len(image.manifest)


async def test_a_killed_registry_is_gone_on_from_the_other(registry: RegistryProcess, tmp_path: Path) -> None:
    image = image_of(layer(64 * MIB))
    await push(registry.url, image)
    async with Upstream(image).serve() as second, mirror_at(tmp_path / "m", registry.url, second.url) as running:
        await running.manifest(image.digest)
        target = f"{running.url}/v2/{REPOSITORY}/blobs/{digest_of(image.blobs[1])}"
        async with running.session.get(target) as response:
            begin = await response.content.readexactly(64 * 1024)
            registry.kill()
            assert begin + await response.read() == image.blobs[1]


async def test_a_silent_upstream_is_left(tmp_path: Path) -> None:
    image = image_of(layer(1 * MIB))
    async with Upstream(image).serve() as first, Upstream(image).serve() as second:
        first.stall_after = 256 * 1024
        async with mirror_at(tmp_path / "m", first.url, second.url, stall_s=0.3) as running:
            await running.pull(image)


async def test_a_wrong_blob_is_never_whole(tmp_path: Path) -> None:
    image = image_of(layer(2 * MIB))
    async with Upstream(image).serve() as liar, Upstream(image).serve() as honest:
        liar.wrong = True
        async with mirror_at(tmp_path / "m", liar.url) as running:
            await running.manifest(image.digest)
            with pytest.raises(aiohttp.ClientError):
                await running.blob(image.blobs[1])
            assert running.mirror.counters.wrong_digests[liar.url] == 1
            assert len(running.mirror.disk) == 1  # the manifest
        async with mirror_at(tmp_path / "n", liar.url, honest.url) as running:
            await running.manifest(image.digest)
            with pytest.raises(aiohttp.ClientError):  # it had begun to read what was wrong
                await running.blob(image.blobs[1])
            assert await running.blob(image.blobs[1]) == image.blobs[1]
            assert honest.sent_bytes == len(image.blobs[1])


async def test_readers_of_two_mirrors_below_a_liar_get_the_truth_from_the_registry(tmp_path: Path) -> None:
    image = image_of(layer(9 * MIB))
    async with Upstream(image).serve() as liar, Upstream(image).serve() as honest:
        liar.wrong = True
        async with (
            mirror_at(tmp_path / "a", honest.url, name="a") as good,
            mirror_at(tmp_path / "b", honest.url, parents=(liar.url, good.url), name="b") as running,
        ):
            await running.manifest(image.digest)
            for _ in range(4):
                try:
                    assert await running.blob(image.blobs[1]) == image.blobs[1]
                    break
                except aiohttp.ClientError:
                    continue
            else:
                pytest.fail("never got the right blob")
            assert running.mirror.counters.wrong_digests[liar.url]


async def test_the_disk_stays_bounded_and_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    image = image_of(*(layer(MIB, number) for number in range(5)))
    async with (
        Upstream(image).serve() as upstream,
        mirror_at(tmp_path / "m", upstream.url, capacity_bytes=3 * MIB + 65536) as running,
    ):
        await running.pull(image)
        await running.pull(image)
        assert running.mirror.disk.used_bytes <= 3 * MIB + 65536
        assert running.mirror.disk.has(digest_of(image.blobs[5]))
        assert not running.mirror.disk.has(digest_of(image.blobs[1]))
        assert running.mirror.counters.evicted_bytes > 0


async def test_what_the_disk_cannot_hold_is_passed_through(tmp_path: Path) -> None:
    image = image_of(layer(2 * MIB))
    async with (
        Upstream(image).serve() as upstream,
        mirror_at(tmp_path / "m", upstream.url, capacity_bytes=MIB) as running,
    ):
        await running.pull(image)
        assert running.mirror.counters.passed_through == 1
        assert running.mirror.disk.used_bytes < MIB


async def test_a_restart_keeps_whole_blobs_and_checks_them_before_use(tmp_path: Path) -> None:
    image = image_of(layer(2 * MIB), layer(MIB, 1))
    folder = tmp_path / "m"
    async with Upstream(image).serve() as upstream:
        async with mirror_at(folder, upstream.url) as running:
            await running.pull(image)
        (folder / "partial" / "left-over").write_bytes(b"x")
        damaged = folder / "blobs" / digest_of(image.blobs[2])[7:9] / digest_of(image.blobs[2])[7:]
        damaged.write_bytes(b"?" + damaged.read_bytes()[1:])
        upstream.sent_bytes = 0
        async with mirror_at(folder, upstream.url) as running:
            await running.pull(image)
            assert upstream.sent_bytes == MIB
            assert list((folder / "partial").iterdir()) == []


async def test_a_directory_has_one_mirror(tmp_path: Path) -> None:
    async with mirror_at(tmp_path / "m", "http://127.0.0.1:1"):
        with pytest.raises(Unavailable, match="cannot be used"):
            async with mirror_at(tmp_path / "m", "http://127.0.0.1:1"):
                pass


async def test_pieces_come_from_every_parent(tmp_path: Path) -> None:
    image = image_of(layer(40 * MIB))
    async with (
        Upstream(image).serve() as registry,
        mirror_at(tmp_path / "a", registry.url, name="a") as first,
        mirror_at(tmp_path / "b", registry.url, parents=(first.url,), name="b") as second,
        mirror_at(tmp_path / "c", registry.url, parents=(first.url, second.url), name="c") as third,
    ):
        await third.pull(image)
        assert registry.sent_bytes == image.size
        assert third.from_upstream[first.url] >= 16 * MIB
        assert third.from_upstream[second.url] >= 16 * MIB
        assert sum(third.from_upstream.values()) == image.size + len(image.manifest)


async def test_routes_in_a_circle_end_at_the_registry(tmp_path: Path) -> None:
    image = image_of(layer(MIB))
    async with (
        Upstream(image).serve() as registry,
        mirror_at(tmp_path / "a", registry.url, name="a") as first,
        mirror_at(tmp_path / "b", registry.url, parents=(first.url,), name="b") as second,
    ):
        route = {"stripes": [[second.url]], "registries": [registry.url]}
        async with first.session.put(f"{first.url}/mirror/route", json=route, headers=CONTROL) as put:
            assert put.status == 200
        await second.pull(image)


async def test_warming_on_order(registry: RegistryProcess, tmp_path: Path) -> None:
    image = image_of(layer(3 * MIB), layer(MIB, 1))
    await push(registry.url, image)
    async with mirror_at(tmp_path / "m", registry.url) as running:
        order = {"repository": REPOSITORY, "reference": image.digest}
        async with running.session.post(f"{running.url}/mirror/warm", json=order) as refused:
            assert refused.status == 403
        async with running.session.post(f"{running.url}/mirror/warm", json=order, headers=CONTROL) as begun:
            assert begun.status == 202
        for _ in range(100):
            async with running.session.get(f"{running.url}/mirror/status", headers=CONTROL) as answer:
                status = await answer.json()
            if status["warmed"][0]["state"] == "here":
                break
            await asyncio.sleep(0.02)
        assert status["warmed"][0]["bytes"] == image.size
        registry.kill()
        await running.pull(image)
        async with running.session.get(f"{running.url}/metrics") as metrics:
            assert f'dcp_mirror_upstream_bytes_total{{upstream="{registry.url}"}}' in await metrics.text()
