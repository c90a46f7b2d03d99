"""Images on hosts, mirrors, and which images the instances of every host need."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from dcp.images.manifests import read_manifest
from dcp.images.warming.model import HostImage, Mirror, Stripes, WarmImage, as_pulled, pinned_digest
from dcp.images.warming.states import HostImageState, MirrorState, advance_host_image, advance_mirror
from dcp.kernel.errors import Stale
from dcp.orchestration.services.states import ENDED
from dcp.store import applications
from dcp.store.codec import from_known_json, to_json
from dcp.store.tables import host_images, image_manifests, instances, mirrors

_image, _mirror, _instance = host_images.c, mirrors.c, instances.c
_IDS_AT_ONCE = 1000
_ON_HOSTS = (
    select(_instance.host_id, _instance.application, _instance.service, _instance.spec_revision)
    .where(_instance.host_id.in_(bindparam("host_ids", expanding=True)), _instance.ended_at.is_(None))
    .where(_instance.state.not_in([str(state) for state in ENDED]))
    .distinct()
)


def rows_of(connection: Connection, host_ids: Iterable[str]) -> tuple[HostImage, ...]:
    """Return the rows of images on these hosts."""
    query = select(host_images).where(_image.host_id.in_(bindparam("ids", expanding=True)))
    found = _by_ids(connection, query.order_by(_image.host_id, _image.image), host_ids)
    return tuple(_host_image(row) for row in found)


def all_rows(connection: Connection) -> tuple[HostImage, ...]:
    """Return every row."""
    return tuple(_host_image(row) for row in connection.execute(select(host_images)))


def in_state(connection: Connection, state: HostImageState) -> frozenset[tuple[str, str]]:
    """Return (host, image) of every row in `state`."""
    query = select(_image.host_id, _image.image).where(_image.state == str(state))
    return frozenset((row.host_id, row.image) for row in connection.execute(query))


def find(connection: Connection, host_id: str, image: str) -> HostImage | None:
    """Return one row."""
    query = select(host_images).where(_image.host_id == host_id, _image.image == image)
    row = connection.execute(query).one_or_none()
    return _host_image(row) if row is not None else None


def put(connection: Connection, before: HostImage | None, after: HostImage | None) -> HostImage | None:
    """Write `after` over `before` (None: there was no row, or there is none any more). Raises Stale."""
    if before is None:
        assert after is not None, "nothing over nothing"
        connection.execute(insert(host_images).values(**_host_image_values(after)))
        return after
    same = (_image.host_id == before.host_id, _image.image == before.image, _image.version == before.version)
    if after is None:
        _one(connection.execute(delete(host_images).where(*same)).rowcount, f"{before.image} on {before.host_id}")
        return None
    if after.state != before.state:
        advance_host_image(before.state, after.state)
    stored = replace(after, version=before.version + 1)
    changed = connection.execute(update(host_images).where(*same).values(**_host_image_values(stored))).rowcount
    _one(changed, f"{before.image} on {before.host_id}")
    return stored


def mirrors_of(connection: Connection, site: str | None = None) -> tuple[Mirror, ...]:
    """Return the mirrors that are not gone, of one site or of all."""
    query = select(mirrors).where(_mirror.state != str(MirrorState.GONE)).order_by(_mirror.since, _mirror.id)
    if site is not None:
        query = query.where(_mirror.site == site)
    return tuple(_read_mirror(row) for row in connection.execute(query))


def failed_since(connection: Connection, site: str, since: float) -> frozenset[str]:
    """Return the hosts of a site on which a mirror that ended after `since` never answered."""
    query = select(_mirror.host_id).where(
        _mirror.site == site,
        _mirror.state.in_([str(MirrorState.GONE), str(MirrorState.LEAVING)]),
        _mirror.since > since,
        _mirror.reason.in_(["start-failed", "never-answered"]),
    )
    return frozenset(connection.execute(query).scalars())


def put_mirror(connection: Connection, before: Mirror | None, after: Mirror) -> Mirror:
    """Write `after` over `before` (None: a new one). Raises Stale."""
    if before is None:
        connection.execute(insert(mirrors).values(**_mirror_values(after)))
        return after
    if after.state != before.state:
        advance_mirror(before.state, after.state)
    stored = replace(after, version=before.version + 1)
    same = (_mirror.id == before.id, _mirror.version == before.version)
    _one(connection.execute(update(mirrors).where(*same).values(**_mirror_values(stored))).rowcount, before.id)
    return stored


def needed(connection: Connection, host_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the pinned images that instances on each host run or wait for. What is not pinned cannot be compared."""
    found: dict[str, set[str]] = {}
    for row in _by_ids(connection, _ON_HOSTS, host_ids, name="host_ids"):
        image = _image_of(connection, row.application, row.service, row.spec_revision)
        if image:
            found.setdefault(row.host_id, set()).add(image)
    return {host_id: tuple(sorted(images)) for host_id, images in found.items()}


def sizes(connection: Connection, references: Iterable[str]) -> dict[str, WarmImage]:
    """Return what is known of images: those whose manifest a registry has told us."""
    wanted = {pinned_digest(reference): reference for reference in references}
    found: dict[str, WarmImage] = {}
    query = select(image_manifests.c.body, image_manifests.c.media_type, image_manifests.c.digest).where(
        image_manifests.c.digest.in_(sorted(wanted))
    )
    for row in connection.execute(query):
        try:
            manifest = read_manifest(row.body.encode(), row.media_type)
        except ValueError:
            continue
        layers = tuple(layer.size_bytes for layer in manifest.layers)
        reference = wanted[row.digest]
        found[reference] = WarmImage(reference, manifest.content_bytes, layers)
    return found


def _image_of(connection: Connection, application: str, service: str, revision: int) -> str:
    for one in applications.spec_at(connection, application, revision).services:
        if one.name == service:
            return as_pulled(one.image) if one.image else ""
    return ""


def _by_ids(connection: Connection, query: Any, ids: Iterable[str], name: str = "ids") -> list[Row[Any]]:
    asked, found = sorted(set(ids)), list[Row[Any]]()
    for start in range(0, len(asked), _IDS_AT_ONCE):
        found += connection.execute(query, {name: asked[start : start + _IDS_AT_ONCE]}).all()
    return found


def _one(count: int, what: str) -> None:
    if count != 1:
        raise Stale(f"{what} was changed by somebody else meanwhile")


def _host_image_values(row: HostImage) -> dict[str, object]:
    return {
        "host_id": row.host_id,
        "image": row.image,
        "state": str(row.state),
        "since": row.since,
        "wanted_at": row.wanted_at,
        "source": row.source,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "reason": row.reason,
        "words": row.words,
        "moved_bytes": row.moved_bytes,
        "version": row.version,
    }


def _host_image(row: Row[Any]) -> HostImage:
    return HostImage(**{**row._asdict(), "state": HostImageState(row.state)})


def _mirror_values(mirror: Mirror) -> dict[str, object]:
    return {
        "id": mirror.id,
        "site": mirror.site,
        "host_id": mirror.host_id,
        "state": str(mirror.state),
        "since": mirror.since,
        "address": mirror.address,
        "port": mirror.port,
        "stripes": to_json(Stripes, mirror.stripes),
        "attempts": mirror.attempts,
        "not_before": mirror.not_before,
        "reason": mirror.reason,
        "version": mirror.version,
    }


def _read_mirror(row: Row[Any]) -> Mirror:
    values = {**row._asdict(), "state": MirrorState(row.state), "stripes": from_known_json(Stripes, row.stripes)}
    return Mirror(**values)
