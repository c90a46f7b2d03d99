"""Collects images: loads the view, decides, and says in the ledger what is to be removed. The worker removes it."""

from dataclasses import replace

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.engine.images.needs import needed_images
from dcp.engine.images.sites import ImageSites
from dcp.engine.images.worker import SUBJECT
from dcp.images.collection.decide import Collection, CollectionView, decide_collection
from dcp.images.states import CopyState
from dcp.kernel.errors import Unavailable
from dcp.kernel.events import Event, Number
from dcp.store import events, image_content, images


def sites_of(context: Context) -> ImageSites:
    """Return the sites. Raises Unavailable where no registry is configured."""
    if context.images is None:
        raise Unavailable("no registry is configured", hint="name its sites below `registry` in dcp.yaml")
    return context.images


async def collect(context: Context, *, dry_run: bool) -> Collection:
    """Return what nobody needs; unless it is a dry run, that is then removed at every site, slowly."""
    sites, now = sites_of(context), context.clock.now()
    if dry_run:
        return await context.database.read(lambda connection: decide_collection(view_of(connection, sites, now)))

    def work(connection: Connection) -> Collection:
        view = view_of(connection, sites, now)
        collection = decide_collection(view)
        gone = {(removal.repository, removal.digest): removal for removal in collection.removals}
        for copy in view.copies:
            removal = gone.get((copy.repository, copy.digest))
            if removal is not None and copy.state != CopyState.REMOVING:
                after = replace(
                    copy, state=CopyState.REMOVING, since=now, reason=removal.reason, attempts=0, not_before=0.0
                )
                images.put_copy(connection, copy, after)
        if gone:
            words = f"{len(gone)} images are removed, {collection.freed_bytes} bytes at each site"
            numbers: dict[str, Number] = {"images": len(gone), "freed_bytes": collection.freed_bytes}
            events.append(connection, now, [Event(SUBJECT, "collecting", words, numbers=numbers)])
        return collection

    collection = await context.database.write(work)
    context.wakes.wake(SUBJECT)
    return collection


def view_of(connection: Connection, sites: ImageSites, now: float) -> CollectionView:
    """Return all that a collection is decided on, as it is now."""
    known = image_content.manifests(connection)
    digests, tags = needed_images(connection, sites)
    return CollectionView(
        now=now,
        limits=sites.limits,
        copies=images.copies(connection),
        heads=images.heads(connection),
        needed=digests,
        needed_tags=tags,
        manifests={digest: one.manifest for digest, one in known.items()},
        configurations={digest: one.configuration for digest, one in known.items() if one.configuration},
    )
