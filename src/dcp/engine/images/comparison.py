"""Looks at everything a site has: every tag, and every digest that the ledger says is there."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from dcp.engine.images.sites import SiteRegistry
from dcp.images.replication.model import Seen

T = TypeVar("T")
CALLS = 8
"""To one registry under way at once."""


async def look(registry: SiteRegistry, site: str, now: float, expected: Iterable[tuple[str, str]]) -> Seen:
    """Return what a site has; `expected`: (repository, digest) to ask for besides.

    A failed call aborts it: a part would look like a loss.
    """
    limit = asyncio.Semaphore(CALLS)

    async def bounded(call: Awaitable[T]) -> T:
        async with limit:
            return await call

    names = [name async for name in registry.repositories()]
    tags = await _all([bounded(_tags(registry, name)) for name in names])
    tagged = [one for found in tags for one in found]
    there = {(repository, digest) for repository, _, digest in tagged}
    asked = sorted(set(expected) - there)
    answers = await _all([bounded(registry.resolve(repository, digest)) for repository, digest in asked])
    there |= {content for content, answer in zip(asked, answers, strict=True) if answer is not None}
    return Seen(site, now, tuple(tagged), frozenset(there), frozenset(asked) | there)


async def _tags(registry: SiteRegistry, repository: str) -> list[tuple[str, str, str]]:
    found = []
    for tag in await registry.tags(repository):
        digest = await registry.resolve(repository, tag)
        if digest is not None:
            found.append((repository, tag, digest))
    return found


async def _all(calls: list[Awaitable[T]]) -> list[T]:
    """Return every result, or raise the first failure with the others cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_coroutine(call)) for call in calls]
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error
    return [task.result() for task in tasks]


async def _coroutine(call: Awaitable[T]) -> T:
    return await call
