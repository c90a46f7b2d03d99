"""Which images services need: those of the current revisions, of earlier ones that people may go back to, and of
instances that still run.
"""

from sqlalchemy import Connection

from dcp.engine.images.sites import ImageSites
from dcp.images.collection.decide import Content
from dcp.images.model import DEFAULT_TAG, ImageRef
from dcp.orchestration.services.model import ApplicationSpec
from dcp.store import applications, instances


def needed_images(connection: Connection, sites: ImageSites) -> tuple[dict[Content, str], dict[Content, str]]:
    """Return (repository, digest) and (repository, tag) that services name, each with one of those services."""
    digests: dict[Content, str] = {}
    tags: dict[Content, str] = {}
    for application, revision, spec in _specifications(connection, sites.limits.keep_revisions):
        for name, ref in images_of(spec, sites):
            where = f"{application}/{name} revision {revision}"
            if ref.digest:
                digests.setdefault((ref.repository, ref.digest), where)
            else:
                tags.setdefault((ref.repository, ref.tag or DEFAULT_TAG), where)
    return digests, tags


def images_of(spec: ApplicationSpec, sites: ImageSites) -> list[tuple[str, ImageRef]]:
    """Return the services whose image is one of this registry's, or names none, with the image."""
    found = []
    for service in spec.services:
        try:
            ref = ImageRef.parse(service.image)
        except ValueError:
            continue
        if ref.registry in ("", sites.name):
            found.append((service.name, ref))
    return found


def _specifications(connection: Connection, earlier: int) -> list[tuple[str, int, ApplicationSpec]]:
    found = list(applications.recent_specs(connection, earlier))
    known = {(name, revision) for name, revision, _ in found}
    running = {(one.application, one.spec_revision) for one in instances.live(connection)}
    for name, revision in sorted(running - known):
        found.append((name, revision, applications.spec_at(connection, name, revision)))
    return found
