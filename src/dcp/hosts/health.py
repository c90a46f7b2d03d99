"""Which hosts are given up, by all signals together, and when so many look dead that the signals are doubted.

Signals are the source's listing, the host's engine, and the instances there. When more than LOST_SHARE of a source's
hosts in use look bad at once, more likely we are cut off, or the source answers wrongly, than that they all died: then
none is given up until it has lasted DOUBT_FACTOR times as long.
"""

from dataclasses import dataclass

from dcp.hosts.model import Host, SourceHost
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep
from dcp.hosts.view import SourceView, is_there

LOST_SHARE = 0.5
DOUBT_FACTOR = 30.0
SUSPECT_SHARE = 0.2
"""Of a source's hosts in use, so many at once (at least one) are cordoned because instances fail there."""
FEW = 2
"""With so few hosts no share says anything."""

IN_USE = frozenset({HostState.READY, HostState.CORDONED, HostState.DRAINING, HostState.UNREACHABLE})
SUSPECT = "instances-fail"


@dataclass(frozen=True, slots=True)
class Health:
    """The hosts of one source at one look."""

    bad: int
    total: int
    view: SourceView
    suspects: frozenset[str]
    """Those that may be cordoned now because instances fail there."""

    @property
    def in_doubt(self) -> bool:
        return self.total > FEW and self.bad > LOST_SHARE * self.total

    @property
    def patience(self) -> float:
        """Return the factor by which everything is waited for longer."""
        return DOUBT_FACTOR if self.in_doubt else 1.0


def look_at_health(view: SourceView) -> Health:
    """Return how many hosts look bad by any signal; those that were lost and are still to be taken back count too."""
    used = [host for host in view.hosts if host.state in IN_USE or host.state == HostState.LOST]
    bad = sum(1 for host in used if host.state == HostState.LOST or _looks_bad(host, view))
    cordoned = sum(1 for host in used if host.state == HostState.CORDONED and host.reason == SUSPECT)
    total = len(used) + view.at_rest
    room = max(1, int(SUSPECT_SHARE * total)) - cordoned
    suspects = [host.id for host in used if host.state == HostState.READY and host.id in view.suspects]
    return Health(bad, total, view, frozenset(suspects[: max(0, room)]))


def lost(host: Host, seen: SourceHost | None, health: Health) -> HostStep | None:
    """Give a host up that its source has not shown for long."""
    view = health.view
    since = view.unseen_since.get(host.id)
    if is_there(seen) or since is None or view.now - since < view.lost_after_s * health.patience:
        return None
    shown = "has not shown it" if seen is None else f"shows it as {seen.state}"
    return HostStep(host, HostState.LOST, "vanished", f"{host.source} {shown} for {view.now - since:.0f} s")


def silent(host: Host, view: SourceView) -> HostStep | None:
    """Place nothing more on a host whose engine does not answer."""
    look = view.engines.get(host.id)
    if look is None or look.answers:
        return None
    why = f" ({look.words})" if look.words else ""
    words = f"its engine does not answer{why}; what runs there may run on, nothing new starts"
    return HostStep(host, HostState.UNREACHABLE, "engine-silent", words)


def unreachable(host: Host, health: Health) -> HostStep | None:
    """Use it again once its engine answers; give it up once it was silent for long."""
    look = health.view.engines.get(host.id)
    if look is not None and look.answers:
        waited_s = health.view.now - host.changed_at
        return HostStep(host, HostState.READY, "engine-answers", f"its engine answers again after {waited_s:.0f} s")
    return engine_lost(host, health)


def engine_lost(host: Host, health: Health) -> HostStep | None:
    """Give a host up whose engine was silent for long, as seen by this controller."""
    view = health.view
    look = view.engines.get(host.id)
    if look is None or look.answers:
        return None
    silent_s = view.now - max(look.since, host.changed_at if host.state == HostState.UNREACHABLE else 0.0)
    if silent_s < view.engine_lost_after_s * health.patience:
        return None
    return HostStep(host, HostState.LOST, "engine-lost", f"its engine has not answered for {silent_s:.0f} s")


def engine_answers(host: Host, seen: SourceHost, view: SourceView) -> bool:
    """Return whether instances could start there; a host without an engine needs none."""
    look = view.engines.get(host.id)
    return not seen.engine or (look is not None and look.answers)


def may_have_leftovers(host: Host, seen: SourceHost | None, view: SourceView) -> bool:
    """A lost host that its source still has is kept in view until its engine answers and shows nothing of ours."""
    if not host.engine or not is_there(seen) or host.state != HostState.LOST:
        return False
    look = view.engines.get(host.id)
    return look is None or not look.answers or look.leftovers > 0


def _looks_bad(host: Host, view: SourceView) -> bool:
    look = view.engines.get(host.id)
    return host.id in view.unseen_since or host.id in view.suspects or (look is not None and not look.answers)
