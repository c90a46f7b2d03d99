"""Deployments pin digests: what a tag means is asked once, when a specification is applied.

Only images of the platform's own registry are asked for; what an engine has under another name is the user's affair.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from dcp.engine.images.sites import ImageSites
from dcp.images.model import DEFAULT_TAG, ImageRef, SiteRole
from dcp.images.states import CopyState
from dcp.kernel.errors import DcpError, InvalidInput, Problem, Unavailable
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.store import images


class Resolver(Protocol):
    """Says what a tag means now."""

    async def resolve(self, ref: ImageRef) -> str | None:
        """Return the digest; None if no site has it. Raises Unavailable while that cannot be known."""
        ...


class SiteResolver:
    """Asks the ledger, which knows the last push of every tag, then the registries, masters first."""

    def __init__(self, sites: ImageSites, heads: "Heads") -> None:
        self._sites = sites
        self._heads = heads

    async def resolve(self, ref: ImageRef) -> str | None:
        if not ref.digest and (known := await self._heads(ref.repository, ref.tag or DEFAULT_TAG)):
            return known
        ranked = sorted(self._sites.sites, key=lambda site: site.role != SiteRole.MASTER)
        silent: DcpError | None = None
        for site in ranked:
            try:
                found = await self._sites.registries[site.name].resolve(ref.repository, ref.reference)
            except DcpError as error:
                silent = error
                continue
            if found is not None:
                return found
        if silent is not None:
            raise Unavailable(f"whether there is {ref} cannot be known: {silent}") from silent
        return None


class Heads(Protocol):
    """What the ledger says a tag means."""

    async def __call__(self, repository: str, tag: str) -> str | None:
        """Return the digest of the last push that dcp has heard of."""
        ...


async def pin(spec: ApplicationSpec, registry: str, resolver: Resolver) -> ApplicationSpec:
    """Return `spec` with every image of `registry` pinned to its digest.

    Raises InvalidInput for names that are none and for images that no site has; Unavailable where nobody can tell.
    """
    outcomes = await asyncio.gather(*(_pinned(service, registry, resolver) for service in spec.services))
    problems = tuple(outcome for outcome in outcomes if isinstance(outcome, Problem))
    if problems:
        raise InvalidInput(problems, subject=f"application {spec.name}")
    return replace(spec, services=tuple(one for one in outcomes if isinstance(one, ServiceSpec)))


def revive(connection: Connection, spec: ApplicationSpec, registry: str, now: float) -> None:
    """Keep what is being removed and is named again, in the transaction that names it."""
    for service in spec.services:
        try:
            ref = ImageRef.parse(service.image)
        except ValueError:
            continue
        if ref.registry != registry or not ref.digest:
            continue
        for copy in images.copies(connection, ref.repository):
            if copy.digest == ref.digest and copy.state == CopyState.REMOVING:
                after = replace(copy, state=CopyState.WANTED, since=now, reason="needed-again", not_before=0.0)
                images.put_copy(connection, copy, after)


async def _pinned(service: ServiceSpec, registry: str, resolver: Resolver) -> ServiceSpec | Problem:
    if not service.image:
        return service
    path = f"services.{service.name}.image"
    try:
        ref = ImageRef.parse(service.image)
    except ValueError as error:
        return Problem(path, str(error), f"such as {registry}/shop/web:1")
    if ref.registry != registry:
        return service
    digest = await resolver.resolve(ref)
    if digest is None:
        return Problem(path, f"no site has {ref}", "push it first: docker push, or dcp images build; see `dcp images`")
    return replace(service, image=str(ref.pin(digest)))
