"""Which commands make HAProxy's servers what the endpoints say, and how services and instances are called there."""

from dataclasses import replace

import pytest

from dcp.drivers.balancers.haproxy.answers import Server
from dcp.drivers.balancers.haproxy.names import place_of, proxy_name, server_name, service_of
from dcp.drivers.balancers.haproxy.servers import decide_changes, decide_deletions, differences
from dcp.kernel.errors import Rejected
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import DEFAULT_WEIGHT, Endpoint

ONE = Endpoint("feed-1", "127.0.0.1", 20001)
TWO = Endpoint("feed-2", "127.0.0.1", 20002)
NAME_ONE, NAME_TWO = "feed-1:127.0.0.1:20001", "feed-2:127.0.0.1:20002"


def server(name: str, weight: int = DEFAULT_WEIGHT, *, disabled: bool = False, active: int = 0) -> Server:
    return Server(name, weight, disabled, active)


def test_nothing_is_done_where_all_is_as_it_should_be():
    present = (server(NAME_ONE), server(NAME_TWO, 0))
    endpoints = (ONE, replace(TWO, draining=True))
    assert decide_changes("shop:feed", present, endpoints) == ()
    assert differences(present, endpoints) == ()


def test_what_joins_comes_before_what_leaves():
    changes = decide_changes("shop:feed", (server(NAME_ONE),), (TWO,))
    assert [change.split()[:3] for change in changes] == [
        ["add", "server", f"shop:feed/{NAME_TWO}"],
        ["enable", "server", f"shop:feed/{NAME_TWO}"],
        ["disable", "server", f"shop:feed/{NAME_ONE}"],
    ]


def test_draining_is_a_weight_of_nothing_and_can_end():
    draining = replace(ONE, draining=True)
    (change,) = decide_changes("shop:feed", (server(NAME_ONE),), (draining,))
    assert change == f"set server shop:feed/{NAME_ONE} weight 0"
    (change,) = decide_changes("shop:feed", (server(NAME_ONE, 0),), (ONE,))
    assert change == f"set server shop:feed/{NAME_ONE} weight {DEFAULT_WEIGHT}"


def test_a_weight_is_changed_where_it_stands():
    (change,) = decide_changes("shop:feed", (server(NAME_ONE),), (replace(ONE, weight=32),))
    assert change == f"set server shop:feed/{NAME_ONE} weight 32"


def test_one_that_comes_back_to_drain_takes_nothing_in_between():
    changes = decide_changes("shop:feed", (server(NAME_ONE, disabled=True),), (replace(ONE, draining=True),))
    assert changes == (f"set server shop:feed/{NAME_ONE} weight 0", f"enable server shop:feed/{NAME_ONE}")


def test_only_disabled_servers_without_requests_are_deleted():
    present = (server(NAME_ONE, disabled=True), server(NAME_TWO, disabled=True, active=1), server("x:10.0.0.1:80"))
    assert decide_deletions("shop:feed", present, ()) == (f"del server shop:feed/{NAME_ONE}",)
    assert decide_deletions("shop:feed", present, (ONE,)) == ()


def test_differences_are_said_in_words():
    present = (server(NAME_ONE, 3), server("old:10.0.0.1:80"), server("gone:10.0.0.2:80", disabled=True))
    assert differences(present, (ONE, TWO)) == (
        f"{NAME_TWO} is missing",
        "old:10.0.0.1:80 is left",
        f"{NAME_ONE} weighs 3",
    )


@pytest.mark.parametrize("endpoint", [ONE, Endpoint("feed.v2_a", "::1", 80), Endpoint("i", "fe80::a:1", 65535)])
def test_the_place_of_a_server_is_read_from_its_name(endpoint: Endpoint):
    assert place_of(server_name(endpoint)) == (endpoint.address, endpoint.port)


def test_a_service_is_read_from_the_name_of_its_section():
    key = ServiceKey("shop.eu", "feed-api_2")
    assert proxy_name(key) == "shop.eu:feed-api_2"
    assert service_of(proxy_name(key)) == key


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("feed 1", "127.0.0.1", 80),
        Endpoint("feed;shutdown", "127.0.0.1", 80),
        Endpoint("", "127.0.0.1", 80),
        Endpoint("feed", "localhost", 80),
        Endpoint("feed", "fe80::1%eth0", 80),
    ],
)
def test_what_cannot_be_said_to_haproxy_is_refused(endpoint: Endpoint):
    with pytest.raises(Rejected):
        server_name(endpoint)


def test_a_service_name_with_a_line_break_is_refused():
    with pytest.raises(Rejected):
        proxy_name(ServiceKey("shop", "feed\nlisten"))
