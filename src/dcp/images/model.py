"""Words of layer 1: what an image is called, what it is made of, and the sites whose registries hold copies.

A name is read the way container engines read it, so that the same text means the same image to dcp and to a host:
what stands before the first `/` is a registry only if it holds a `.` or a `:` or is `localhost`.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

DEFAULT_TAG = "latest"
NAME_LIMIT = 255
"""Longest repository that registries accept."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")


def is_digest(text: str) -> bool:
    """Return whether `text` is a SHA-256 digest as registries write it."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether a registry accepts `text` as a tag."""
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Return whether a registry accepts `text` as the name of a repository (without the registry)."""
    return len(text) <= NAME_LIMIT and _REPOSITORY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ImageRef:
    """`[registry/]repository[:tag][@sha256:…]`. `registry` is empty where the text named none."""

    repository: str
    tag: str = ""
    digest: str = ""
    registry: str = ""

    @staticmethod
    def parse(text: str) -> "ImageRef":
        """Return the image that `text` names. Raises ValueError with words for the user."""
        rest, has_digest, digest = text.partition("@")
        if has_digest and not is_digest(digest):
            raise ValueError(f"{text!r}: what follows @ is not a digest: sha256: and 64 hexadecimal digits")
        registry, rest = _split_registry(rest)
        head, has_tag, tag = rest.rpartition(":")
        repository, tag = (head, tag) if has_tag and "/" not in tag else (rest, "")
        if has_tag and head == repository and not is_tag(tag):
            raise ValueError(f"{text!r}: {tag!r} is not a tag: letters, digits, _ . - and at most 128 of them")
        if registry and not _REGISTRY.fullmatch(registry):
            raise ValueError(f"{text!r}: {registry!r} is not the name of a registry such as registry.example.com:5000")
        if not is_repository(repository):
            words = f"lower-case letters and digits, between them . _ - and /, at most {NAME_LIMIT} characters"
            raise ValueError(f"{text!r}: {repository!r} is not the name of a repository: {words}")
        return ImageRef(repository, tag, digest, registry)

    def __str__(self) -> str:
        registry = f"{self.registry}/" if self.registry else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{registry}{self.repository}{tag}{digest}"

    @property
    def pinned(self) -> bool:
        """Whether it names content, which never changes."""
        return bool(self.digest)

    @property
    def reference(self) -> str:
        """What to ask a registry for: the digest if there is one, else the tag, `latest` where none was given."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def project(self) -> str:
        """The first component of the repository; empty if it has only one."""
        head, slash, _ = self.repository.partition("/")
        return head if slash else ""

    def pin(self, digest: str) -> "ImageRef":
        """Return the same name with `digest`; a missing tag becomes `latest`, so that people see what was resolved."""
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is not a digest")
        return replace(self, tag=self.tag or DEFAULT_TAG, digest=digest)

    def on(self, registry: str) -> "ImageRef":
        """Return the same image as `registry` calls it."""
        return replace(self, registry=registry)


def _split_registry(text: str) -> tuple[str, str]:
    head, slash, rest = text.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return head, rest
    return "", text


class SiteRole(StrEnum):
    """Who copies from whom."""

    MASTER = "master"  # takes pushes; masters copy to each other
    FOLLOWER = "follower"  # takes copies of the site that it follows


@dataclass(frozen=True, slots=True)
class Site:
    """A data centre or cloud region with a registry. `registry_url` is how dcp itself reaches that registry."""

    name: str
    role: SiteRole
    registry_url: str
    follows: str = ""
    """For a follower: the site that it copies from."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Content in a registry: a layer (an archive of files) or the configuration of an image."""

    digest: str
    size_bytes: int
    media_type: str


Layer = Blob
"""A blob that holds files. Bases come first in a manifest, so images on the same base share their first layers."""


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """What an index names: the manifest of one platform, such as `linux/amd64`."""

    digest: str
    size_bytes: int
    media_type: str
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image (configuration and layers) or an index of several (`parts`). `body` is what the digest is of."""

    digest: str
    media_type: str
    body: bytes
    config: Blob | None = None
    layers: tuple[Layer, ...] = ()
    parts: tuple[ManifestPart, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of the manifest itself."""
        return len(self.body)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob once that must be there before the manifest can be."""
        config = (self.config,) if self.config else ()
        return tuple({blob.digest: blob for blob in (*config, *self.layers)}.values())

    @property
    def content_bytes(self) -> int:
        """Bytes that a place without any of it has to fetch, the parts of an index left out."""
        return self.size_bytes + sum(blob.size_bytes for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class ImageConfiguration:
    """What the configuration of an image says of it."""

    platform: str = ""
    created: str = ""
    """As the builder wrote it (RFC 3339)."""
    labels: tuple[tuple[str, str], ...] = ()

    def label(self, name: str) -> str:
        """Return a label's value; empty if there is none."""
        return dict(self.labels).get(name, "")
