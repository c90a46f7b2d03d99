"""Collection never takes what somebody needs, and says why it keeps the rest."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dcp.images.collection.decide import CollectionView, decide_collection
from dcp.images.layers import compare, nearest_base, stands_on
from dcp.images.manifests import OCI_INDEX, OCI_MANIFEST, digest_of, read_manifest
from dcp.images.model import ImageConfiguration, Manifest
from dcp.images.replication.model import ImageCopy, ImageLimits, TagHead
from dcp.images.states import CopyState

NOW = 1_000_000.0
LIMITS = ImageLimits(keep_s=100.0, protected_tags=("latest", "v*"))


def image(*layers: str, size: int = 1000) -> Manifest:
    def describe(name: str, length: int) -> dict[str, object]:
        return {"mediaType": "application/x", "digest": digest_of(name.encode()), "size": length}

    config = describe("config of " + ",".join(layers), 10)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [describe(layer, size) for layer in layers],
    }
    return read_manifest(json.dumps(document).encode())


class Registry:
    """Images that were pushed long ago, at two sites."""

    def __init__(self) -> None:
        self.view = CollectionView(NOW, LIMITS, (), (), {}, {}, {}, {})

    def add(self, tag: str, manifest: Manifest, *, repository: str = "shop/web", age_s: float = 1e5) -> Manifest:
        pushed_at = NOW - age_s
        copies = tuple(
            ImageCopy(repository, tag, manifest.digest, site, CopyState.PRESENT, pushed_at, pushed_at, 500)
            for site in ("east", "west")
        )
        heads = tuple(head for head in self.view.heads if (head.repository, head.tag) != (repository, tag))
        head = (TagHead(repository, tag, manifest.digest, "east", pushed_at),) if tag else ()
        self.view = replace(
            self.view,
            copies=self.view.copies + copies,
            heads=heads + head,
            manifests={**self.view.manifests, manifest.digest: manifest},
        )
        return manifest

    def collected(self) -> set[str]:
        return {removal.digest for removal in decide_collection(self.view).removals}


def test_what_nobody_names_is_collected_everywhere() -> None:
    registry = Registry()
    old = registry.add("1", image("a", "old"))
    new = registry.add("1", image("a", "new"))
    registry.view = replace(registry.view, needed={("shop/web", new.digest): "shop/web"})
    decided = decide_collection(registry.view)
    (removal,) = decided.removals
    assert (removal.digest, removal.tags, removal.sites) == (old.digest, (), ("east", "west"))
    assert decided.kept == {"needed": 1}
    assert decided.freed_bytes == old.size_bytes + 10 + 1000, "the shared layer stays"


def test_a_service_that_names_a_tag_keeps_what_it_means() -> None:
    registry = Registry()
    registry.add("1", image("a"))
    registry.view = replace(registry.view, needed_tags={("shop/web", "1"): "shop/web"})
    assert registry.collected() == set()


def test_young_and_protected_images_stay() -> None:
    registry = Registry()
    registry.add("x", image("young"), age_s=50.0)
    registry.add("v1.2", image("protected"))
    registry.add("latest", image("latest"))
    gone = registry.add("other", image("other"))
    assert registry.collected() == {gone.digest}
    assert decide_collection(registry.view).removals[0].tags == ("other",)


def test_a_tagged_base_of_a_kept_image_stays_and_so_does_what_says_it_is_one() -> None:
    registry = Registry()
    base = registry.add("12", image("os"), repository="base/os")
    runtime = registry.add("3", image("other-os"), repository="base/runtime")
    app = registry.add("1", image("os", "app"))
    registry.view = replace(
        registry.view,
        needed={("shop/web", app.digest): "shop/web"},
        configurations={runtime.digest: ImageConfiguration(labels=(("dcp.layer", "runtime"),))},
    )
    assert registry.collected() == set()
    registry.view = replace(registry.view, needed={}, configurations={})
    assert registry.collected() == {base.digest, runtime.digest, app.digest}


def test_the_parts_of_a_kept_index_stay() -> None:
    registry = Registry()
    part = registry.add("", image("amd64"))
    lone = registry.add("", image("alone"))
    parts = [{"mediaType": OCI_MANIFEST, "digest": part.digest, "size": part.size_bytes}]
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": parts}).encode()
    registry.add("latest", read_manifest(body))
    assert registry.collected() == {lone.digest}


def test_the_same_digest_in_another_repository_is_another_image() -> None:
    registry = Registry()
    manifest = registry.add("1", image("a"))
    registry.add("1", manifest, repository="shop/copy")
    registry.view = replace(registry.view, needed={("shop/web", manifest.digest): "shop/web"})
    decided = decide_collection(registry.view)
    assert [removal.repository for removal in decided.removals] == ["shop/copy"]
    assert decided.freed_bytes == 0, "the other needs all of it"


@given(st.data())
def test_nothing_needed_young_or_protected_is_ever_collected(data: st.DataObject) -> None:
    registry = Registry()
    needed: dict[tuple[str, str], str] = {}
    needed_tags: dict[tuple[str, str], str] = {}
    safe: set[tuple[str, str]] = set()
    for number in range(data.draw(st.integers(0, 12))):
        repository = data.draw(st.sampled_from(["a/x", "a/y"]))
        tag = data.draw(st.sampled_from(["", "1", "2", "latest", "v3"]))
        age_s = data.draw(st.sampled_from([50.0, 1e4]))
        manifest = registry.add(tag, image("base", str(number)), repository=repository, age_s=age_s)
        if age_s == 50.0:
            safe.add((repository, manifest.digest))
        if data.draw(st.booleans()):
            needed[repository, manifest.digest] = "app/service"
    if data.draw(st.booleans()):
        needed_tags["a/x", "2"] = "app/other"
    registry.view = replace(registry.view, needed=needed, needed_tags=needed_tags)
    for head in registry.view.heads:
        if head.tag in ("latest", "v3") or (head.repository, head.tag) in needed_tags:
            safe.add((head.repository, head.digest))
    decided = decide_collection(registry.view)
    removed = {(removal.repository, removal.digest) for removal in decided.removals}
    every = {(copy.repository, copy.digest) for copy in registry.view.copies}
    assert not removed & (safe | set(needed))
    assert sum(decided.kept.values()) + len(removed) == len(every)
    assert decide_collection(registry.view) == decided


def test_what_a_rebuild_changes() -> None:
    old, new = image("os", "runtime", "app-1"), image("os", "runtime", "app-2")
    found = compare(old, new)
    assert [layer.digest for layer in found.new] == [digest_of(b"app-2")]
    assert [layer.digest for layer in found.gone] == [digest_of(b"app-1")]
    assert len(found.shared) == 2
    assert found.move_bytes == 1000 + 10 + new.size_bytes
    assert found.whole_bytes == 3000 + 10 + new.size_bytes
    assert compare(old, old).move_bytes == 0
    assert compare(None, new).move_bytes == found.whole_bytes


def test_an_image_stands_on_what_it_begins_with() -> None:
    base, middle, app = image("os"), image("os", "runtime"), image("os", "runtime", "app")
    assert stands_on(app, base) and stands_on(app, middle)
    assert not stands_on(base, app) and not stands_on(app, app) and not stands_on(app, image("runtime"))
    assert nearest_base(app, [base, middle, app]) == middle
    assert nearest_base(base, [middle, app]) is None
