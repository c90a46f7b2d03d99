"""Cases of pushes, tags, copies of images, uploads, manifests and builds."""

import json
from dataclasses import replace

import pytest
from stores import Rig, case

from dcp.images.access.model import PULL, PUSH, ImagePush
from dcp.images.builds import BuildRecord
from dcp.images.manifests import OCI_MANIFEST, digest_of, read_manifest
from dcp.images.model import ImageConfiguration, Manifest
from dcp.images.ports import Upload
from dcp.images.replication.model import ImageCopy, Push, TagHead
from dcp.images.states import CopyState
from dcp.kernel.errors import Stale
from dcp.kernel.states import IllegalTransition
from dcp.store import image_content, images, pushes

OLD, NEW = digest_of(b"old"), digest_of(b"new")
COPY = ImageCopy("shop/web", "1", OLD, "east", CopyState.WANTED, 10.25, 11.5, 1 << 40, reason="pushed")
EVERY = tuple(CopyState)


def manifest(*layers: bytes) -> Manifest:
    def describe(content: bytes) -> dict[str, object]:
        return {"mediaType": "application/x", "digest": digest_of(content), "size": len(content)}

    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": describe(b"{}")}
    return read_manifest(json.dumps(body | {"layers": [describe(layer) for layer in layers]}).encode())


@case
async def copies_come_back_as_they_went_and_change_by_version_and_table(rig: Rig) -> None:
    first = await rig.database.write(lambda c: images.put_copy(c, None, COPY))
    assert first == replace(COPY, version=1)
    assert await rig.database.read(lambda c: images.find_copy(c, COPY.key)) == first
    after = replace(first, state=CopyState.COPYING, attempts=2, not_before=99.5)
    second = await rig.database.write(lambda c: images.put_copy(c, first, after))
    assert second == replace(after, version=2)
    with pytest.raises(Stale):
        await rig.database.write(lambda c: images.put_copy(c, first, after))
    with pytest.raises(Stale):
        await rig.database.write(lambda c: images.put_copy(c, None, COPY))
    with pytest.raises(Stale):
        await rig.database.write(lambda c: images.drop_copy(c, first))
    ended = await rig.database.write(lambda c: images.put_copy(c, second, replace(second, state=CopyState.PRESENT)))
    with pytest.raises(IllegalTransition):
        await rig.database.write(lambda c: images.put_copy(c, ended, replace(ended, state=CopyState.COPYING)))
    await rig.database.write(lambda c: images.note_progress(c, COPY.key, 100, 50, 1 << 41))
    noted = await rig.database.read(lambda c: images.find_copy(c, COPY.key))
    assert noted == replace(ended, size_bytes=100, there_bytes=50, moved_bytes=1 << 41)
    await rig.database.write(lambda c: images.drop_copy(c, ended))
    assert await rig.database.read(images.copies) == ()


@case
async def copies_are_found_by_what_is_asked(rig: Rig) -> None:
    others = (
        replace(COPY, site="west", state=CopyState.PRESENT),
        replace(COPY, tag="", digest=NEW),
        replace(COPY, repository="base/os", site="west", state=CopyState.PRESENT),
    )
    await rig.database.write(lambda c: [images.put_copy(c, None, one) for one in (COPY, *others)])
    read = rig.database.read
    assert len(await read(images.copies)) == 4
    assert len(await read(lambda c: images.copies(c, "shop/web"))) == 3
    assert [copy.site for copy in await read(lambda c: images.copies(c, "shop/web", "1"))] == ["east", "west"]
    assert [copy.digest for copy in await read(lambda c: images.copies(c, "shop/web", ""))] == [NEW]
    due = await read(lambda c: images.lacking(c, 100.0, ("east", "west"), 10))
    assert {copy.digest for copy in due} == {OLD, NEW}
    assert await read(lambda c: images.lacking(c, 100.0, ("west",), 10)) == ()
    assert len(await read(lambda c: images.lacking(c, 100.0, ("east", "west"), 1))) == 1
    held = await read(lambda c: images.holders(c, [("shop/web", OLD), ("shop/web", NEW)]))
    assert held == {("shop/web", OLD): frozenset({"west"})}
    assert await read(lambda c: images.has_digest(c, NEW))
    assert not await read(lambda c: images.has_digest(c, digest_of(b"other")))
    assert await rig.database.write(lambda c: images.drop_sites(c, ["west"])) == 2
    assert {copy.site for copy in await read(images.copies)} == {"west"}


