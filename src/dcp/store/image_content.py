"""What images are made of, uploads under way, and how images were built."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from dcp.images.builds import LAYER_LABEL, BuildRecord
from dcp.images.manifests import read_manifest
from dcp.images.model import ImageConfiguration, Manifest
from dcp.images.ports import Upload
from dcp.images.states import CopyState
from dcp.store import images
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import image_builds, image_copies, image_manifests, image_uploads


@dataclass(frozen=True, slots=True)
class KnownManifest:
    """A manifest that dcp has looked at, and what its configuration says (None for an index)."""

    manifest: Manifest
    configuration: ImageConfiguration | None


def put_manifest(
    connection: Connection, manifest: Manifest, configuration: ImageConfiguration | None, now: float
) -> None:
    """Keep what a digest stands for. It never changes, so one that is known stays as it is."""
    known = select(image_manifests.c.digest).where(image_manifests.c.digest == manifest.digest)
    if connection.execute(known).first() is None:
        connection.execute(
            insert(image_manifests).values(
                digest=manifest.digest,
                media_type=manifest.media_type,
                body=manifest.body.decode(),
                configuration=to_json(ImageConfiguration | None, configuration),
                seen_at=now,
            )
        )


def manifests(connection: Connection, digests: Iterable[str] | None = None) -> dict[str, KnownManifest]:
    """Return what is known of `digests`, or of every image."""
    query = select(image_manifests)
    if digests is None:
        return {row.digest: _known(row) for row in connection.execute(query)}
    wanted = set(digests)
    rows = connection.execute(query.where(images.among(image_manifests.c.digest, wanted)))
    return {row.digest: _known(row) for row in rows if row.digest in wanted}


def layer_labels(connection: Connection) -> dict[str, str]:
    """Return what images say with the label `dcp.layer`, by digest."""
    columns = image_manifests.c
    query = select(columns.digest, columns.configuration).where(columns.configuration.contains(LAYER_LABEL))
    found = {
        row.digest: from_known_json(ImageConfiguration | None, row.configuration) for row in connection.execute(query)
    }
    return {digest: one.label(LAYER_LABEL) for digest, one in found.items() if one and one.label(LAYER_LABEL)}


def forget_manifests(connection: Connection, digests: Iterable[str]) -> None:
    """Forget what no site has any more."""
    connection.execute(delete(image_manifests).where(image_manifests.c.digest.in_(sorted(set(digests)))))


def holding(connection: Connection, site: str, blob_digest: str) -> str:
    """Return a repository of the site that has the blob in an image that is there whole; empty if none is known."""
    copies, known = image_copies.c, image_manifests.c
    query = (
        select(copies.repository)
        .join(image_manifests, known.digest == copies.digest)
        .where(copies.site == site, copies.state == str(CopyState.PRESENT), known.body.contains(blob_digest))
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found or ""


def upload(connection: Connection, site: str, repository: str, digest: str) -> Upload | None:
    """Return where the upload of a blob stands, as far as it was written down."""
    row = connection.execute(select(image_uploads).where(*_same(site, repository, digest))).first()
    if row is None:
        return None
    return Upload(row.repository, row.digest, row.location, row.offset_bytes, pending_bytes=row.pending_bytes)


def put_upload(connection: Connection, site: str, at: Upload, now: float) -> None:
    """Write down where an upload stands."""
    place = {"location": at.location, "offset_bytes": at.offset_bytes, "pending_bytes": at.pending_bytes}
    values = {**place, "at": now}
    changed = connection.execute(update(image_uploads).where(*_same(site, at.repository, at.digest)).values(**values))
    if changed.rowcount == 0:
        connection.execute(
            insert(image_uploads).values(site=site, repository=at.repository, digest=at.digest, **values)
        )


def drop_upload(connection: Connection, site: str, repository: str, digest: str) -> None:
    """Forget an upload that is finished or cannot go on."""
    connection.execute(delete(image_uploads).where(*_same(site, repository, digest)))


def add_build(connection: Connection, record: BuildRecord, log: str) -> bool:
    """Keep how an image was built; return False for one that was told before."""
    if connection.execute(select(image_builds.c.id).where(image_builds.c.id == record.id)).first() is not None:
        return False
    connection.execute(
        insert(image_builds).values(
            id=record.id,
            repository=record.repository,
            tag=record.tag,
            digest=record.digest,
            built_at=record.built_at,
            record=to_json(BuildRecord, record),
            log=log,
        )
    )
    return True


def builds_of(connection: Connection, repository: str, limit: int) -> tuple[BuildRecord, ...]:
    """Return the last builds of a repository, newest first."""
    column = image_builds.c
    query = (
        select(column.record)
        .where(column.repository == repository)
        .order_by(column.built_at.desc(), column.id.desc())
        .limit(limit)
    )
    return tuple(from_known_json(BuildRecord, row.record) for row in connection.execute(query))


def build_log(connection: Connection, build_id: str) -> str | None:
    """Return what the builder wrote."""
    query = select(image_builds.c.log).where(image_builds.c.id == build_id)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def _same(site: str, repository: str, digest: str) -> tuple[Any, ...]:
    column = image_uploads.c
    return column.site == site, column.repository == repository, column.digest == digest


def _known(row: Row[Any]) -> KnownManifest:
    manifest = read_manifest(row.body.encode(), row.media_type)
    configuration: ImageConfiguration | None = from_known_json(ImageConfiguration | None, row.configuration)
    return KnownManifest(manifest, configuration)
