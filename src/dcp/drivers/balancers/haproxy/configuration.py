"""What HAProxy is started with, as text: one common file, and one for each route with its present servers.

Pure, so that every choice stands in one place with its reason. The words are those of HAProxy 2.6.
"""

from collections.abc import Sequence
from itertools import pairwise

from dcp.drivers.balancers.haproxy.names import bind_text, proxy_name, server_name
from dcp.drivers.balancers.listening import address_text
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS
from dcp.orchestration.traffic.model import Endpoint, Route

LATENCIES = "dcp-latencies"
"""The table in which each service's requests are counted by latency band."""
BANDS = len(LATENCY_BOUNDS_MS) + 1
RUNTIME_SOCKET, MASTER_SOCKET = "runtime.sock", "master.sock"

_NEXT = "dcp-next"
_HANDED = "x-dcp-handed"
_FILES = 200_000  # 100,000 connections; without a bound HAProxy prepares for as many as the system allows
_SERVICES = 10_240
_NAME_BYTES = 512
# Idle connections to instances are kept, which servers that are added do not do by themselves, and are closed about a
# second later, before common servers do it.
_IDLE = "pool-max-conn -1 pool-purge-delay 250ms"
_TOOK = "set-var(txn.took) date(0,us),sub(txn.began) if { var(txn.began) -m found }"
_IDEMPOTENT = "GET HEAD OPTIONS TRACE PUT DELETE"  # RFC 9110, 9.2.2


def common(workers: int, hard_stop_after_s: float) -> str:
    """Return what all routes share. `workers` are threads."""
    return f"""# Written by dcp: changes are lost.
global
    nbthread {workers}
    hard-stop-after {max(1, round(hard_stop_after_s * 1000))}ms
    stats socket unix@{RUNTIME_SOCKET} mode 600 level admin expose-fd listeners
    # A second proxy could bind the same port otherwise, and silently take half of the requests.
    noreuseport
    fd-hard-limit {_FILES}

defaults
    mode http
    # A request may wait as long as its client does; 24 days are the longest that can be said.
    timeout client 24d
    timeout server 24d
    timeout http-keep-alive 1h
    timeout connect 1s
    # A process that is replaced says so with the next answer, instead of closing while a request is on its way.
    option idle-close-on-response
    # A client that goes away takes its request with it.
    option abortonclose
    option socket-stats
    # Each request goes where the fewest are under way for its weight: a new instance takes all until it has caught up.
    # `random` would heed weights also where nothing is under way, but forgets servers that were added (2.6).
    balance leastconn
    retries 5
    option redispatch 1
    retry-on conn-failure empty-response
    # Notices a host that is gone while a request waits for it: no other limit ends such a request.
    option srvtcpka
    srvtcpka-idle 10s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3

backend {LATENCIES}
    stick-table type string len {_NAME_BYTES} size {_SERVICES} nopurge store gpc({BANDS})

# What a replaced process does with requests that still come: it hands them to whoever listens there now.
backend {_NEXT}
    retries 0
    server next 0.0.0.0:0
"""


def section(route: Route, endpoints: Sequence[Endpoint], secret: str) -> str:
    """Return one route with its servers. Latency is the time from the request's headers to the answer's.

    `secret` marks requests that a replaced process hands over, so that their client is still known.
    """
    name = proxy_name(route.service)
    servers = {server_name(endpoint): server_words(endpoint) for endpoint in endpoints}
    address = bind_text(route.listen_address, route.listen_port)
    lines = [
        f"listen {name}",
        f"bind {address} name {socket_name(route)}",
        # Sent again only where that is safe; a request that never reached an instance always is.
        f"http-request disable-l7-retry unless {{ method {_IDEMPOTENT} }}",
        f"http-request set-var(txn.handed) bool(true) if {{ req.hdr({_HANDED}) -m str {secret} }}",
        f"http-request del-header {_HANDED}",
        "http-request add-header X-Forwarded-For %[src] unless { var(txn.handed) -m found }",
        "http-request set-header X-Forwarded-Proto http",
        f"http-request set-header {_HANDED} {secret} if {{ stopping }}",
        "http-request set-header X-Request-Id %[uuid()] unless { req.hdr(x-request-id) -m found }",
        f"http-request track-sc0 str({name}) table {LATENCIES} unless {{ stopping }}",
        "http-request set-var(txn.began) date(0,us) unless { stopping }",
        f"http-response {_TOOK}",
        # Our own answers: 503 and 502 are failures, but 400 means that the client went away.
        f"http-after-response {_TOOK} {{ status ge 500 }}",
        *_bands(),
        f"use_backend {_NEXT} if {{ stopping }}",
        *(f"server {name} {words}" for name, words in servers.items()),
    ]
    return "\n    ".join(lines) + "\n"


def server_words(endpoint: Endpoint) -> str:
    """Return address and settings of one server, for the file and for the runtime API alike."""
    return f"{bind_text(endpoint.address, endpoint.port)} weight {weight_of(endpoint)} {_IDLE}"


def weight_of(endpoint: Endpoint) -> int:
    """Return HAProxy's weight. 0 is what it calls draining: requests under way finish, new ones go elsewhere."""
    return 0 if endpoint.draining else endpoint.weight


def socket_name(route: Route) -> str:
    """Return how the route's listening socket is called, by which the driver sees what is bound."""
    return address_text(route.listen_address, route.listen_port)


def _bands() -> list[str]:
    """Return a rule a band; each request is counted in exactly one."""
    bounds_us = [bound_ms * 1000 for bound_ms in LATENCY_BOUNDS_MS]
    ranges = [f"{low + 1}:{high}" for low, high in pairwise(bounds_us)]
    tests = [f"le {bounds_us[0]}", *ranges, f"gt {bounds_us[-1]}"]
    count = "http-after-response set-var(txn.counted) sc_inc_gpc({},0) if {{ var(txn.took) -m int {} }}"
    return [count.format(place, test) for place, test in enumerate(tests)]
