"""A conversation with a proxy, without a proxy: what it is sent, in which order, and what its answers mean."""

from dcp.drivers.balancers.envoy.resources import revision_of, wanted
from dcp.drivers.balancers.envoy.session import CLUSTERS, ENDPOINTS, LISTENERS, Request, Response, Session, Wanted
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeState, Told
from dcp.orchestration.traffic.model import Endpoint, Route

FEED, USER = ServiceKey("shop", "feed"), ServiceKey("shop", "user")
FEED_NAME, USER_NAME = "shop%2Ffeed", "shop%2Fuser"
NOTHING = wanted(EdgeState(), None, {})


def state(*routes: Route, revision: int = 1, port: int = 81) -> Wanted:
    told = {route.service: Told(revision, 1, (Endpoint("feed-1", "127.0.0.1", port),)) for route in routes}
    return wanted(EdgeState(revision, False, routes, told), None, {})


ONE = state(Route(FEED, 8080))


class Proxy:
    """Answers as Envoy does, unless told otherwise."""

    def __init__(self) -> None:
        self.session = Session()
        self.said: list[Response] = []

    def subscribe(self) -> None:
        for type_url in (CLUSTERS, LISTENERS):
            self.session.heard(Request(type_url))

    def take(self, now: Wanted) -> list[Response]:
        responses = list(self.session.next(now))
        self.said += responses
        return responses

    def accept(self, *responses: Response, error: str = "") -> None:
        for response in responses:
            self.session.heard(Request(response.type_url, nonce=response.nonce, error=error))
            if response.type_url == CLUSTERS and response.resources and not error:
                self.session.heard(Request(ENDPOINTS, subscribe=tuple(response.resources)))

    def settle(self, now: Wanted) -> list[str]:
        """Accept everything until nothing is sent; return the types in the order in which they came."""
        order = []
        while responses := self.take(now):
            order += [response.type_url for response in responses]
            self.accept(*responses)
        assert self.session.settled(now)
        return order


def settled(now: Wanted) -> Proxy:
    proxy = Proxy()
    proxy.subscribe()
    proxy.settle(now)
    return proxy


def test_a_listener_comes_after_its_cluster_and_its_endpoints() -> None:
    proxy = Proxy()
    proxy.subscribe()
    assert proxy.settle(ONE) == [CLUSTERS, ENDPOINTS, LISTENERS]


def test_a_proxy_that_has_to_have_nothing_is_told_so_once() -> None:
    proxy = Proxy()
    proxy.subscribe()
    first = proxy.take(NOTHING)
    assert {(one.type_url, *one.resources, *one.removed) for one in first} == {(CLUSTERS,), (LISTENERS,)}
    proxy.accept(*first)
    assert proxy.take(NOTHING) == []


def test_a_cluster_goes_after_its_listener() -> None:
    proxy = settled(state(Route(FEED, 8080), Route(USER, 8081)))
    (listeners,) = proxy.take(ONE)
    assert (listeners.type_url, listeners.removed) == (LISTENERS, ("127.0.0.1:8081",))
    assert proxy.take(ONE) == []
    proxy.accept(listeners)
    (clusters,) = proxy.take(ONE)
    assert (clusters.type_url, clusters.removed) == (CLUSTERS, (USER_NAME,))


def test_a_change_of_endpoints_sends_these_only_and_counts_when_it_is_acknowledged() -> None:
    proxy = settled(ONE)
    later = state(Route(FEED, 8080), revision=7, port=82)
    (sent,) = proxy.take(later)
    assert (sent.type_url, set(sent.resources), sent.revision) == (ENDPOINTS, {FEED_NAME}, 7)
    assert revision_of(proxy.session.endpoints_version(FEED_NAME)) == 1
    assert not proxy.session.settled(later)
    proxy.session.heard(Request(ENDPOINTS, nonce="another"))
    assert revision_of(proxy.session.endpoints_version(FEED_NAME)) == 1
    proxy.accept(sent)
    assert revision_of(proxy.session.endpoints_version(FEED_NAME)) == 7
    assert proxy.session.settled(later)


def test_changes_while_one_is_under_way_are_sent_together_afterwards() -> None:
    proxy = settled(ONE)
    (sent,) = proxy.take(state(Route(FEED, 8080), revision=2))
    assert proxy.take(state(Route(FEED, 8080), revision=3)) == []
    last = state(Route(FEED, 8080), revision=4)
    proxy.accept(sent)
    assert [one.revision for one in proxy.take(last)] == [4]


