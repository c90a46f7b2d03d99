"""Read manifests: OCI images and indexes, and Docker's version 2 schema 2 with its lists."""

import hashlib
import json
from typing import Any

from dcp.images.model import Blob, ImageConfiguration, Manifest, ManifestPart, is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)


def digest_of(body: bytes) -> str:
    """Return the digest of `body` as registries write it."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def read_manifest(body: bytes, media_type: str = "") -> Manifest:
    """Return what `body` says; `media_type` is what the registry called it. Raises ValueError.

    Layers that no registry holds (those with `urls` of their own) are left out: nobody can copy them.
    """
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("the manifest is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("the manifest is not an object")
    kind = str(document.get("mediaType") or media_type.partition(";")[0].strip() or _guess(document))
    digest = digest_of(body)
    if kind in INDEXES:
        parts = tuple(_part(one) for one in _list(document, "manifests"))
        return Manifest(digest, kind, body, parts=parts)
    if kind in IMAGES:
        layers = tuple(_blob(one) for one in _list(document, "layers") if not _elsewhere(one))
        return Manifest(digest, kind, body, config=_blob(document.get("config")), layers=layers)
    raise ValueError(f"a manifest of type {kind or 'unknown'} is not supported; build the image again")


def read_configuration(content: bytes) -> ImageConfiguration:
    """Return what an image's configuration says; what it leaves out, or what is no configuration, stays empty."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ImageConfiguration()
    if not isinstance(document, dict):
        return ImageConfiguration()
    inner = document.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    names = [str(document.get(key) or "") for key in ("os", "architecture", "variant")]
    return ImageConfiguration(
        platform="/".join(name for name in names if name),
        created=str(document.get("created") or ""),
        labels=tuple(sorted((str(k), str(v)) for k, v in labels.items())) if isinstance(labels, dict) else (),
    )


def _guess(document: dict[str, Any]) -> str:
    """OCI makes `mediaType` optional."""
    if document.get("schemaVersion") != 2:
        return ""
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST if "config" in document else ""


def _list(document: dict[str, Any], key: str) -> list[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise ValueError(f"the manifest has no list of {key}")
    return found


def _elsewhere(entry: Any) -> bool:
    return isinstance(entry, dict) and bool(entry.get("urls"))


def _blob(entry: Any) -> Blob:
    digest, size_bytes, media_type = _descriptor(entry)
    return Blob(digest, size_bytes, media_type)


def _part(entry: Any) -> ManifestPart:
    digest, size_bytes, media_type = _descriptor(entry)
    platform = entry.get("platform") if isinstance(entry.get("platform"), dict) else {}
    names = [str(platform.get(key, "")) for key in ("os", "architecture", "variant")]
    return ManifestPart(digest, size_bytes, media_type, "/".join(name for name in names if name))


def _descriptor(entry: Any) -> tuple[str, int, str]:
    if not isinstance(entry, dict):
        raise ValueError("the manifest names something that is no descriptor")
    digest, size_bytes = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError(f"the manifest names {digest!r}, which is no SHA-256 digest")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise ValueError(f"the manifest gives {digest} no size")
    return digest, size_bytes, str(entry.get("mediaType", ""))
