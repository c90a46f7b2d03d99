"""What follows from all hosts and instances together for the hosts of each source, worked out once for a moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.hosts.clusters import Cluster
from dcp.hosts.model import Host
from dcp.hosts.reserve import kept_ready, surplus_stopped
from dcp.orchestration.scaling.spares import late_spares
from dcp.orchestration.services.model import Instance
from dcp.store import hosts, instances
from dcp.store.keeping import Rows


@dataclass(frozen=True, slots=True)
class Fleet:
    """One moment."""

    hosts: Rows[Host]
    instances: Rows[Instance]
    empty: tuple[Host, ...]
    """Hosts without a live instance, in order of request."""
    keep: frozenset[str]
    """Empty hosts that headroom keeps."""
    not_needed: Mapping[str, str]
    """Empty hosts to give back whatever the time is, and why: late spares, surplus that is switched off."""

    @property
    def held(self) -> Mapping[str, Mapping[str, Instance]]:
        """Live instances by host, then by id; hosts without any are not there."""
        return self.instances.grouped["host"]


class Fleets:
    """Remembers the newest moment, for the sources that look at it next."""

    def __init__(self) -> None:
        self._newest: Fleet | None = None

    def at(self, connection: Connection, clusters: tuple[Cluster, ...], *, spares: bool) -> Fleet:
        """Return the moment that `connection` sees. `clusters` and `spares` are the same at each call."""
        known, live, newest = hosts.kept(connection), instances.kept(connection), self._newest
        if newest is not None and newest.hosts is known and newest.instances is live:
            return newest
        held = live.grouped["host"]
        empty = sorted((known.by_id[i] for i in known.by_id.keys() - held.keys()), key=known.order)
        keep = kept_ready(clusters, known.all, held) if clusters else frozenset()
        late = late_spares(known.all, empty, held, keep) if spares else ()
        surplus = surplus_stopped(clusters, empty, ())
        fleet = Fleet(known, live, tuple(empty), keep, {**{host.id: words for host, words in late}, **surplus})
        self._newest = fleet
        return fleet
