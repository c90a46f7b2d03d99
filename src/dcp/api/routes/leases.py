"""Which cluster has which hosts, and what clusters lend each other."""

from fastapi import APIRouter

from dcp.api.dependencies import Controller
from dcp.api.shapes import Shape
from dcp.engine.leases import look_at_leases
from dcp.hosts.cost.prices import price_now
from dcp.hosts.leases import Lease, Lending

router = APIRouter(prefix="/leases", tags=["hosts"])


class LeaseShape(Shape):
    """A host, who has it, and who lends it if it is somebody else's. `claimed_by` gets it next."""

    cluster: str
    id: str
    source: str
    kind: str
    state: str
    lender: str
    since: float
    until: float | None
    claimed_by: str | None
    price_usd_per_hour: float

    @classmethod
    def of(cls, lease: Lease) -> "LeaseShape":
        host = lease.host
        return cls(
            cluster=host.cluster,
            id=host.id,
            source=host.source,
            kind=str(host.kind),
            state=str(host.state),
            lender=lease.lender,
            since=lease.since,
            until=lease.until,
            claimed_by=host.claimed_by,
            price_usd_per_hour=price_now(host),
        )


class LendingShape(Shape):
    """Private hosts that a cluster owns, lends, borrows and claims back."""

    cluster: str
    lends: bool
    owned: int
    lent: int
    borrowed: int
    claimed: int

    @classmethod
    def of(cls, one: Lending) -> "LendingShape":
        return cls(
            cluster=one.cluster,
            lends=one.lends,
            owned=one.owned,
            lent=one.lent,
            borrowed=one.borrowed,
            claimed=one.claimed,
        )


class LeaseList(Shape):
    """Leases by cluster and time; what each cluster lends; the time of the controller."""

    now: float
    leases: list[LeaseShape]
    clusters: list[LendingShape]


@router.get("")
async def list_leases(controller: Controller) -> LeaseList:
    """Who has which host since when and until when, and what each cluster lends and borrows."""
    now = controller.clock.now()
    view = await controller.database.read(lambda connection: look_at_leases(connection, controller.settings, now))
    return LeaseList(
        now=now,
        leases=[LeaseShape.of(one) for one in view.leases],
        clusters=[LendingShape.of(one) for one in view.lendings],
    )