def test_a_reconnected_proxy_gets_the_difference_only() -> None:
    now = state(Route(FEED, 8080), Route(USER, 8081))
    session = Session()
    has = {name: one.version for name, one in now.listeners.items()}
    session.heard(Request(LISTENERS, initial=has))
    session.heard(Request(CLUSTERS, initial={name: one.version for name, one in now.clusters.items()}))
    endpoints = {name: one.version for name, one in now.endpoints.items()}
    session.heard(Request(ENDPOINTS, subscribe=tuple(endpoints), initial=endpoints | {USER_NAME: "0-old"}))
    (only,) = session.next(now)
    assert (only.type_url, set(only.resources)) == (ENDPOINTS, {USER_NAME})


def test_a_refused_listener_is_named_the_others_count_and_it_is_sent_again_on_request() -> None:
    now = state(Route(FEED, 8080), Route(USER, 80801 % 65536))
    proxy = Proxy()
    proxy.subscribe()
    for _ in range(2):
        proxy.accept(*proxy.take(now))
    (listeners,) = proxy.take(now)
    words = "Error adding/updating listener(s) 127.0.0.1:8080: cannot bind '127.0.0.1:8080': Address already in use\n"
    proxy.accept(listeners, error=words)
    assert set(proxy.session.refusals()) == {"127.0.0.1:8080"}
    assert proxy.session.settled(now)
    assert proxy.take(now) == []
    proxy.session.retry()
    (again,) = proxy.take(now)
    assert set(again.resources) == {"127.0.0.1:8080"}
    assert proxy.session.said_before(Request(LISTENERS, error=words))
    proxy.accept(again)
    assert proxy.session.refusals() == {}


def test_refused_endpoints_do_not_count_as_acknowledged() -> None:
    proxy = settled(ONE)
    (sent,) = proxy.take(state(Route(FEED, 8080), revision=9, port=82))
    proxy.accept(sent, error="no words that name it")
    assert proxy.session.refusals() == {FEED_NAME: "no words that name it"}
    assert revision_of(proxy.session.endpoints_version(FEED_NAME)) == 1


def test_what_was_refused_as_a_whole_is_sent_one_by_one() -> None:
    routes = (Route(FEED, 8080), Route(USER, 8081))
    proxy = settled(state(*routes))
    later = state(*routes, revision=9, port=82)
    (both,) = proxy.take(later)
    assert set(both.resources) == {FEED_NAME, USER_NAME}
    proxy.accept(both, error="something in it is wrong")
    (first,) = proxy.take(later)
    proxy.accept(first, error="this one is wrong")
    (second,) = proxy.take(later)
    proxy.accept(second)
    assert {*first.resources, *second.resources} == {FEED_NAME, USER_NAME}
    assert set(proxy.session.refusals()) == set(first.resources)
    assert revision_of(proxy.session.endpoints_version(*second.resources)) == 9
    assert not proxy.session.up_to_date(later)


def test_what_is_subscribed_to_again_is_sent_again_also_when_it_is_under_way() -> None:
    proxy = settled(ONE)
    proxy.session.heard(Request(ENDPOINTS, subscribe=(FEED_NAME,)))
    (sent,) = proxy.take(ONE)
    proxy.session.heard(Request(ENDPOINTS, subscribe=(FEED_NAME,)))
    proxy.accept(sent)
    (again,) = proxy.take(ONE)
    assert set(again.resources) == {FEED_NAME}


def test_endpoints_of_a_service_that_nobody_knows_are_said_to_be_absent_once() -> None:
    proxy = settled(ONE)
    proxy.session.heard(Request(ENDPOINTS, subscribe=("gone",)))
    (sent,) = proxy.take(ONE)
    assert (sent.resources, sent.removed) == ({}, ("gone",))
    proxy.accept(sent)
    assert proxy.take(ONE) == []


def test_a_stopped_edge_takes_listeners_away_and_keeps_the_rest() -> None:
    proxy = settled(ONE)
    stopped = wanted(EdgeState(2, True, (Route(FEED, 8080),), {FEED: Told(1, 1, ())}), None, {})
    kinds = {response.type_url: response for response in proxy.take(stopped)}
    assert kinds[LISTENERS].removed == ("127.0.0.1:8080",)
    assert CLUSTERS not in kinds


def test_a_proxy_with_a_listen_address_of_its_own_has_its_listeners_there() -> None:
    here = wanted(EdgeState(1, False, (Route(FEED, 8080),)), "10.1.0.21", {})
    assert set(here.listeners) == {"10.1.0.21:8080"}
