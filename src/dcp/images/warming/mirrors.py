"""Which hosts run mirrors, and from whom each takes: grow first, replace what is lost, leave when nobody pulls."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dcp.images.warming.estimate import best_stripes, wanted_mirrors
from dcp.images.warming.model import Estimate, HostImage, Mirror, MirrorStep, WarmHost, WarmingView, Way
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.images.warming.tree import plan_trees

PREFIX = "dcp.mirror-"
"""With a dot, which no service may have in its name: no instance is ever called like a mirror."""
START_TRIES = 5
IN_USE = frozenset({MirrorState.STARTING, MirrorState.READY})


def decide_mirrors(view: WarmingView, lacking: Sequence[str], estimate: Estimate) -> tuple[MirrorStep, ...]:
    """Return at most one step for each mirror, and new ones. `lacking`: hosts that miss an image they need."""
    steps = [_next(mirror, view) for mirror in view.mirrors]
    moved = {step.mirror.id: step.mirror for step in steps if step is not None}
    after = [moved.get(mirror.id, mirror) for mirror in view.mirrors]
    new = _new_mirrors(view, after, lacking, estimate)
    routed = _routes(view, [mirror for mirror in after if mirror.state == MirrorState.READY], estimate)
    known = {mirror.id: mirror for mirror in view.mirrors}
    reasons = {step.mirror.id: step for step in steps if step is not None}
    found = [
        _merged(known[mirror.id], routed.get(mirror.id, mirror), reasons.get(mirror.id))
        for mirror in after
        if mirror.id in reasons or mirror.id in routed
    ]
    return (*found, *new)


def _merged(before: Mirror, after: Mirror, step: MirrorStep | None) -> MirrorStep:
    if step is not None:
        return MirrorStep(before, after, step.reason, step.words)
    return MirrorStep(before, after, "parents", "takes from other parents now")


def _next(mirror: Mirror, view: WarmingView) -> MirrorStep | None:
    if mirror.host_id not in {host.id for host in view.hosts}:
        return _step(mirror, MirrorState.GONE, view, "host-gone", f"its host {mirror.host_id} is gone")
    waited_s = view.now - mirror.since
    limit_s = view.settings.mirror_answer_s
    match mirror.state:
        case MirrorState.STARTING:
            if mirror.id in view.answering:
                return _step(mirror, MirrorState.READY, view, "answers", f"answers {waited_s:.1f} s after its order")
            if mirror.attempts >= START_TRIES:
                words = f"could not be started {mirror.attempts} times: {mirror.reason}"
                return _step(mirror, MirrorState.LEAVING, view, "start-failed", words)
            if waited_s > limit_s:
                return _step(mirror, MirrorState.LEAVING, view, "never-answered", f"no answer within {limit_s:.0f} s")
        case MirrorState.READY:
            if mirror.id in view.silent:
                return _step(mirror, MirrorState.LOST, view, "silent", "does not answer: those below it go round it")
            if _idle(mirror, view):
                words = f"nobody pulled from it for {view.settings.mirror_linger_s:.0f} s"
                return _step(mirror, MirrorState.LEAVING, view, "idle", words)
        case MirrorState.LOST:
            if mirror.id in view.answering:
                return _step(mirror, MirrorState.READY, view, "answers", "answers again")
            if waited_s > limit_s:
                return _step(mirror, MirrorState.LEAVING, view, "lost", f"did not come back within {limit_s:.0f} s")
        case MirrorState.LEAVING:
            if mirror.id in view.stopped:
                return _step(mirror, MirrorState.GONE, view, mirror.reason, "its container is gone")
    return None


def _step(mirror: Mirror, state: MirrorState, view: WarmingView, reason: str, words: str) -> MirrorStep:
    return MirrorStep(mirror, replace(mirror, state=state, since=view.now, reason=reason), reason, words)


def _idle(mirror: Mirror, view: WarmingView) -> bool:
    busy = any(row.state != HostImageState.PRESENT and row.state != HostImageState.EXCLUDED for row in view.rows)
    used_at = max((row.since for row in view.rows if row.source == mirror.id), default=mirror.since)
    return not busy and view.now - max(used_at, mirror.since) > view.settings.mirror_linger_s


def _new_mirrors(
    view: WarmingView, after: Sequence[Mirror], lacking: Sequence[str], estimate: Estimate
) -> tuple[MirrorStep, ...]:
    wanted = _hosts_wanted(view, after, lacking, estimate)
    steps = []
    for number, host in enumerate(wanted, view.last_mirror + 1):
        mirror = Mirror(
            id=f"{PREFIX}{number}",
            site=view.site,
            host_id=host.id,
            state=MirrorState.STARTING,
            since=view.now,
            address=host.address,
            port=view.settings.mirror_port,
        )
        steps.append(MirrorStep(None, mirror, "wanted", f"{estimate.way}: on {host.id}, for {len(lacking)} hosts"))
    return tuple(steps)


def _hosts_wanted(
    view: WarmingView, after: Sequence[Mirror], lacking: Sequence[str], estimate: Estimate
) -> list[WarmHost]:
    """Return the hosts that get a mirror: one at most each; by ratio spread over racks, those with most room first."""
    if estimate.way == Way.DIRECT or not lacking:
        return []
    taken = {mirror.host_id for mirror in after if mirror.state != MirrorState.GONE} | view.avoid
    free = [host for host in view.hosts if host.ready and host.id not in taken]
    if estimate.way == Way.PEERS:
        return [host for host in free if host.id in lacking]
    in_use = [mirror for mirror in after if mirror.state in IN_USE]
    missing = min(wanted_mirrors(len(lacking), view.settings), len(view.hosts)) - len(in_use)
    racks = {host.id: host.rack for host in view.hosts}
    used = Counter(racks.get(mirror.host_id, "") for mirror in in_use)
    chosen: list[WarmHost] = []
    while free and len(chosen) < missing:
        best = min(free, key=lambda host: (used[host.rack], -host.free_cpu_millis, host.id))
        chosen.append(best)
        free.remove(best)
        used[best.rack] += 1
    return chosen


def _routes(view: WarmingView, ready: Sequence[Mirror], estimate: Estimate) -> dict[str, Mirror]:
    """Return the mirrors that are to take from others than before.

    The one that answers for longest stands on top, so that a tree grows at its leaves: whoever comes later takes from
    those that have begun already, and the line is not used again.
    """
    order = sorted(ready, key=lambda mirror: (mirror.since, _number(mirror)))
    size = max((view.images[image].size_bytes for image in _wanted(view.rows) if image in view.images), default=0)
    if not size:
        count = max((len(mirror.stripes.upward) for mirror in ready), default=1)
    else:
        count = best_stripes(size, len(order), view.settings)
    trees = plan_trees([mirror.id for mirror in order], count)
    return {
        mirror.id: replace(mirror, stripes=trees[mirror.id]) for mirror in order if mirror.stripes != trees[mirror.id]
    }


def _number(mirror: Mirror) -> int:
    return int(mirror.id.rpartition("-")[2])


def _wanted(rows: Sequence[HostImage]) -> set[str]:
    return {row.image for row in rows if row.state not in (HostImageState.PRESENT, HostImageState.EXCLUDED)}
