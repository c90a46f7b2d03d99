"""Pushes, what a tag means, and which site has which image."""

from dataclasses import dataclass

from dcp.images.states import CopyState

COPIER = "dcp.replication"
"""Who copies between sites: dcp's own account. What registries tell of its pushes is not news."""
COPIER_AGENT = "dcp/"
"""Where a registry knows no accounts, dcp is told by its user agent, which begins so."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How fast images are copied, how often sites are compared, and what is kept."""

    rate_bytes_per_s: float | None = None
    """Of each line, from one site to another; None: no bound."""
    parallel_copies: int = 4
    """To one site at once."""
    compare_s: float = 600.0
    """Between two full comparisons of every site."""
    keep_s: float = 7 * 86400.0
    """What was pushed within this time is never collected."""
    keep_revisions: int = 10
    """Of each application, so many revisions back their images are kept, so that people can go back to them."""
    protected_tags: tuple[str, ...] = ("latest",)
    """What these tags (patterns with *) mean is never collected."""
    deletes_per_s: float = 5.0
    """At each site."""


@dataclass(frozen=True, slots=True)
class Push:
    """Somebody gave a tag (or, without a tag, a digest) to the registry of a site. Never changed afterwards."""

    site: str
    repository: str
    tag: str
    digest: str
    pushed_at: float
    pushed_by: str = ""
    found_by: str = "event"
    """`event`: the registry said so; `comparison`: its catalogue showed what no event had told."""
    seq: int = 0

    @property
    def order(self) -> tuple[float, str, int]:
        """Of two pushes of a tag the one with the larger order wins; the site decides between equal times."""
        return self.pushed_at, self.site, self.seq


@dataclass(frozen=True, slots=True)
class TagHead:
    """What a tag means everywhere: the digest of its last push."""

    repository: str
    tag: str
    digest: str
    site: str
    pushed_at: float
    pushed_by: str = ""
    acknowledged_at: float | None = None
    """When all masters had it whole, tag included."""
    version: int = 0


CopyKey = tuple[str, str, str, str]
"""Repository, tag, digest, site."""


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """One image that one site shall have. A tag's older digests keep their copies until they are collected."""

    repository: str
    tag: str
    digest: str
    site: str
    state: CopyState
    pushed_at: float
    since: float
    """When it entered its state; for `wanted`, since when the site lags."""
    size_bytes: int = 0
    """All of it, as somebody without any of it has to fetch; 0 until somebody looked."""
    moved_bytes: int = 0
    """What crossed the line for this copy, all attempts together."""
    there_bytes: int = 0
    """What the site has of it now."""
    reason: str = ""
    attempts: int = 0
    not_before: float = 0.0
    version: int = 0

    @property
    def key(self) -> CopyKey:
        return self.repository, self.tag, self.digest, self.site

    @property
    def subject(self) -> str:
        tag = f":{self.tag}" if self.tag else f"@{self.digest}"
        return f"image/{self.repository}{tag}"

    @property
    def missing_bytes(self) -> int:
        """Bytes that still have to come; 0 where it is present."""
        return 0 if self.state == CopyState.PRESENT else max(0, self.size_bytes - self.there_bytes)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a full look at one site showed: the tags of every repository, and which digests it has."""

    site: str
    looked_at: float
    """When the look began."""
    tags: tuple[tuple[str, str, str], ...]
    """(repository, tag, digest), all there are."""
    digests: frozenset[tuple[str, str]]
    """(repository, digest) that were asked for and are there."""
    asked: frozenset[tuple[str, str]]
    """(repository, digest) that were asked for."""
