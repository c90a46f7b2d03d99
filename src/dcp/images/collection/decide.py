"""Which images are collected, which are kept and why. Pure; the dry run shows this same value.

An image is one digest in one repository, with whatever tags name it: a registry deletes by digest and takes the tags
along. It is kept if any one reason holds; there is no order among them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dcp.images.builds import LAYER_LABEL, ImageLayer
from dcp.images.layers import single_bytes, stands_on
from dcp.images.model import ImageConfiguration, Manifest
from dcp.images.replication.model import ImageCopy, ImageLimits, TagHead
from dcp.images.states import CopyState

Content = tuple[str, str]
"""Repository and digest."""
_BASES = frozenset({ImageLayer.OS, ImageLayer.RUNTIME, ImageLayer.WEB})


@dataclass(frozen=True, slots=True)
class CollectionView:
    """Everything `decide_collection` looks at."""

    now: float
    limits: ImageLimits
    copies: tuple[ImageCopy, ...]
    heads: tuple[TagHead, ...]
    needed: Mapping[Content, str]
    """Digests that a service names, now or in a revision that people may go back to, and which."""
    needed_tags: Mapping[Content, str]
    """(repository, tag) that a service names without a digest, and which."""
    manifests: Mapping[str, Manifest]
    configurations: Mapping[str, ImageConfiguration]


@dataclass(frozen=True, slots=True)
class Removal:
    """One image that leaves every registry."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    """Tags that name it now; they go with it."""
    sites: tuple[str, ...]
    pushed_at: float
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """What is collected, and of the rest how many images are kept for which reason."""

    removals: tuple[Removal, ...]
    kept: Mapping[str, int]
    freed_bytes: int
    """At each site: what no kept image names. A registry frees it when it collects its own blobs."""


def decide_collection(view: CollectionView) -> Collection:
    """Return what nobody needs."""
    rows: dict[Content, list[ImageCopy]] = {}
    for copy in view.copies:
        rows.setdefault((copy.repository, copy.digest), []).append(copy)
    tags: dict[Content, list[TagHead]] = {}
    for head in view.heads:
        tags.setdefault((head.repository, head.digest), []).append(head)
    kept = {content: why for content in rows if (why := _reason(content, rows[content], tags.get(content, []), view))}
    _keep_bases(kept, rows, tags, view)
    _keep_parts(kept, rows, view)
    gone = [content for content in sorted(rows) if content not in kept]
    removals = [_removal(content, rows[content], tags.get(content, [])) for content in gone]
    freed = single_bytes(_known(view, (digest for _, digest in kept)), _known(view, (digest for _, digest in gone)))
    counts: dict[str, int] = {}
    for why in kept.values():
        counts[why] = counts.get(why, 0) + 1
    return Collection(tuple(removals), counts, sum(freed.values()))


def _reason(content: Content, rows: list[ImageCopy], heads: list[TagHead], view: CollectionView) -> str:
    """Return why an image is kept for its own sake; empty if it is not."""
    repository, digest = content
    if content in view.needed or any((repository, head.tag) in view.needed_tags for head in heads):
        return "needed"
    if max(row.pushed_at for row in rows) > view.now - view.limits.keep_s:
        return "young"
    if any(fnmatchcase(head.tag, pattern) for head in heads for pattern in view.limits.protected_tags):
        return "protected"
    configuration = view.configurations.get(digest)
    if heads and configuration and configuration.label(LAYER_LABEL) in _BASES:
        return "base"
    if heads and any(row.state == CopyState.COPYING for row in rows):
        return "on-its-way"
    return ""


def _keep_bases(
    kept: dict[Content, str],
    rows: Mapping[Content, list[ImageCopy]],
    tags: Mapping[Content, list[TagHead]],
    view: CollectionView,
) -> None:
    """Keep what a tag names and a kept image stands on: the next build begins with it."""
    above = [view.manifests[digest] for _, digest in kept if digest in view.manifests]
    for content in rows:
        base = view.manifests.get(content[1])
        if content in kept or base is None or content not in tags:
            continue
        if any(stands_on(image, base) for image in above):
            kept[content] = "base"


def _keep_parts(kept: dict[Content, str], rows: Mapping[Content, list[ImageCopy]], view: CollectionView) -> None:
    """Keep the parts of indexes that are kept."""
    for repository, digest in list(kept):
        manifest = view.manifests.get(digest)
        for part in manifest.parts if manifest else ():
            content = (repository, part.digest)
            if content in rows:
                kept.setdefault(content, "part")


def _removal(content: Content, rows: list[ImageCopy], heads: list[TagHead]) -> Removal:
    return Removal(
        repository=content[0],
        digest=content[1],
        tags=tuple(sorted(head.tag for head in heads)),
        sites=tuple(sorted({row.site for row in rows})),
        pushed_at=max(row.pushed_at for row in rows),
        size_bytes=max(row.size_bytes for row in rows),
        reason="no service or kept revision names it" + ("" if heads else ", and its tag names another image"),
    )


def _known(view: CollectionView, digests: Iterable[str]) -> list[Manifest]:
    found = {digest: view.manifests[digest] for digest in digests if digest in view.manifests}
    parts = {part.digest for manifest in found.values() for part in manifest.parts}
    return list((found | {digest: view.manifests[digest] for digest in parts if digest in view.manifests}).values())
