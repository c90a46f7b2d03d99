"""Who has which host, as people ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.settings import EngineSettings
from dcp.hosts.adding.model import SOURCE
from dcp.hosts.leases import Lease, Lending, leases_of, lendings_of
from dcp.hosts.sharing import Sharing, sharing_of
from dcp.store import hosts, machines


@dataclass(frozen=True, slots=True)
class LeaseView:
    """All leases at one moment, and what each cluster lends and borrows."""

    leases: Sequence[Lease]
    lendings: Sequence[Lending]


def look_at_leases(connection: Connection, settings: EngineSettings, now: float) -> LeaseView:
    """Return who has which host that was not given back."""
    held, sharing = hosts.current(connection), sharing_in(connection, settings)
    return LeaseView(
        leases_of(held, sharing, settings.loans, now),
        lendings_of(settings.clusters, held, sharing),
    )


def sharing_in(connection: Connection, settings: EngineSettings) -> Sharing:
    """Return who owns what; added machines know it by themselves."""
    sharing = sharing_of(settings.clusters, settings.access)
    added = {(SOURCE, one.host_type.name): (one.cluster,) for one in machines.every(connection) if one.cluster}
    return replace(sharing, of_types=added) if added else sharing