@case
async def a_copy_that_rests_is_not_lacking_yet(rig: Rig) -> None:
    resting = replace(COPY, state=CopyState.FAILED, not_before=50.0)
    await rig.database.write(lambda c: images.put_copy(c, None, resting))
    assert await rig.database.read(lambda c: images.lacking(c, 49.0, ("east",), 10)) == ()
    assert len(await rig.database.read(lambda c: images.lacking(c, 50.0, ("east",), 10))) == 1


@case
async def a_tag_means_its_last_push_and_moves_by_version(rig: Rig) -> None:
    head = TagHead("shop/web", "1", OLD, "east", 10.5, "ann")
    await rig.database.write(lambda c: images.put_head(c, head))
    found = await rig.database.read(lambda c: images.head(c, "shop/web", "1"))
    assert found == replace(head, version=1)
    after = replace(found, digest=NEW, acknowledged_at=12.25)
    await rig.database.write(lambda c: images.put_head(c, after))
    with pytest.raises(Stale):
        await rig.database.write(lambda c: images.put_head(c, after))
    assert await rig.database.read(images.heads) == (replace(after, version=2),)
    assert await rig.database.read(lambda c: images.heads(c, "base/os")) == ()
    await rig.database.write(lambda c: images.drop_head(c, after))
    assert await rig.database.read(lambda c: images.head(c, "shop/web", "1")) is None


@case
async def pushes_are_heard_once_and_what_is_no_push_is_passed_over(rig: Rig) -> None:
    told = (
        ImagePush("1", "east", "shop/web", PUSH, 1.5, "1", OLD, "ann"),
        ImagePush("2", "east", "shop/web", PULL, 2.5, "1", OLD, "bob"),
        ImagePush("3", "west", "shop/web", PUSH, 3.5, "1", OLD, "robot.copy"),
        ImagePush("4", "west", "shop/web", PUSH, 3.5, "1", OLD, "dcp.replication"),
        ImagePush("5", "west", "shop/web", PUSH, 4.5, "2", NEW, "eve"),
    )
    await rig.database.write(lambda c: pushes.add(c, told))
    assert await rig.database.read(images.anything_unheard)
    own = frozenset({"robot.copy"})
    new, last = await rig.database.read(lambda c: images.unheard_pushes(c, 100, own))
    assert [(push.pushed_by, push.digest) for push in new] == [("ann", OLD), ("eve", NEW)]
    await rig.database.write(lambda c: images.heard(c, last))
    assert not await rig.database.read(images.anything_unheard)
    found = Push("east", "shop/web", "3", NEW, 9.5, found_by="comparison")
    for _ in range(2):
        await rig.database.write(lambda c: images.record_push(c, found))
    new, _ = await rig.database.read(lambda c: images.unheard_pushes(c, 100, own))
    assert [replace(push, seq=0) for push in new] == [found]
    history = await rig.database.read(lambda c: images.pushes_of(c, "shop/web", 10, own))
    assert [push.tag for push in history] == ["3", "2", "1"]
    origins = await rig.database.read(lambda c: images.origins(c, [("shop/web", NEW), ("shop/other", OLD)]))
    assert origins == {("shop/web", NEW): "east"}


