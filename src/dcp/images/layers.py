"""What images share: layers in common, bases, and the bytes that a change moves. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dcp.images.model import Layer, Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """From an old image to a new one, in compressed bytes as they cross a line."""

    shared: tuple[Layer, ...]
    new: tuple[Layer, ...]
    gone: tuple[Layer, ...]
    move_bytes: int
    """What a host that has the old image fetches for the new one: new layers, configuration, manifest."""
    whole_bytes: int
    """What a host that has neither fetches."""


def compare(old: Manifest | None, new: Manifest) -> Difference:
    """Return what a rebuild changes; `old` None: there was no image before."""
    before = {layer.digest: layer for layer in old.layers} if old else {}
    after = {layer.digest: layer for layer in new.layers}
    fresh = tuple(layer for digest, layer in after.items() if digest not in before)
    known = {blob.digest for blob in old.blobs} if old else set()
    rest = new.config.size_bytes if new.config and new.config.digest not in known else 0
    changed = old is None or old.digest != new.digest
    return Difference(
        shared=tuple(layer for digest, layer in after.items() if digest in before),
        new=fresh,
        gone=tuple(layer for digest, layer in before.items() if digest not in after),
        move_bytes=sum(layer.size_bytes for layer in fresh) + rest + (new.size_bytes if changed else 0),
        whole_bytes=new.content_bytes,
    )


def stands_on(image: Manifest, base: Manifest) -> bool:
    """Return whether an image begins with every layer of `base` and has more."""
    mine, its = [layer.digest for layer in image.layers], [layer.digest for layer in base.layers]
    return 0 < len(its) < len(mine) and mine[: len(its)] == its


def nearest_base(image: Manifest, others: Iterable[Manifest]) -> Manifest | None:
    """Return the image with the most layers that `image` stands on."""
    bases = [other for other in others if stands_on(image, other)]
    return max(bases, key=lambda base: (len(base.layers), base.digest), default=None)


def single_bytes(kept: Iterable[Manifest], removed: Iterable[Manifest]) -> Mapping[str, int]:
    """Return the blobs, by digest with their bytes, that only removed images name: what collecting frees."""
    stay = {manifest.digest: manifest for manifest in kept}
    needed = {blob.digest for manifest in stay.values() for blob in manifest.blobs}
    gone = [manifest for manifest in removed if manifest.digest not in stay]
    freed = {blob.digest: blob.size_bytes for manifest in gone for blob in manifest.blobs if blob.digest not in needed}
    return freed | {manifest.digest: manifest.size_bytes for manifest in gone}
