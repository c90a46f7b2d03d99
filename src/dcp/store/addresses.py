"""Who has which address of a site's network. A row is written before the instance is started and outlives it.

An address is free again only when its instance is known to be gone: it ended on a host that could be asked, or the
host itself was given back.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, bindparam, delete, exists, insert, or_, select

from dcp.hosts.states import ENDED as HOST_ENDED
from dcp.orchestration.services.addresses import AddressRange, free_address
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import ENDED, InstanceState
from dcp.store.tables import addresses, hosts, instances

_OF = select(addresses).where(addresses.c.instance_id.in_(bindparam("ids", expanding=True)))
_OF_SITE = select(addresses).where(addresses.c.site == bindparam("site")).order_by(addresses.c.given_at)
_host_is_there = exists().where(
    hosts.c.id == instances.c.host_id, hosts.c.state.not_in([str(state) for state in HOST_ENDED])
)
_known_gone = or_(
    instances.c.state.in_([str(state) for state in ENDED - {InstanceState.LOST}]),
    and_(instances.c.state == str(InstanceState.LOST), ~_host_is_there),
)
_FREE_AGAIN = delete(addresses).where(addresses.c.instance_id.in_(select(instances.c.id).where(_known_gone)))


def of(connection: Connection, instance_ids: Iterable[str]) -> dict[str, str]:
    """Return the addresses of instances that have one."""
    rows = connection.execute(_OF, {"ids": list(instance_ids)})
    return {row.instance_id: row.address for row in rows}


def give(connection: Connection, instance: Instance, chosen: AddressRange, now: float) -> str | None:
    """Return the instance's address, given now if it had none; None if every address of the range is taken."""
    had = of(connection, [instance.id]).get(instance.id)
    if had is not None:
        return had
    connection.execute(_FREE_AGAIN)
    rows = connection.execute(_OF_SITE, {"site": chosen.site}).all()
    address = free_address(chosen, {row.address for row in rows}, rows[-1].address if rows else "")
    if address is not None:
        connection.execute(
            insert(addresses).values(address=address, site=chosen.site, instance_id=instance.id, given_at=now)
        )
    return address
