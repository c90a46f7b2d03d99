"""What registries tell: their notifications become rows of the history, and events.

The bearer that a registry sends names its site, so that nothing in the body has to be believed about it.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.images.access.model import DELETE, PULL, PUSH, ImagePush
from dcp.images.access.ports import Vault
from dcp.images.manifests import ACCEPTED
from dcp.images.model import is_digest, is_repository, is_tag
from dcp.images.replication.model import COPIER, COPIER_AGENT
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.events import Event, Number
from dcp.store import events, pushes

_ACTIONS = frozenset({PUSH, PULL, DELETE})
CLOCK_TRUST_S = 86400.0
EVENTS_LIMIT = 1000
"""Of one envelope; registries send one at a time, and a longer write would hold up everybody."""
_DONE = {PUSH: "pushed", DELETE: "deleted"}


def bearer_of(vault: Vault, site: str) -> str:
    """Return what the registry of a site sends with its notifications."""
    return f"{site}.{vault.derive(_purpose(site))}"


def site_of(vault: Vault, bearer: str) -> str | None:
    """Return whose bearer it is; None if it is nobody's."""
    site, _, seal = bearer.rpartition(".")
    return site if vault.matches(_purpose(site), seal) else None


async def take(context: Context, keep_s: float, site: str, envelope: object) -> int:
    """Store what an envelope tells of manifests; return how many of its notifications were taken.

    The same envelope again changes nothing. Raises InvalidInput for what is no envelope.
    """
    now = context.clock.now()
    told = tuple(_read(site, envelope, now))

    def work(connection: Connection) -> tuple[ImagePush, ...]:
        changed = pushes.add(connection, told)
        pushes.prune(connection, now - keep_s)
        events.append(connection, now, [_event(push) for push in changed])
        return changed

    if told and await context.database.write(work):
        context.wakes.wake("images")
    return len(told)


def _read(site: str, envelope: object, now: float) -> Iterable[ImagePush]:
    found = envelope.get("events") if isinstance(envelope, Mapping) else None
    if not isinstance(found, list):
        raise InvalidInput((Problem("events", "must be a list of notifications"),), subject="the envelope")
    if len(found) > EVENTS_LIMIT:
        words = f"{len(found)} notifications come at once; the most is {EVENTS_LIMIT}"
        raise InvalidInput((Problem("events", words),), subject="the envelope")
    for index, one in enumerate(found):
        if not isinstance(one, Mapping) or not isinstance(one.get("id"), str) or not one["id"]:
            raise InvalidInput((Problem(f"events.{index}.id", "must be a text"),), subject="the envelope")
        push = _push(site, one, now)
        if push is not None:
            yield push


def _push(site: str, one: Mapping[str, Any], now: float) -> ImagePush | None:
    """Return what was done to a manifest; None for blobs, for mounts, and for what no registry would write."""
    target = one.get("target") if isinstance(one.get("target"), Mapping) else {}
    actor = one.get("actor") if isinstance(one.get("actor"), Mapping) else {}
    assert isinstance(target, Mapping) and isinstance(actor, Mapping)
    action, repository = _text(one, "action"), _text(target, "repository")
    digest, tag = _text(target, "digest"), _text(target, "tag")
    media_type, size = _text(target, "mediaType"), target.get("size")
    if action not in _ACTIONS or not is_repository(repository) or not (digest or tag):
        return None
    if (digest and not is_digest(digest)) or (tag and not is_tag(tag)):
        return None
    if action != DELETE and media_type not in ACCEPTED:
        return None
    return ImagePush(
        id=str(one["id"])[:200],
        site=site,
        repository=repository,
        action=action,
        at=_time(one.get("timestamp"), now),
        tag=tag,
        digest=digest,
        actor=(_text(actor, "name") or _own(one))[:300],
        media_type=media_type,
        size_bytes=size if isinstance(size, int) and 0 <= size < 1 << 62 else 0,
    )


def _own(one: Mapping[str, Any]) -> str:
    """Return dcp's own account for what dcp did at a registry that knows no accounts."""
    request = one.get("request")
    agent = _text(request, "useragent") if isinstance(request, Mapping) else ""
    return COPIER if agent.startswith(COPIER_AGENT) else ""


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value.replace("\0", "") if isinstance(value, str) else ""


def _time(text: object, now: float) -> float:
    """Return the registry's time; ours where that is in the future or long ago: its clock is wrong."""
    try:
        told = datetime.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return now
    return told if now - CLOCK_TRUST_S <= told <= now else now


def _event(push: ImagePush) -> Event:
    done = _DONE[push.action]
    name = push.repository + (f":{push.tag}" if push.tag else "") + (f"@{push.digest}" if push.digest else "")
    who = push.actor or "somebody without a name"
    numbers: dict[str, Number] = {"site": push.site, "size_bytes": push.size_bytes, "actor": push.actor}
    return Event(f"image/{push.repository}", done, f"{who} {done} {name} in site {push.site}", numbers=numbers)


def _purpose(site: str) -> str:
    return f"notifications of site {site}"
