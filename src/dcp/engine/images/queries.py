"""What people ask about images: which there are and where, their history, and what a change moves."""

from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.images.needs import images_of
from dcp.engine.images.sites import ImageSites
from dcp.images.builds import BuildRecord
from dcp.images.layers import Difference, compare, nearest_base, stands_on
from dcp.images.model import ImageRef, Manifest, is_digest
from dcp.images.replication.model import ImageCopy, Push, TagHead
from dcp.images.states import CopyState
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.store import applications, image_content, images

HISTORY_LIMIT = 200


@dataclass(frozen=True, slots=True)
class SiteCopy:
    """One site's copy, and how far it lags."""

    site: str
    state: CopyState
    since: float
    lag_s: float
    lag_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """One image at a glance. `lag_s` and `lag_bytes` are those of the site that is furthest behind."""

    repository: str
    tag: str
    digest: str
    size_bytes: int
    layer: str
    pushed_at: float
    pushed_by: str
    pushed_to: str
    acknowledged_at: float | None
    copies: tuple[SiteCopy, ...]
    lag_s: float
    lag_bytes: int
    used_by: tuple[str, ...]


def list_images(connection: Connection, sites: ImageSites, now: float, repository: str = "") -> list[ImageSummary]:
    """Return what every tag means, and every digest that was pushed without one."""
    rows: dict[tuple[str, str, str], list[ImageCopy]] = {}
    for copy in images.copies(connection, repository or None):
        if copy.state != CopyState.REMOVING:
            rows.setdefault(copy.key[:3], []).append(copy)
    heads = {(head.repository, head.tag): head for head in images.heads(connection, repository)}
    layers = image_content.layer_labels(connection)
    users = _users(connection, sites, heads)
    found = []
    for (name, tag, digest), copies in rows.items():
        head = heads.get((name, tag))
        if tag and (head is None or head.digest != digest):
            continue  # an earlier meaning of the tag: see the history
        found.append(_summary(copies, head, layers.get(digest, ""), users.get((name, digest), ()), now))
    return found


@dataclass(frozen=True, slots=True)
class ImageHistory:
    """Pushes and builds of a repository, newest first."""

    pushes: tuple[Push, ...]
    builds: tuple[BuildRecord, ...]


def history(connection: Connection, sites: ImageSites, repository: str) -> ImageHistory:
    """Return what happened to a repository. Raises NotFound."""
    pushes = images.pushes_of(connection, repository, HISTORY_LIMIT, sites.accounts)
    builds = image_content.builds_of(connection, repository, HISTORY_LIMIT)
    if not pushes and not builds and not images.copies(connection, repository):
        raise NotFound(f"nothing was ever pushed to {repository}", hint="see `dcp images`")
    return ImageHistory(pushes, builds)


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """What a change from one image to another moves, and who stands on them."""

    old: str
    new: str
    difference: Difference
    base: str
    """The nearest known image that the new one stands on."""
    standing_on_old: tuple[str, ...]
    """Images that were built on the old one: a rebuild gives them the new base."""


def difference(connection: Connection, sites: ImageSites, old: str, new: str) -> ImageDifference:
    """Compare two images. Raises NotFound, or InvalidInput for names that cannot be read."""
    before, after = _find(connection, sites, "old", old), _find(connection, sites, "new", new)
    heads = images.heads(connection)
    known = image_content.manifests(connection, {head.digest for head in heads})
    named = {f"{head.repository}:{head.tag}": known[head.digest].manifest for head in heads if head.digest in known}
    base = nearest_base(after, [one for one in named.values() if one.digest != before.digest])
    standing = tuple(name for name, image in named.items() if stands_on(image, before) and image.digest != after.digest)
    base_name = next((name for name, image in named.items() if base and image.digest == base.digest), "")
    return ImageDifference(old, new, compare(before, after), base_name, standing)


def _find(connection: Connection, sites: ImageSites, which: str, text: str) -> Manifest:
    try:
        ref = ImageRef.parse(text)
    except ValueError as error:
        raise InvalidInput((Problem(which, str(error), "such as shop/web:1"),)) from error
    if ref.registry not in ("", sites.name):
        raise NotFound(f"{text} is of another registry", hint=f"dcp knows the images of {sites.name}")
    digest = ref.reference
    if not is_digest(digest):
        head = images.head(connection, ref.repository, digest)
        digest = head.digest if head else ""
    known = image_content.manifests(connection, [digest]).get(digest)
    if known is None:
        raise NotFound(f"no site has {text}", hint="see `dcp images`")
    return known.manifest


def _summary(
    copies: list[ImageCopy], head: TagHead | None, layer: str, used_by: tuple[str, ...], now: float
) -> ImageSummary:
    first = copies[0]
    at = tuple(_site_copy(copy, now) for copy in sorted(copies, key=lambda one: one.site))
    return ImageSummary(
        repository=first.repository,
        tag=first.tag,
        digest=first.digest,
        size_bytes=max(copy.size_bytes for copy in copies),
        layer=layer,
        pushed_at=head.pushed_at if head else first.pushed_at,
        pushed_by=head.pushed_by if head else "",
        pushed_to=head.site if head else "",
        acknowledged_at=head.acknowledged_at if head else None,
        copies=at,
        lag_s=max((one.lag_s for one in at), default=0.0),
        lag_bytes=max((one.lag_bytes for one in at), default=0),
        used_by=used_by,
    )


def _site_copy(copy: ImageCopy, now: float) -> SiteCopy:
    lags = copy.state != CopyState.PRESENT
    lag_s = max(0.0, now - copy.since) if lags else 0.0
    return SiteCopy(copy.site, copy.state, copy.since, lag_s, copy.missing_bytes, copy.reason)


def _users(
    connection: Connection, sites: ImageSites, heads: dict[tuple[str, str], TagHead]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the services whose current revision names each (repository, digest)."""
    found: dict[tuple[str, str], set[str]] = {}
    for application, _, spec in applications.recent_specs(connection, 0):
        for service, ref in images_of(spec, sites):
            head = heads.get((ref.repository, ref.reference))
            digest = ref.digest or (head.digest if head else "")
            found.setdefault((ref.repository, digest), set()).add(f"{application}/{service}")
    return {content: tuple(sorted(services)) for content, services in found.items()}
