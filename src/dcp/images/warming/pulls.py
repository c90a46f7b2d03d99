"""The rows of images on hosts: what is needed, what is there, who pulls next and from where, what a failure means."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dcp.images.warming.model import (
    REGISTRY,
    WORD_OF_HOST,
    WORD_OF_IMAGE,
    HostImage,
    HostImageStep,
    Mirror,
    Pull,
    WarmingSettings,
    WarmingView,
    Way,
)
from dcp.images.warming.states import HostImageState, MirrorState

FIRST_BACK_OFF_S = 2.0
BACK_OFF_LIMIT_S = 60.0


def decide_rows(view: WarmingView) -> tuple[HostImageStep, ...]:
    """Return what became of needs and of what engines list; at most one step for each row."""
    steps: list[HostImageStep] = []
    hosts = {host.id: host for host in view.hosts}
    known = {row.key: row for row in view.rows}
    for row in view.rows:
        host = hosts.get(row.host_id)
        needed = host is not None and row.image in host.needs
        step = _next(row, host is not None, needed, view)
        if step is not None:
            steps.append(step)
    for host in view.hosts:
        for image in dict.fromkeys(host.needs):
            if (host.id, image) not in known:
                steps.append(_new_row(host.id, image, view))
    return tuple(steps)


def _new_row(host_id: str, image: str, view: WarmingView) -> HostImageStep:
    there = image in view.present.get(host_id, frozenset())
    state = HostImageState.PRESENT if there else HostImageState.WANTED
    row = HostImage(host_id, image, state, since=view.now, wanted_at=view.now)
    return HostImageStep(None, row, str(state), "is there already" if there else "an instance there needs it")


def _next(row: HostImage, has_host: bool, needed: bool, view: WarmingView) -> HostImageStep | None:
    if not has_host:
        return HostImageStep(row, None, "host-gone", "its host is gone")
    listed = view.present.get(row.host_id)
    if row.key in view.pulling:
        return None
    if row.state == HostImageState.PRESENT:
        if listed is None or row.image in listed:
            return None
        if not needed:
            return HostImageStep(row, None, "removed", "the host does not have it any more, and does not need it")
        return _to(row, HostImageState.WANTED, view, "removed", "the host does not have it any more")
    if listed is not None and row.image in listed and row.state != HostImageState.PULLING:
        return _to(row, HostImageState.PRESENT, view, "present", "the host has it")
    if row.state == HostImageState.PULLING:
        return _to(row, HostImageState.WANTED, view, "interrupted", "nobody pulls it any more: taken up again")
    if row.state == HostImageState.EXCLUDED and view.now < row.not_before:
        return None  # remembered though nothing there needs it: so that nothing is placed there meanwhile
    if not needed:
        return HostImageStep(row, None, "not-needed", "no instance there needs it any more")
    if row.state == HostImageState.FAILED and _only_here(row, view):
        later = replace(row, not_before=view.now + view.settings.excluded_s)
        words = f"{row.attempts} pulls failed while other hosts got it: {row.words}"
        return replace_before(_to(later, HostImageState.EXCLUDED, view, row.reason, words), row)
    if row.state == HostImageState.EXCLUDED:
        again = replace(row, attempts=0)
        return replace_before(_to(again, HostImageState.WANTED, view, "again", "may be tried again"), row)
    return None


def _only_here(row: HostImage, view: WarmingView) -> bool:
    """Return whether the pulls of a host failed too often while the same image reached another host."""
    if row.attempts < view.settings.attempts or row.reason in WORD_OF_IMAGE:
        return False
    return any(
        one.image == row.image and one.state == HostImageState.PRESENT and one.since > row.wanted_at
        for one in view.rows
    )


def replace_before(step: HostImageStep, before: HostImage) -> HostImageStep:
    """Return the step as one from `before`."""
    return replace(step, before=before)


def _to(row: HostImage, state: HostImageState, view: WarmingView, reason: str, words: str) -> HostImageStep:
    return HostImageStep(row, replace(row, state=state, since=view.now, reason=reason, words=""), reason, words)


def decide_pulls(view: WarmingView, rows: Sequence[HostImage], mirrors: Sequence[Mirror], way: Way) -> tuple[Pull, ...]:
    """Return the pulls that begin now, those that have waited longest first."""
    ready_hosts = {host.id for host in view.hosts if host.ready}
    due = [
        row
        for row in rows
        if row.host_id in ready_hosts
        and row.state in (HostImageState.WANTED, HostImageState.FAILED)
        and view.now >= row.not_before
        and row.key not in view.pulling
    ]
    ready = [mirror for mirror in mirrors if mirror.state == MirrorState.READY]
    settling = way != Way.DIRECT and any(_settling(mirror, view) for mirror in mirrors)
    busy = Counter(row.source for row in rows if row.state == HostImageState.PULLING)
    pulls: list[Pull] = []
    for row in sorted(due, key=lambda one: (one.wanted_at, one.host_id, one.image)):
        source = _source(row, view, way, () if settling else ready, busy)
        if source:
            busy[source] += 1
            pulls.append(Pull(row.host_id, row.image, source))
    return tuple(pulls)


def _settling(mirror: Mirror, view: WarmingView) -> bool:
    """A mirror that was just started will answer soon: pulls wait, so that they do not go round it over the line."""
    young = view.now - mirror.since < 3 * view.settings.mirror_start_s
    return mirror.state == MirrorState.STARTING and young


def _source(row: HostImage, view: WarmingView, way: Way, ready: Iterable[Mirror], busy: Counter[str]) -> str:
    """Return where the host pulls from now; "" if it waits."""
    settings = view.settings
    if way == Way.DIRECT or not is_mirrored(row, view):
        return REGISTRY if busy[REGISTRY] < settings.direct_pulls else ""
    if _mirrors_failed(row):
        return REGISTRY if busy[REGISTRY] < settings.direct_pulls else ""
    own = next((mirror for mirror in ready if mirror.host_id == row.host_id), None)
    if own is not None and (way == Way.PEERS or (own.id, row.image) in view.flowing):
        return own.id
    limit = settings.pulls_per_mirror
    open_ones = [mirror for mirror in ready if busy[mirror.id] < limit and (mirror.id, row.image) in view.flowing]
    if open_ones:
        return min(open_ones, key=lambda mirror: (busy[mirror.id], mirror.id)).id
    waited_s = view.now - row.wanted_at
    if not list(ready) and waited_s > settings.mirror_wait_s and busy[REGISTRY] < settings.direct_pulls:
        return REGISTRY
    return ""


def _mirrors_failed(row: HostImage) -> bool:
    """Return whether it is the registry's turn: after two failures, and then every second time.

    An engine may refuse what stands between it and the registry, such as a mirror of another host over plain HTTP.
    """
    return row.attempts >= 2 and row.attempts % 2 == 0 and row.reason not in WORD_OF_IMAGE


def is_mirrored(row: HostImage, view: WarmingView) -> bool:
    """Return whether mirrors can bring what the row names."""
    image = view.images.get(row.image)
    return image is None or image.mirrored


def after_pull(row: HostImage, now: float, moved_bytes: int) -> HostImage:
    """Return the row of a host that has it now."""
    return replace(
        row, state=HostImageState.PRESENT, since=now, reason="pulled", words="", moved_bytes=moved_bytes, attempts=0
    )


def after_failure(row: HostImage, reason: str, words: str, now: float, settings: WarmingSettings) -> HostImage:
    """Return the row after a failed pull: tried again later, or the host is excluded.

    An image that is missing, wrong or denied is so on every host: no host is excluded for it. Nor for a reason that may
    be the registry's: see `decide_rows`.
    """
    attempts = row.attempts + 1
    failed = replace(row, since=now, attempts=attempts, reason=reason, words=words)
    if attempts >= settings.attempts and reason in WORD_OF_HOST:
        return replace(failed, state=HostImageState.EXCLUDED, not_before=now + settings.excluded_s)
    delay_s = min(BACK_OFF_LIMIT_S, FIRST_BACK_OFF_S * 2.0 ** (attempts - 1))
    return replace(failed, state=HostImageState.FAILED, not_before=now + delay_s)
