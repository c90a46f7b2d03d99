"""What every registry promises, as named cases. A rig joins a driver to them."""

import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

import pytest

from dcp.images.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of, read_manifest
from dcp.images.model import Manifest
from dcp.images.ports import Catalogue, Registry, Upload
from dcp.kernel.errors import NotFound, Rejected


class Both(Registry, Catalogue, Protocol):
    """A registry that lists and deletes too."""


class Rig(Protocol):
    """A registry, empty at the start."""

    registry: Both

    def again(self) -> Both:
        """Return what a restarted controller would use: a new object over the same registry."""
        ...


Case = Callable[[Rig], Coroutine[Any, Any, None]]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def make_image(
    *layers: bytes, config: bytes = b"{}", media_type: str = OCI_MANIFEST
) -> tuple[Manifest, dict[str, bytes]]:
    """Return a manifest over `layers` and every blob by digest."""
    blobs = {digest_of(content): content for content in (config, *layers)}
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
    }
    return read_manifest(json.dumps(document).encode()), blobs


def make_index(*images: Manifest, media_type: str = OCI_INDEX) -> Manifest:
    """Return an index over `images`."""
    parts = [
        {"mediaType": image.media_type, "digest": image.digest, "size": image.size_bytes, "platform": {"os": "linux"}}
        for image in images
    ]
    return read_manifest(json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": parts}).encode())


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


async def put_blob(registry: Registry, repository: str, content: bytes, chunk_bytes: int = 1 << 20) -> None:
    upload = await registry.begin_upload(repository, digest_of(content))
    for start in range(0, len(content), chunk_bytes):
        upload = await registry.append_upload(upload, content[start : start + chunk_bytes])
    await registry.finish_upload(upload)


async def push(registry: Registry, repository: str, tag: str, *layers: bytes, **options: Any) -> Manifest:
    manifest, blobs = make_image(*layers, **options)
    for content in blobs.values():
        await put_blob(registry, repository, content)
    await registry.put_manifest(repository, tag, manifest)
    return manifest


async def read(registry: Registry, repository: str, digest: str, offset_bytes: int = 0) -> bytes:
    return b"".join([piece async for piece in registry.read_blob(repository, digest, offset_bytes)])


@case
async def what_was_put_is_read_back(rig: Rig) -> None:
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        layer = os.urandom(3_000_000)
        manifest = await push(rig.registry, "shop/web", "1", b"base", layer, media_type=media_type)
        for registry in (rig.registry, rig.again()):
            assert await registry.resolve("shop/web", "1") == manifest.digest
            assert await registry.resolve("shop/web", manifest.digest) == manifest.digest
            assert await registry.get_manifest("shop/web", "1") == manifest
            assert await registry.get_manifest("shop/web", manifest.digest) == manifest
            assert await read(registry, "shop/web", digest_of(layer)) == layer


@case
async def a_manifest_may_be_put_by_digest_without_a_tag(rig: Rig) -> None:
    manifest, blobs = make_image(b"alone")
    for content in blobs.values():
        await put_blob(rig.registry, "shop/web", content)
    for _ in range(2):
        await rig.registry.put_manifest("shop/web", manifest.digest, manifest)
    assert await rig.registry.resolve("shop/web", manifest.digest) == manifest.digest
    assert await rig.registry.tags("shop/web") == ()


@case
async def an_index_names_its_parts(rig: Rig) -> None:
    for index_type, image_type in ((OCI_INDEX, OCI_MANIFEST), (DOCKER_LIST, DOCKER_MANIFEST)):
        images = [await push(rig.registry, "shop/many", name, name.encode(), media_type=image_type) for name in "ab"]
        index = make_index(*images, media_type=index_type)
        await rig.registry.put_manifest("shop/many", "all", index)
        found = await rig.registry.get_manifest("shop/many", "all")
        assert found == index
        assert [part.digest for part in found.parts] == [image.digest for image in images]


@case
async def what_is_absent_is_said_plainly(rig: Rig) -> None:
    digest = digest_of(b"nothing")
    await push(rig.registry, "shop/web", "1", b"x")
    for repository in ("shop/web", "shop/none"):
        assert await rig.registry.resolve(repository, "2") is None
        assert await rig.registry.resolve(repository, digest) is None
        assert await rig.registry.blob_size(repository, digest) is None
        with pytest.raises(NotFound):
            await rig.registry.get_manifest(repository, "2")
        with pytest.raises(NotFound):
            await read(rig.registry, repository, digest)
    assert await rig.registry.tags("shop/none") == ()


@case
async def a_blob_is_read_from_an_offset(rig: Rig) -> None:
    content = os.urandom(2_500_000)
    digest = digest_of(content)
    await put_blob(rig.registry, "shop/web", content)
    assert await rig.registry.blob_size("shop/web", digest) == len(content)
    for offset in (0, 1, 1_500_000, len(content) - 1):
        assert await read(rig.registry, "shop/web", digest, offset) == content[offset:]


@case
async def an_upload_goes_on_after_a_restart(rig: Rig) -> None:
    content = os.urandom(2_000_000)
    upload = await rig.registry.begin_upload("shop/web", digest_of(content))
    assert (upload.offset_bytes, upload.complete) == (0, False)
    for start in (0, 500_000):
        upload = await rig.registry.append_upload(upload, content[start : start + 500_000])
    registry = rig.again()
    resumed = await registry.begin_upload("shop/web", digest_of(content), resume=upload)
    assert resumed.offset_bytes == 1_000_000
    resumed = await registry.append_upload(resumed, content[1_000_000:])
    await registry.finish_upload(resumed)
    assert await read(registry, "shop/web", digest_of(content)) == content


@case
async def an_upload_that_nobody_knows_begins_anew(rig: Rig) -> None:
    digest = digest_of(b"abc")
    known = await rig.registry.begin_upload("shop/web", digest)
    gone = Upload("shop/web", digest, known.location[:-4] + "0000", 1_000)
    begun = await rig.registry.begin_upload("shop/web", digest, resume=gone)
    assert (begun.offset_bytes, begun.complete) == (0, False)
    await rig.registry.finish_upload(await rig.registry.append_upload(begun, b"abc"))
    assert await rig.registry.blob_size("shop/web", digest) == 3


@case
async def bytes_that_arrived_unheard_are_not_sent_again(rig: Rig) -> None:
    content = os.urandom(1_500_000)
    upload = await rig.registry.begin_upload("shop/web", digest_of(content))
    upload = replace(await rig.registry.append_upload(upload, content[:500_000]), pending_bytes=500_000)
    await rig.registry.append_upload(upload, content[500_000:1_000_000])
    registry = rig.again()
    resumed = await registry.begin_upload("shop/web", digest_of(content), resume=upload)
    assert resumed.offset_bytes == 1_000_000
    await registry.finish_upload(await registry.append_upload(resumed, content[1_000_000:]))
    assert await read(registry, "shop/web", digest_of(content)) == content


@case
async def an_old_upload_takes_nothing_more(rig: Rig) -> None:
    content = os.urandom(1_000)
    begun = await rig.registry.begin_upload("shop/web", digest_of(content))
    first = await rig.registry.append_upload(begun, content[:500])
    second = await rig.registry.append_upload(first, content[500:])
    with pytest.raises((NotFound, Rejected)):
        await rig.registry.append_upload(first, content[500:])
    await rig.registry.finish_upload(second)
    assert await read(rig.registry, "shop/web", digest_of(content)) == content


@case
async def a_blob_with_another_digest_is_refused(rig: Rig) -> None:
    upload = await rig.registry.begin_upload("shop/web", digest_of(b"right"))
    upload = await rig.registry.append_upload(upload, b"wrong")
    with pytest.raises(Rejected):
        await rig.registry.finish_upload(upload)
    assert await rig.registry.blob_size("shop/web", digest_of(b"right")) is None
    assert await rig.registry.blob_size("shop/web", digest_of(b"wrong")) is None


@case
async def an_empty_blob_is_a_blob(rig: Rig) -> None:
    await put_blob(rig.registry, "shop/web", b"")
    assert await rig.registry.blob_size("shop/web", digest_of(b"")) == 0


@case
async def a_manifest_needs_its_blobs(rig: Rig) -> None:
    manifest, blobs = make_image(b"one", b"two")
    await put_blob(rig.registry, "shop/web", b"one")
    with pytest.raises(Rejected):
        await rig.registry.put_manifest("shop/web", "1", manifest)
    assert await rig.registry.resolve("shop/web", "1") is None
    for content in blobs.values():
        await put_blob(rig.registry, "shop/web", content)
    await rig.registry.put_manifest("shop/web", "1", manifest)


@case
async def a_blob_of_another_repository_is_mounted(rig: Rig) -> None:
    content = os.urandom(100_000)
    await put_blob(rig.registry, "base/os", content)
    upload = await rig.registry.begin_upload("shop/web", digest_of(content), mount_from="base/os")
    assert upload.complete
    assert await read(rig.registry, "shop/web", digest_of(content)) == content
    absent = await rig.registry.begin_upload("shop/web", digest_of(b"absent"), mount_from="base/os")
    assert not absent.complete
    await rig.registry.finish_upload(await rig.registry.append_upload(absent, b"absent"))
    assert await rig.registry.blob_size("shop/web", digest_of(b"absent")) == len(b"absent")


@case
async def a_tag_moves_and_the_digest_stays(rig: Rig) -> None:
    old = await push(rig.registry, "shop/web", "1", b"old")
    new = await push(rig.registry, "shop/web", "1", b"new")
    assert await rig.registry.resolve("shop/web", "1") == new.digest
    assert await rig.registry.get_manifest("shop/web", old.digest) == old


@case
async def everything_is_listed(rig: Rig) -> None:
    names = [f"p{number % 3}/r{number:02}" for number in range(12)]
    for name in names:
        await push(rig.registry, name, "1", b"x")
    await push(rig.registry, "p0/r00", "2", b"x")
    listed = [name async for name in rig.registry.repositories()]
    assert sorted(listed) == sorted(names)
    assert await rig.registry.tags("p0/r00") == ("1", "2")


@case
async def a_deleted_manifest_takes_its_tags_along(rig: Rig) -> None:
    gone = await push(rig.registry, "shop/web", "1", b"gone")
    await rig.registry.put_manifest("shop/web", "also", gone)
    kept = await push(rig.registry, "shop/web", "2", b"kept")
    for _ in range(2):
        await rig.registry.delete_manifest("shop/web", gone.digest)
    await rig.registry.delete_manifest("shop/none", gone.digest)
    assert await rig.registry.resolve("shop/web", gone.digest) is None
    assert await rig.registry.tags("shop/web") == ("2",)
    assert await rig.registry.get_manifest("shop/web", "2") == kept
