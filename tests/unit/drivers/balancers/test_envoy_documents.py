"""What Envoy is told and what it answers, without Envoy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp.drivers.balancers.envoy import documents
from dcp.drivers.balancers.envoy.counters import read_endpoints, read_refusals, read_traffic
from dcp.drivers.balancers.envoy.names import decode, encode
from dcp.drivers.balancers.listening import check_distinct
from dcp.kernel.errors import Rejected
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, EndpointStatus, Route, Traffic

FEED = ServiceKey("shop", "feed")
NAMES = st.text(min_size=1).filter(lambda text: "/" not in text and text.isprintable())


@given(NAMES, NAMES)
def test_a_name_is_reversible_and_harmless(application: str, name: str) -> None:
    encoded = encode(ServiceKey(application, name))
    assert decode(encoded) == ServiceKey(application, name)
    assert not set(encoded) & set("./: \"'\\^$*+?()[]{}|")


def test_names_that_differ_stay_different() -> None:
    keys = [ServiceKey("a", "b"), ServiceKey("a.b", "c"), ServiceKey("a", "b.c"), ServiceKey("a-b", "c"), FEED]
    assert len({encode(key) for key in keys}) == len(keys)


def test_only_addresses_are_accepted() -> None:
    with pytest.raises(Rejected, match="localhost"):
        documents.listener(Route(FEED, 8080, "localhost"))
    with pytest.raises(Rejected, match=r"feed-1: 'db\.example'"):
        documents.assignment(FEED, (Endpoint("feed-1", "db.example", 80),))


def test_two_routes_cannot_share_an_address_or_a_service() -> None:
    check_distinct((Route(FEED, 1), Route(ServiceKey("shop", "user"), 2)))
    check_distinct((Route(FEED, 1), Route(ServiceKey("shop", "user"), 1, "127.0.0.2")))
    with pytest.raises(Rejected, match=r"127\.0\.0\.1:1$"):
        check_distinct((Route(FEED, 1), Route(ServiceKey("shop", "user"), 1)))
    with pytest.raises(Rejected, match="shop/feed"):
        check_distinct((Route(FEED, 1), Route(FEED, 2)))


def test_counters_are_read_by_service() -> None:
    words = {"total": 9, "completed": 7, "5xx": 2, "tx_reset": 1, "active": 1}
    bounds = (*LATENCY_BOUNDS_MS, documents.ALL_MS)
    buckets = [{"upper_bound": bound, "interval": 0, "cumulative": place} for place, bound in enumerate(bounds)]
    stats = {
        "stats": [
            *({"name": f"http.shop%2Ffeed.downstream_rq_{word}", "value": count} for word, count in words.items()),
            {"histograms": [{"name": "http.shop%2Ffeed.downstream_rq_time", "buckets": buckets}]},
        ]
    }
    expected = Traffic(arrived=9, answered=4, failed=3, waiting=1, by_latency=tuple(range(len(bounds))))
    assert read_traffic(stats) == {FEED: expected}


def test_without_histograms_nothing_has_completed() -> None:
    words = ("total", "completed", "5xx", "tx_reset", "active")
    stats = {"stats": [{"name": f"http.shop%2Ffeed.downstream_rq_{word}", "value": 0} for word in words]}
    assert read_traffic(stats)[FEED].by_latency == (0,) * (len(LATENCY_BOUNDS_MS) + 1)


def test_a_request_that_waits_for_its_connection_is_under_way() -> None:
    host = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 81}},
        "stats": [
            {"name": "rq_total", "value": "7"},
            {"type": "GAUGE", "name": "rq_active", "value": "2"},
            {"type": "GAUGE", "name": "rq_pending_active", "value": "3"},
        ],
        "health_status": {"eds_health_status": "DRAINING"},
    }
    answer = {"cluster_statuses": [{"name": "other"}, {"name": "shop%2Ffeed", "host_statuses": [host]}]}
    assert read_endpoints(answer, "shop%2Ffeed") == (EndpointStatus("127.0.0.1", 81, True, 5),)
    assert read_endpoints(answer, "other") == read_endpoints({}, "none") == ()


def test_refusals_are_read_with_and_without_their_name() -> None:
    state = {"failed_configuration": {"name": "127.0.0.1:81"}, "details": "cannot bind"}
    answer = {"configs": [{"name": "127.0.0.1:80"}, {"error_state": state}, {"name": "a", "error_state": state}]}
    assert read_refusals(answer) == {"127.0.0.1:81": "cannot bind", "a": "cannot bind"}
