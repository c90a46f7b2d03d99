"""What goes over the wire about images."""

from typing import Annotated, Self

from pydantic import Field

from dcp.api.shapes import Shape
from dcp.engine.images.queries import ImageDifference, ImageHistory, ImageSummary
from dcp.images.builds import BuildRecord
from dcp.images.collection.decide import Collection
from dcp.images.model import Layer
from dcp.images.replication.model import Push
from dcp.images.states import CopyState

LOG_LIMIT = 4 << 20
Text = Annotated[str, Field(max_length=1000)]


class SiteCopyShape(Shape):
    """One site's copy of an image."""

    site: str
    state: CopyState
    since: float
    lag_s: float
    lag_bytes: int
    reason: str


class ImageShape(Shape):
    """What a tag means now, and where it is. `acknowledged_at`: since when every master has it."""

    repository: str
    tag: str
    digest: str
    size_bytes: int
    layer: str
    pushed_at: float
    pushed_by: str
    pushed_to: str
    acknowledged_at: float | None
    sites: list[SiteCopyShape]
    lag_s: float
    lag_bytes: int
    used_by: list[str]

    @classmethod
    def of(cls, one: ImageSummary) -> Self:
        return cls(
            repository=one.repository,
            tag=one.tag,
            digest=one.digest,
            size_bytes=one.size_bytes,
            layer=one.layer,
            pushed_at=one.pushed_at,
            pushed_by=one.pushed_by,
            pushed_to=one.pushed_to,
            acknowledged_at=one.acknowledged_at,
            sites=[SiteCopyShape(**{name: getattr(copy, name) for name in copy.__slots__}) for copy in one.copies],
            lag_s=one.lag_s,
            lag_bytes=one.lag_bytes,
            used_by=list(one.used_by),
        )


class ImageList(Shape):
    """Every tag of every repository, and what was pushed without one."""

    registry: str
    images: list[ImageShape]


class ImagePushShape(Shape):
    """Somebody pushed."""

    seq: int
    pushed_at: float
    site: str
    tag: str
    digest: str
    pushed_by: str
    found_by: str

    @classmethod
    def of(cls, push: Push) -> Self:
        return cls(
            seq=push.seq,
            pushed_at=push.pushed_at,
            site=push.site,
            tag=push.tag,
            digest=push.digest,
            pushed_by=push.pushed_by,
            found_by=push.found_by,
        )


class BuildShape(Shape):
    """One build. Told by whoever built it, after it was pushed."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{8,64}$")]
    repository: Text
    tag: Text
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    built_at: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    built_by: Text
    source: Text
    base: Text = ""
    duration_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    size_bytes: Annotated[int, Field(ge=0, lt=1 << 62)] = 0
    new_bytes: Annotated[int, Field(ge=0, lt=1 << 62)] = 0

    @classmethod
    def of(cls, record: BuildRecord) -> Self:
        return cls(**{name: getattr(record, name) for name in record.__slots__})

    def record(self) -> BuildRecord:
        """Return it as the store keeps it."""
        return BuildRecord(**{name: getattr(self, name) for name in BuildRecord.__slots__})


class BuildBody(Shape):
    """A build and what the builder wrote."""

    build: BuildShape
    log: Annotated[str, Field(max_length=LOG_LIMIT)] = ""


class BuildLogShape(Shape):
    """What the builder wrote."""

    id: str
    log: str


class ImageHistoryShape(Shape):
    """Pushes and builds of a repository, newest first."""

    repository: str
    pushes: list[ImagePushShape]
    builds: list[BuildShape]

    @classmethod
    def of(cls, repository: str, found: ImageHistory) -> Self:
        return cls(
            repository=repository,
            pushes=[ImagePushShape.of(push) for push in found.pushes],
            builds=[BuildShape.of(build) for build in found.builds],
        )


class LayerShape(Shape):
    """One layer, in bytes as they cross a line."""

    digest: str
    size_bytes: int

    @classmethod
    def of(cls, layer: Layer) -> Self:
        return cls(digest=layer.digest, size_bytes=layer.size_bytes)


class ImageDifferenceShape(Shape):
    """What a change moves. `move_bytes`: to a host that has the old image; `whole_bytes`: to one that has neither."""

    old: str
    new: str
    shared: list[LayerShape]
    added: list[LayerShape]
    gone: list[LayerShape]
    move_bytes: int
    whole_bytes: int
    base: str
    standing_on_old: list[str]

    @classmethod
    def of(cls, found: ImageDifference) -> Self:
        inner = found.difference
        return cls(
            old=found.old,
            new=found.new,
            shared=[LayerShape.of(layer) for layer in inner.shared],
            added=[LayerShape.of(layer) for layer in inner.new],
            gone=[LayerShape.of(layer) for layer in inner.gone],
            move_bytes=inner.move_bytes,
            whole_bytes=inner.whole_bytes,
            base=found.base,
            standing_on_old=list(found.standing_on_old),
        )


class CollectBody(Shape):
    """Whether anything is changed."""

    dry_run: bool = False


class RemovalShape(Shape):
    """One image that leaves every registry, with the tags that name it."""

    repository: str
    digest: str
    tags: list[str]
    sites: list[str]
    pushed_at: float
    size_bytes: int
    reason: str


class CollectionShape(Shape):
    """What is collected. `kept`: how many images are kept, by reason; `freed_bytes`: at each site."""

    dry_run: bool
    removals: list[RemovalShape]
    kept: dict[str, int]
    freed_bytes: int

    @classmethod
    def of(cls, found: Collection, *, dry_run: bool) -> Self:
        removals = [
            RemovalShape(
                repository=one.repository,
                digest=one.digest,
                tags=list(one.tags),
                sites=list(one.sites),
                pushed_at=one.pushed_at,
                size_bytes=one.size_bytes,
                reason=one.reason,
            )
            for one in found.removals
        ]
        return cls(dry_run=dry_run, removals=removals, kept=dict(found.kept), freed_bytes=found.freed_bytes)
