"""Who has which host since when and until when, and what clusters lend each other."""

from dataclasses import replace

from dcp.hosts.clusters import Cluster, SourceAccess
from dcp.hosts.leases import Lending, leases_of, lendings_of
from dcp.hosts.loans import Loan, Window
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.sharing import claimed_back, sharing_of, taken_over
from dcp.hosts.states import HostState
from dcp.hosts.steps import after_step

NOON = 1_795_694_400.0
"""12:00 UTC."""
SHARING = sharing_of((Cluster("news", lends=True), Cluster("games")), (SourceAccess("racks", ("news",)),))


def host(name: str, source: str, cluster: str, kind: SourceKind = SourceKind.PRIVATE) -> Host:
    slice_type = HostType("slice", Resources(1000, 1 << 30))
    return Host(name, source, kind, slice_type, HostState.READY, NOON - 600, NOON - 500, cluster=cluster)


def test_a_host_that_changed_hands_is_held_since_then_and_one_that_is_claimed_until_its_time() -> None:
    own = host("racks-1", "racks", "news")
    lent = after_step(taken_over(own, "shop", "needs it"), own, NOON - 60)
    claimed = after_step(claimed_back(lent, "news", NOON + 120, "needs it again"), lent, NOON)
    rented = host("cloud-1", "cloud", "shop", SourceKind.CLOUD)
    leases = leases_of((claimed, rented, own), SHARING, (), NOON)
    seen = [(one.host.cluster, one.host.id, one.lender, one.since, one.until) for one in leases]
    assert seen == [
        ("news", "racks-1", "", NOON - 600, None),
        ("shop", "cloud-1", "", NOON - 600, None),
        ("shop", "racks-1", "news", NOON - 60, NOON + 120),
    ]


def test_hours_end_a_lease_unless_the_host_has_to_leave_before() -> None:
    office = host("office-1", "office", "shop")
    loans = (("office", Loan((Window(7 * 60, 13 * 60),))),)
    hurried = replace(office, id="office-2", state=HostState.CORDONED, leave_by=NOON + 60)
    always = (("office", Loan((Window(0, 12 * 60), Window(12 * 60, 0)))),)
    assert [one.until for one in leases_of((office, hurried), SHARING, loans, NOON)] == [NOON + 3600, NOON + 60]
    assert [one.until for one in leases_of((office, hurried), SHARING, always, NOON)] == [None, NOON + 60]


def test_what_each_cluster_lends_and_borrows() -> None:
    lent = host("racks-2", "racks", "shop")
    hosts = (
        host("racks-1", "racks", "news"),
        lent,
        after_step(claimed_back(lent, "news", NOON + 120, ""), replace(lent, id="racks-3"), NOON),
        host("cloud-1", "cloud", "shop", SourceKind.CLOUD),
    )
    assert lendings_of((Cluster("news", lends=True), Cluster("games")), hosts, SHARING) == [
        Lending("news", True, owned=3, lent=2, borrowed=0, claimed=1),
        Lending("shop", False, owned=0, lent=0, borrowed=2, claimed=0),
    ]
