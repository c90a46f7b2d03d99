"""The next view of one service: additions at once, cuts in steps.

A registry on a flapping network, or a controller with a wrong view, must never take most of a service away from its
clients. So nothing is cut by more than a share in one step, whatever the reason; an instance that leaves in the
ordinary way waits, still answering, until its entry is gone.
"""

from dcp.orchestration.discovery.model import Entry, Limits, Published, PublishedChange


def decide_published(
    published: Published, serving: tuple[Entry, ...], leaving: frozenset[str], now: float, limits: Limits
) -> PublishedChange:
    """Return what is published next.

    `serving` are the entries that should be there; `leaving` the ids of instances that drain and still answer. What is
    published and neither serves nor leaves is a zombie: its instance ended without asking.
    """
    wanted = {entry.instance_id: entry for entry in serving}
    kept = tuple(entry for entry in published.entries if wanted.get(entry.instance_id) == entry)
    there = {entry.instance_id for entry in kept}
    going = [entry for entry in published.entries if entry.instance_id not in there]
    going.sort(key=lambda entry: (entry.instance_id in leaving, entry.instance_id))
    cut = tuple(going[: _may_cut(published, now, limits)])
    stay = {entry.instance_id for entry in going} - {entry.instance_id for entry in cut}
    added = tuple(entry for entry in serving if entry.instance_id not in there and entry.instance_id not in stay)
    remaining = tuple(entry for entry in published.entries if entry not in cut)
    return PublishedChange(
        entries=(*remaining, *added),
        added=added,
        cut=cut,
        zombies=tuple(entry for entry in cut if entry.instance_id not in leaving and entry.instance_id not in wanted),
        waiting=len(going) - len(cut),
    )


def _may_cut(published: Published, now: float, limits: Limits) -> int:
    if published.allow_all:
        return len(published.entries)
    if now - published.last_cut_at < limits.step_s:
        return 0
    return max(1, int(limits.cut_share * len(published.entries)))
