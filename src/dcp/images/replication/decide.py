"""What a push changes, what a comparison finds, and which copies begin now. Pure.

The last push of a tag wins, by the time of the push. Every site shall have every pushed digest until it is collected,
also those that lost: somebody may run them. Only the winner's copies set the tag.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dcp.images.model import Site, SiteRole
from dcp.images.replication.model import CopyKey, ImageCopy, Push, Seen, TagHead
from dcp.images.states import CopyState
from dcp.kernel.events import Event, Number

BUSY = frozenset({CopyState.WANTED, CopyState.COPYING, CopyState.FAILED})
"""States of a copy that a site lacks."""


@dataclass(frozen=True, slots=True)
class PushDecision:
    """The tag's head after a push (None: it has no tag), copies to write over what is there, and events."""

    head: TagHead | None
    copies: tuple[ImageCopy, ...]
    events: tuple[Event, ...]


def decide_push(
    push: Push, head: TagHead | None, copies: Iterable[ImageCopy], sites: tuple[Site, ...], now: float
) -> PushDecision:
    """Return what `push` changes. `copies`: all there are of its repository and tag."""
    known = {copy.key: copy for copy in copies}
    wins = bool(push.tag) and (head is None or push.order[:2] >= (head.pushed_at, head.site))
    moved = wins and (head is None or head.digest != push.digest)
    after = _head(push, head) if wins else head
    wanted = [
        _wanted(push, site.name, known, now, moved=moved, leads=wins, origin=site.name == push.site) for site in sites
    ]
    if after is not None and not wins and push.digest != after.digest:
        wanted.append(_again(known.get((push.repository, push.tag, after.digest, push.site)), now, "tag-moved-back"))
    changed = tuple(copy for copy in wanted if copy is not None and copy != known.get(copy.key))
    return PushDecision(after, changed, tuple(_events(push, head, known, wins=wins, moved=moved)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What no event told: pushes to take up, copies to write, events."""

    pushes: tuple[Push, ...]
    copies: tuple[ImageCopy, ...]
    events: tuple[Event, ...]


def decide_comparison(
    seen: Seen, heads: Iterable[TagHead], copies: Iterable[ImageCopy], sites: tuple[Site, ...], now: float
) -> Comparison:
    """Compare one site with the ledger.

    `copies`: those of every site. What changed since the look began is left for the next one. A tag that only a
    master can have been given is a push; a follower's tags are set right.
    """
    site = next(one for one in sites if one.name == seen.site)
    every = tuple(copies)
    known = {copy.key: copy for copy in every}
    head_of = {(head.repository, head.tag): head for head in heads}
    shown = {(repository, tag): digest for repository, tag, digest in seen.tags}
    pushes = [] if site.role == SiteRole.FOLLOWER else _unheard(seen, head_of, known)
    taken = {(push.repository, push.tag) for push in pushes}
    lost = [
        copy
        for copy in every
        if copy.site == seen.site and copy.state == CopyState.PRESENT and copy.since < seen.looked_at
        if (copy.repository, copy.tag) not in taken
        if _gone(copy, seen, shown, head_of)
    ]
    wanted = [replace(copy, state=CopyState.WANTED, since=now, reason="lost", there_bytes=0) for copy in lost]
    return Comparison(tuple(pushes), (*wanted, *_unassigned(every, sites, now)), tuple(_lost(lost, seen.site)))


@dataclass(frozen=True, slots=True)
class ReplicationView:
    """Everything `decide_copies` looks at."""

    now: float
    sites: tuple[Site, ...]
    lacking: tuple[ImageCopy, ...]
    """Copies in a state of BUSY, and those to be removed."""
    holders: Mapping[tuple[str, str], frozenset[str]]
    """Sites that have a (repository, digest) whole."""
    origins: Mapping[tuple[str, str], str]
    """The site that a (repository, digest) was last pushed to."""
    running: frozenset[CopyKey]
    away: frozenset[str]
    """Sites that do not answer."""
    parallel: int
    """Copies under way at once for one site."""


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """Bring one image to a site, from the first of `sources` that can give it."""

    copy: ImageCopy
    sources: tuple[str, ...]


def decide_copies(view: ReplicationView) -> tuple[CopyOrder, ...]:
    """Return what begins now: masters before followers, the newest push first, one at a time for a tag at a site."""
    sites = {site.name: site for site in view.sites}
    tags = {(repository, tag, site) for repository, tag, _, site in view.running}
    contents = {(repository, digest, site) for repository, _, digest, site in view.running}
    under_way = {name: sum(key[3] == name for key in view.running) for name in sites}
    orders: list[CopyOrder] = []
    for copy in sorted(view.lacking, key=lambda one: _urgency(one, sites)):
        site = sites.get(copy.site)
        if site is None or copy.state not in BUSY or copy.site in view.away or view.now < copy.not_before:
            continue
        tag, content = (copy.repository, copy.tag, copy.site), (copy.repository, copy.digest, copy.site)
        if tag in tags or content in contents or under_way[copy.site] >= view.parallel:
            continue
        tags.add(tag)
        contents.add(content)
        under_way[copy.site] += 1
        orders.append(CopyOrder(copy, _sources(copy, site, view)))
    return tuple(orders)


def acknowledged(copies: Iterable[ImageCopy], sites: tuple[Site, ...]) -> bool:
    """Return whether all masters have the image; `copies` are those of one repository, tag and digest."""
    present = {copy.site for copy in copies if copy.state == CopyState.PRESENT}
    return all(site.name in present for site in sites if site.role == SiteRole.MASTER)


def back_off_s(attempts: int, limit_s: float = 300.0) -> float:
    """Return how long a copy rests after its `attempts`-th failure in a row."""
    return min(limit_s, 0.5 * 2.0 ** min(attempts, 16))


def _head(push: Push, head: TagHead | None) -> TagHead:
    same = head is not None and head.digest == push.digest
    return TagHead(
        repository=push.repository,
        tag=push.tag,
        digest=push.digest,
        site=push.site,
        pushed_at=push.pushed_at,
        pushed_by=push.pushed_by,
        acknowledged_at=head.acknowledged_at if head is not None and same else None,
        version=head.version if head is not None else 0,
    )


def _wanted(
    push: Push, site: str, known: Mapping[CopyKey, ImageCopy], now: float, *, moved: bool, leads: bool, origin: bool
) -> ImageCopy | None:
    """Return the copy of `push` that `site` shall have; at its origin too, where it is only looked at."""
    before = known.get((push.repository, push.tag, push.digest, site))
    if before is None:
        reason = "pushed-here" if origin else "pushed"
        return ImageCopy(
            push.repository, push.tag, push.digest, site, CopyState.WANTED, push.pushed_at, since=now, reason=reason
        )
    newer = replace(before, pushed_at=max(before.pushed_at, push.pushed_at))
    looks = before.state in (CopyState.REMOVING, CopyState.FAILED) or moved or (leads and origin)
    return _again(newer, now, "pushed-again") if looks else newer


def _again(copy: ImageCopy | None, now: float, reason: str) -> ImageCopy | None:
    """Return the copy to be looked at again; one that is wanted or under way will be anyway."""
    if copy is None or copy.state in (CopyState.WANTED, CopyState.COPYING):
        return copy
    return replace(copy, state=CopyState.WANTED, since=now, reason=reason, attempts=0, not_before=0.0)


def _events(
    push: Push, head: TagHead | None, known: Mapping[CopyKey, ImageCopy], *, wins: bool, moved: bool
) -> Iterable[Event]:
    subject = f"image/{push.repository}:{push.tag}" if push.tag else f"image/{push.repository}@{push.digest}"
    who = f" by {push.pushed_by}" if push.pushed_by else ""
    numbers: dict[str, Number] = {"site": push.site, "digest": push.digest, "pushed_at": push.pushed_at}
    if head is None or push.digest != head.digest:
        before = head.digest if head is not None and moved else ""
        if wins or not push.tag:
            words = f"pushed to {push.site}{who}: every site shall have it"
            yield Event(subject, "wanted", words, before=before, after=push.digest, numbers=numbers)
        else:
            words = f"pushed to {push.site}{who}, but a later push of the tag stands; it is kept by digest"
            yield Event(subject, "superseded", words, numbers=numbers)
    if head is None or head.digest == push.digest or head.site == push.site:
        return
    had = known.get((head.repository, head.tag, head.digest, push.site))
    if had is None or had.state != CopyState.PRESENT or push.pushed_at < head.pushed_at:
        winner, loser = (push.site, head.site) if wins else (head.site, push.site)
        words = f"pushed to {push.site} and {head.site} at the same time; {winner} was last, {loser}'s stays by digest"
        yield Event(subject, "conflict", words, numbers={**numbers, "other": head.digest, "other_at": head.pushed_at})


def _unheard(seen: Seen, heads: Mapping[tuple[str, str], TagHead], known: Mapping[CopyKey, ImageCopy]) -> list[Push]:
    """Return tags at a master that no event explains."""
    found = []
    for repository, tag, digest in seen.tags:
        head = heads.get((repository, tag))
        if head is not None and (head.digest == digest or head.pushed_at >= seen.looked_at):
            continue
        if head is not None:
            expected = known.get((repository, tag, head.digest, seen.site))
            settled = expected is not None and expected.state == CopyState.PRESENT and expected.since < seen.looked_at
            heard = (repository, tag, digest, seen.site) in known
            if heard and not settled:  # the site is still on its way from this digest to the head
                continue
        found.append(Push(seen.site, repository, tag, digest, seen.looked_at, found_by="comparison"))
    return found


def _gone(
    copy: ImageCopy,
    seen: Seen,
    shown: Mapping[tuple[str, str], str],
    heads: Mapping[tuple[str, str], TagHead],
) -> bool:
    head = heads.get((copy.repository, copy.tag))
    if head is not None and head.digest == copy.digest and shown.get((copy.repository, copy.tag)) != copy.digest:
        return True
    content = (copy.repository, copy.digest)
    return content in seen.asked and content not in seen.digests


def _unassigned(copies: tuple[ImageCopy, ...], sites: tuple[Site, ...], now: float) -> Iterable[ImageCopy]:
    """Yield the copies that a site lacks a row for: it is new in the configuration."""
    keys = {copy.key for copy in copies}
    images: dict[tuple[str, str, str], ImageCopy] = {}
    for copy in copies:
        if copy.state != CopyState.REMOVING:
            images.setdefault(copy.key[:3], copy)
    for image, copy in images.items():
        for site in sites:
            if (*image, site.name) not in keys:
                yield ImageCopy(
                    *image, site.name, CopyState.WANTED, copy.pushed_at, now, copy.size_bytes, reason="new-site"
                )


def _lost(lost: list[ImageCopy], site: str) -> Iterable[Event]:
    for copy in lost:
        words = f"{site} does not have it any more, or its tag names another: it is copied there again"
        yield Event(copy.subject, "copy-lost", words, numbers={"site": site, "digest": copy.digest})


def _urgency(copy: ImageCopy, sites: Mapping[str, Site]) -> tuple[bool, float, CopyKey]:
    site = sites.get(copy.site)
    return site is None or site.role == SiteRole.FOLLOWER, -copy.pushed_at, copy.key


def _sources(copy: ImageCopy, site: Site, view: ReplicationView) -> tuple[str, ...]:
    """Return the other sites that answer: those that have it first, then whom the site follows, then masters."""
    content = (copy.repository, copy.digest)
    holders, origin = view.holders.get(content, frozenset()), view.origins.get(content, "")

    def rank(other: Site) -> tuple[bool, bool, bool, str]:
        has = other.name in holders or other.name == origin
        return not has, other.name != site.follows, other.role != SiteRole.MASTER, other.name

    others = [other for other in view.sites if other.name != site.name and other.name not in view.away]
    return tuple(other.name for other in sorted(others, key=rank))
