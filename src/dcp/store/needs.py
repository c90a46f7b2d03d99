"""Which repositories the instances of a host or a site need: those that run and those that are planned."""

from sqlalchemy import Connection, bindparam, select

from dcp.hosts.states import ENDED
from dcp.images.access.model import Need
from dcp.images.model import ImageRef
from dcp.store import applications, hosts
from dcp.store.tables import instances

_columns = instances.c
_IDS_AT_ONCE = 1000
_ON_HOSTS = (
    select(_columns.host_id, _columns.application, _columns.service, _columns.spec_revision)
    .where(_columns.host_id.in_(bindparam("host_ids", expanding=True)), _columns.ended_at.is_(None))
    .distinct()
)


def of_host(connection: Connection, host_id: str, registry: str = "") -> tuple[Need, ...]:
    """Return what instances on one host need; none for a host that is not held any more.

    `registry`: only images whose name says this registry or none; "" takes every image.
    """
    host = hosts.find(connection, host_id)
    if host is None or host.state in ENDED:
        return ()
    return _needs(connection, {host.id: host.site}, registry)


def of_site(connection: Connection, site: str, registry: str = "") -> tuple[Need, ...]:
    """Return what instances on the hosts of one site need; "" are the hosts without a site."""
    found = {host.id: host.site for host in hosts.current(connection) if host.site == site}
    return _needs(connection, found, registry)


def _needs(connection: Connection, sites: dict[str, str], registry: str) -> tuple[Need, ...]:
    found: set[Need] = set()
    repositories: dict[tuple[str, int], dict[str, str]] = {}
    ids = sorted(sites)
    for start in range(0, len(ids), _IDS_AT_ONCE):
        for row in connection.execute(_ON_HOSTS, {"host_ids": ids[start : start + _IDS_AT_ONCE]}):
            revision = (row.application, row.spec_revision)
            if revision not in repositories:
                repositories[revision] = _repositories(connection, *revision, registry)
            repository = repositories[revision].get(row.service)
            if repository:
                found.add(Need(repository, row.host_id, sites[row.host_id]))
    return tuple(sorted(found, key=lambda need: (need.host_id, need.repository)))


def _repositories(connection: Connection, application: str, revision: int, registry: str) -> dict[str, str]:
    """Return the repository of every service of one revision that has an image of this registry."""
    found: dict[str, str] = {}
    for service in applications.spec_at(connection, application, revision).services:
        try:
            image = ImageRef.parse(service.image)
        except ValueError:  # none, or one that nobody can pull
            continue
        if not registry or image.registry in ("", registry):
            found[service.name] = image.repository
    return found
