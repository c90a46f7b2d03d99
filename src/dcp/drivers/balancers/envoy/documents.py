"""What Envoy is told over xDS, as values: a listener a route, a cluster and its endpoints a service.

Pure, so that every choice stands in one place with its reason. The fields are Envoy's v3 API.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from dcp.drivers.balancers.envoy.names import encode
from dcp.drivers.balancers.listening import address_text
from dcp.kernel.errors import Rejected
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint, Route

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain and its key, as PEM text."""

    chain: str
    key: str = field(repr=False)


ALL_MS = 1_000_000_000
"""A bound that no request reaches, so that the last bucket counts all of them."""
TYPE = "type.googleapis.com/envoy."
AGGREGATED: Document = {"ads": {}, "resource_api_version": "V3"}
_UNBOUNDED = 2**32 - 1
_CONNECT_S = 1
_UPSTREAM_IDLE_S = 1  # well below the two to five seconds after which common servers close an idle connection
_BACKLOG = 4096
_IDEMPOTENT = "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"  # RFC 9110, 9.2.2
_UNTOUCHED = "connect-failure,refused-stream,reset-before-request"
# A request that never reached an instance can be sent to another one as often as needed. One that ended its instance
# (a crash, or an idle connection closed at that moment) may be sent again if it is idempotent, but not often: a request
# that kills what answers it must not go round.
_RETRIES_UNTOUCHED, _RETRIES_IDEMPOTENT = 10, 5


def listener(route: Route, certificate: Certificate | None = None) -> Document:
    """Return one listener, named by its address: routes that swap ports then never claim the same one twice."""
    name = encode(route.service)
    filters = chain(connection_manager(name, [*_routes(name)]))
    _check_address(route.listen_address, f"route of {route.service}")
    return {
        "@type": f"{TYPE}config.listener.v3.Listener",
        "name": address_text(route.listen_address, route.listen_port),
        "stat_prefix": name,
        "address": socket_address(route.listen_address, route.listen_port),
        # With SO_REUSEPORT a second proxy could bind the same port and silently take half of the requests.
        "enable_reuse_port": False,
        "tcp_backlog_size": _BACKLOG,
        "filter_chains": [filters | ({"transport_socket": server_tls(certificate)} if certificate else {})],
    }


def cluster(service: ServiceKey) -> Document:
    """Return one cluster. Nothing in it may refuse a request because it has to wait."""
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {
        "@type": f"{TYPE}config.cluster.v3.Cluster",
        "name": encode(service),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": AGGREGATED},
        "connect_timeout": f"{_CONNECT_S}s",
        "load_balancing_policy": {"policies": [_least_request()]},
        "common_lb_config": {
            # 0: never send to draining endpoints, not even when there are no others.
            "healthy_panic_threshold": {"value": 0},
            # Nothing is held back to be merged with later changes: what is acknowledged must be in force.
            "update_merge_window": "0s",
        },
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT"} | dict.fromkeys(limits, _UNBOUNDED)]},
        "outlier_detection": _outliers(),
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _upstream()},
        # Notices a host that is gone while a request waits for it: no other limit ends such a request.
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 5}
        },
    }


def assignment(service: ServiceKey, endpoints: Sequence[Endpoint]) -> Document:
    """Return the endpoints of one service. Rejected: an address is not an IP address.

    Where all weigh the same, no weight is named: Envoy then looks for the fewest requests under way among all of them.
    """
    weighted = len({endpoint.weight for endpoint in endpoints}) > 1
    return {
        "@type": f"{TYPE}config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": encode(service),
        "endpoints": [{"lb_endpoints": [_endpoint(endpoint, weighted) for endpoint in endpoints]}],
    }


def server_tls(certificate: Certificate, *, clients: Document | None = None) -> Document:
    """Return TLS for connections that come in; `clients`, where given, says whose certificates are let in."""
    common: Document = {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": certificate.chain},
                "private_key": {"inline_string": certificate.key},
            }
        ],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["http/1.1"],
    }
    if clients is not None:
        common["validation_context"] = clients
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": clients is not None,
        },
    }


def connection_manager(name: str, routes: list[Document]) -> Document:
    return {
        "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "http_protocol_options": {"accept_http_10": True},
        # A request may wait as long as its client does.
        "stream_idle_timeout": "0s",
        # Nobody is internal: a client's x-envoy-* headers could set time-outs and retries.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}]},
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{TYPE}extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }


def _routes(name: str) -> tuple[Document, Document]:
    idempotent = {"name": ":method", "string_match": {"safe_regex": {"regex": _IDEMPOTENT}}}
    return (
        {
            "match": {"prefix": "/", "headers": [idempotent]},
            "route": _forward(name, f"{_UNTOUCHED},reset", _RETRIES_IDEMPOTENT),
        },
        {"match": {"prefix": "/"}, "route": _forward(name, _UNTOUCHED, _RETRIES_UNTOUCHED)},
    )


def _forward(name: str, retry_on: str, retries: int) -> Document:
    elsewhere = "envoy.retry_host_predicates.previous_hosts"
    return {
        "cluster": name,
        "timeout": "0s",
        "retry_policy": {
            "retry_on": retry_on,
            "num_retries": retries,
            "retry_host_predicate": [
                {
                    "name": elsewhere,
                    "typed_config": {"@type": f"{TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 5,
            "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
        },
    }


def _least_request() -> Document:
    """Every request goes to an endpoint with the fewest under way: a new one takes all until it has caught up."""
    return {
        "typed_extension_config": {
            "name": "envoy.load_balancing_policies.least_request",
            "typed_config": {
                "@type": f"{TYPE}extensions.load_balancing_policies.least_request.v3.LeastRequest",
                "selection_method": "FULL_SCAN",
                # Only where weights differ: shares are then exactly the weights, whatever is under way.
                "active_request_bias": {"default_value": 0.0, "runtime_key": "dcp.active_request_bias"},
            },
        }
    }


def _outliers() -> Document:
    """Leave an endpoint that cannot be reached alone for a second; with none under way it would attract every request.

    Only failures to connect count, and half of the endpoints at most are left out: answers are the controller's matter.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "0.5s",
        "base_ejection_time": "1s",
        "max_ejection_time": "5s",
        "max_ejection_percent": 50,
    }


def _upstream() -> Document:
    return {
        "@type": f"{TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{_UPSTREAM_IDLE_S}s"},
    }


def _endpoint(endpoint: Endpoint, weighted: bool) -> Document:
    _check_address(endpoint.address, f"endpoint {endpoint.instance_id}")
    return {
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
        "endpoint": {"address": socket_address(endpoint.address, endpoint.port)},
        **({"load_balancing_weight": endpoint.weight} if weighted else {}),
    }


def _check_address(address: str, subject: str) -> None:
    try:
        ip_address(address)
    except ValueError as error:
        raise Rejected(f"{subject}: {address!r} is not an IP address", hint="resolve names before") from error


def chain(connection_manager: Document) -> Document:
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}]}


def socket_address(address: str, port: int) -> Document:
    return {"socket_address": {"address": address, "port_value": port}}
