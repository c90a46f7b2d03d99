"""One decision for the images of a site: mirrors grow first and are warmed, then hosts pull, then instances may start.

Pure. The same function runs in the engine and in the simulator.
"""

from dataclasses import replace

from dcp.images.warming.estimate import choose_way
from dcp.images.warming.mirrors import decide_mirrors
from dcp.images.warming.model import (
    REGISTRY,
    Estimate,
    HostImage,
    HostImageStep,
    Mirror,
    PlannedWarming,
    Pull,
    WarmImage,
    WarmingDecision,
    WarmingSettings,
    WarmingView,
    Way,
)
from dcp.images.warming.pulls import decide_pulls, decide_rows, is_mirrored
from dcp.images.warming.states import HostImageState, MirrorState

UNDER_WAY = frozenset({HostImageState.WANTED, HostImageState.PULLING, HostImageState.FAILED})


def decide_warming(view: WarmingView) -> WarmingDecision:
    """Return what changes now at one site."""
    row_steps = decide_rows(view)
    rows = _after_rows(view.rows, row_steps)
    lacking = tuple(sorted({row.host_id for row in rows if row.state in UNDER_WAY and is_mirrored(row, view)}))
    estimate = _estimate(view, rows, lacking)
    mirror_steps = decide_mirrors(view, lacking, estimate)
    mirrors = _after_mirrors(view.mirrors, tuple(step.mirror for step in mirror_steps))
    pulls = decide_pulls(view, _pullable(view, rows), mirrors, estimate.way)
    return WarmingDecision(
        way=estimate.way,
        mirrors=mirror_steps,
        rows=_with_pulls(view, row_steps, rows, pulls),
        warm=_warm(view, rows, mirrors, estimate.way),
        pulls=pulls,
        numbers={
            "hosts_lacking": len(lacking),
            "mirrors_ready": sum(1 for mirror in mirrors if mirror.state == MirrorState.READY),
            "estimate_s": round(estimate.seconds, 1),
            "line_bytes": estimate.line_bytes,
        },
    )


def plan_warming(
    image: WarmImage, site: str, hosts: tuple[str, ...], standing: int, settings: WarmingSettings
) -> PlannedWarming:
    """Return what bringing `image` to `hosts` will take: the part of a plan that people see."""
    estimate = choose_way(image.size_bytes, len(hosts), standing, settings)
    return PlannedWarming(
        image=image.reference,
        site=site,
        hosts=hosts,
        way=estimate.way,
        mirrors_to_add=max(0, estimate.mirrors - standing),
        size_bytes=image.size_bytes,
        line_bytes=estimate.line_bytes if image.size_bytes else 0,
        seconds=estimate.seconds,
    )


def _estimate(view: WarmingView, rows: tuple[HostImage, ...], lacking: tuple[str, ...]) -> Estimate:
    """Choose for all images together: the largest that most hosts lack decides.

    A way is kept while images are on their way: mirrors that were just started count as standing.
    """
    standing = sum(1 for mirror in view.mirrors if mirror.state in (MirrorState.READY, MirrorState.STARTING))
    known = [view.images[row.image].size_bytes for row in rows if row.state in UNDER_WAY and row.image in view.images]
    size = max(known, default=0)
    chosen = choose_way(size, len(lacking), standing, view.settings)
    peers = _serving_each_other(view, lacking)
    if peers and chosen.way != Way.PEERS:
        return replace(chosen, way=Way.PEERS)
    return chosen


def _serving_each_other(view: WarmingView, lacking: tuple[str, ...]) -> bool:
    """Return whether hosts that still lack an image have their own mirrors: then they go on with them."""
    own = {mirror.host_id for mirror in view.mirrors if mirror.state in (MirrorState.READY, MirrorState.STARTING)}
    return view.settings.peers and bool(lacking) and own.issuperset(lacking) and len(lacking) > 2


def _pullable(view: WarmingView, rows: tuple[HostImage, ...]) -> tuple[HostImage, ...]:
    """A row that was present or excluded a moment ago is written as wanted first."""
    settled = {row.key for row in view.rows if row.state in (HostImageState.PRESENT, HostImageState.EXCLUDED)}
    return tuple(row for row in rows if row.key not in settled)


def _after_rows(rows: tuple[HostImage, ...], steps: tuple[HostImageStep, ...]) -> tuple[HostImage, ...]:
    changed = {step.before.key: step.row for step in steps if step.before is not None}
    kept = [changed.get(row.key, row) for row in rows]
    return (*(row for row in kept if row), *(step.row for step in steps if step.before is None and step.row))


def _after_mirrors(mirrors: tuple[Mirror, ...], changed: tuple[Mirror, ...]) -> tuple[Mirror, ...]:
    after = {mirror.id: mirror for mirror in (*mirrors, *changed)}
    return tuple(after.values())


def _warm(
    view: WarmingView, rows: tuple[HostImage, ...], mirrors: tuple[Mirror, ...], way: Way
) -> tuple[tuple[str, str], ...]:
    """Tell few mirrors beforehand; hosts that serve each other warm their own by pulling."""
    if way != Way.MIRRORS:
        return ()
    wanted = dict.fromkeys(row.image for row in rows if row.state in UNDER_WAY and is_mirrored(row, view))
    ready = [mirror.id for mirror in mirrors if mirror.state == MirrorState.READY]
    return tuple((mirror, image) for image in wanted for mirror in ready if (mirror, image) not in view.warming)


def _with_pulls(
    view: WarmingView, steps: tuple[HostImageStep, ...], rows: tuple[HostImage, ...], pulls: tuple[Pull, ...]
) -> tuple[HostImageStep, ...]:
    """Write that a pull begins over whatever else happened to its row in the same look."""
    by_key = {row.key: row for row in rows}
    before = {row.key: row for row in view.rows}
    found = {_key(step): step for step in steps}
    for pull in pulls:
        row = by_key[pull.host_id, pull.image]
        after = replace(row, state=HostImageState.PULLING, since=view.now, source=pull.source, reason="pull", words="")
        words = "from the registry" if pull.source == REGISTRY else f"from {pull.source}"
        found[row.key] = HostImageStep(before.get(row.key), after, "pull", words)
    return tuple(found.values())


def _key(step: HostImageStep) -> tuple[str, str]:
    row = step.row or step.before
    assert row is not None, "a step of nothing"
    return row.key