@case
async def an_upload_is_where_it_was_written_down(rig: Rig) -> None:
    at = Upload("shop/web", OLD, "http://x/y?_state=" + "z" * 500, 1 << 33, pending_bytes=1 << 20)
    await rig.database.write(lambda c: image_content.put_upload(c, "east", at, 1.0))
    later = replace(at, offset_bytes=1 << 34)
    await rig.database.write(lambda c: image_content.put_upload(c, "east", later, 2.0))
    assert await rig.database.read(lambda c: image_content.upload(c, "east", "shop/web", OLD)) == later
    assert await rig.database.read(lambda c: image_content.upload(c, "west", "shop/web", OLD)) is None
    await rig.database.write(lambda c: image_content.drop_upload(c, "east", "shop/web", OLD))
    assert await rig.database.read(lambda c: image_content.upload(c, "east", "shop/web", OLD)) is None


@case
async def a_manifest_is_kept_with_what_its_configuration_says(rig: Rig) -> None:
    app, other = manifest(b"base", b"app"), manifest(b"other")
    configuration = ImageConfiguration("linux/amd64", "2026-01-01T00:00:00Z", (("dcp.layer", "os"), ("ü", "\0'")))
    for _ in range(2):
        await rig.database.write(lambda c: image_content.put_manifest(c, app, configuration, 1.0))
    await rig.database.write(lambda c: image_content.put_manifest(c, other, None, 1.0))
    known = await rig.database.read(lambda c: image_content.manifests(c, [app.digest, OLD]))
    assert {digest: (one.manifest, one.configuration) for digest, one in known.items()} == {
        app.digest: (app, configuration)
    }
    assert set(await rig.database.read(image_content.manifests)) == {app.digest, other.digest}
    assert await rig.database.read(image_content.layer_labels) == {app.digest: "os"}
    here = replace(COPY, digest=app.digest, state=CopyState.PRESENT)
    await rig.database.write(lambda c: images.put_copy(c, None, here))
    base = digest_of(b"base")
    assert await rig.database.read(lambda c: image_content.holding(c, "east", base)) == "shop/web"
    assert await rig.database.read(lambda c: image_content.holding(c, "west", base)) == ""
    await rig.database.write(lambda c: image_content.forget_manifests(c, [app.digest]))
    assert set(await rig.database.read(image_content.manifests)) == {other.digest}


@case
async def builds_are_kept_once_newest_first(rig: Rig) -> None:
    first = BuildRecord("build-1", "shop/web", "1", OLD, 10.5, "ann", "/src", "base/os:12", 3.25, 100, 10)
    second = replace(first, id="build-2", built_at=11.5, digest=NEW)
    assert await rig.database.write(lambda c: image_content.add_build(c, first, "words\nü"))
    assert await rig.database.write(lambda c: image_content.add_build(c, second, ""))
    assert not await rig.database.write(lambda c: image_content.add_build(c, first, "others"))
    assert await rig.database.read(lambda c: image_content.builds_of(c, "shop/web", 10)) == (second, first)
    assert await rig.database.read(lambda c: image_content.builds_of(c, "shop/web", 1)) == (second,)
    assert await rig.database.read(lambda c: image_content.build_log(c, "build-1")) == "words\nü"
    assert await rig.database.read(lambda c: image_content.build_log(c, "build-3")) is None


@case
async def thousands_are_asked_for_at_once(rig: Rig) -> None:
    many = [("shop/web", digest_of(str(number).encode())) for number in range(40_000)]
    await rig.database.write(lambda c: images.put_copy(c, None, replace(COPY, state=CopyState.PRESENT)))
    wanted = [*many, ("shop/web", OLD)]
    assert await rig.database.read(lambda c: images.holders(c, wanted)) == {("shop/web", OLD): frozenset({"east"})}
    assert await rig.database.read(lambda c: images.origins(c, wanted)) == {}
    assert await rig.database.read(lambda c: image_content.manifests(c, [digest for _, digest in wanted])) == {}
