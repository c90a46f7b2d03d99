"""What Envoy is started with: where its controllers are, how it is asked for its state, and nothing that is served.

Everything else comes over xDS. A proxy that dcp starts itself talks to its controller through a socket file and is
asked over loopback; one that runs elsewhere does both over mutual TLS.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dcp.drivers.balancers.envoy.certificates import CONTROLLER, Identity
from dcp.drivers.balancers.envoy.documents import (
    AGGREGATED,
    ALL_MS,
    TYPE,
    Certificate,
    Document,
    chain,
    connection_manager,
    server_tls,
    socket_address,
)
from dcp.drivers.balancers.envoy.options import RemoteProxy
from dcp.orchestration.capacity.model import LATENCY_BOUNDS_MS

OWN = "dcp-"
"""Names of listeners and clusters that are no service's begin so."""
GATE = "dcp-gate"
"""The listener that a request is sent through to see that every worker has caught up."""
XDS = "dcp-controllers"
_STATUS, _ADMIN = "dcp-status", "dcp-admin"
_FLUSH_S = 0.25  # histograms are merged this often: a sample of a second must not lag by the default five
_READABLE = ("/ready", "/stats", "/clusters", "/listeners", "/config_dump", "/server_info")
_KEEPALIVE = {"interval": "5s", "timeout": "5s"}


def embedded(node: str, socket: Path, admin_port: int, workers: int) -> Document:
    """Return what the proxy beside the controller is started with. Admin on loopback (port 0: any)."""
    controllers = {"pipe": {"path": str(socket)}}
    return _common(node, workers) | {
        "admin": {"address": socket_address("127.0.0.1", admin_port), "allow_paths": _readable()},
        "static_resources": {
            "listeners": [_gate(socket_address("127.0.0.1", 0))],
            "clusters": [_controllers([controllers])],
        },
    }


def remote(proxy: RemoteProxy, controllers: Sequence[tuple[str, int]], identity: Identity) -> Document:
    """Return what a proxy elsewhere is started with; it holds the proxy's private key.

    Its admin interface is an abstract socket of its machine, reached from outside through the status listener only,
    which lets in nobody but controllers.
    """
    mine = Certificate(identity.chain, identity.key)
    trust = {
        "trusted_ca": {"inline_string": identity.authority},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": CONTROLLER}}],
    }
    tls = server_tls(mine, clients=trust)
    # Another edge may have a proxy of that name on this host.
    own = hashlib.blake2b(identity.chain.encode(), digest_size=6).hexdigest()
    admin = {"pipe": {"path": f"@dcp-proxy-{proxy.node}-{own}"}}
    forward = [
        {"match": {"prefix": path}, "route": {"cluster": _ADMIN, "timeout": "10s", "host_rewrite_literal": "admin"}}
        for path in _READABLE
    ]
    status = {
        "name": _STATUS,
        "address": socket_address(proxy.status_address, proxy.status_port),
        "enable_reuse_port": False,
        "filter_chains": [chain(connection_manager(_STATUS, forward)) | {"transport_socket": tls}],
    }
    gate = _gate(socket_address(proxy.status_address, proxy.status_port + 1))
    gate["filter_chains"][0]["transport_socket"] = tls
    return _common(proxy.node, proxy.workers) | {
        "admin": {"address": admin, "allow_paths": _readable()},
        "static_resources": {
            "listeners": [status, gate],
            "clusters": [
                _controllers([socket_address(host, port) for host, port in controllers])
                | {"transport_socket": _client_tls(mine, trust)},
                _static(_ADMIN, [admin]),
            ],
        },
    }


def _common(node: str, workers: int) -> Document:
    return {
        "node": {"id": node, "cluster": "dcp"},
        "stats_flush_interval": f"{_FLUSH_S}s",
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": ".downstream_rq_time"}, "buckets": [*LATENCY_BOUNDS_MS, ALL_MS]}
            ]
        },
        "dynamic_resources": {
            "lds_config": AGGREGATED,
            "cds_config": AGGREGATED,
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": XDS,
                            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                        }
                    }
                ],
            },
        },
        # Whoever has as many connections through the gate as there are workers has all of them, one at each worker.
        "layered_runtime": {
            "layers": [
                {
                    "name": "dcp",
                    "static_layer": {
                        f"envoy.resource_limits.listener.{GATE}.connection_limit": workers,
                    },
                }
            ]
        },
    }


def _controllers(addresses: list[Document]) -> Document:
    options = {
        "@type": f"{TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}},
    }
    return _static(XDS, addresses) | {
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _static(name: str, addresses: list[Document]) -> Document:
    named = any("socket_address" in address for address in addresses)
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {
        "name": name,
        "type": "STRICT_DNS" if named else "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _client_tls(mine: Certificate, trust: Document) -> Document:
    common = server_tls(mine, clients=trust)["typed_config"]["common_tls_context"] | {"alpn_protocols": ["h2"]}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common,
            "sni": CONTROLLER,
        },
    }


def _gate(address: Document) -> Document:
    answer = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    return {
        "name": GATE,
        "address": address,
        "enable_reuse_port": False,
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [chain(connection_manager(GATE, answer))],
    }


def _readable() -> list[Document]:
    return [{"prefix": path} for path in _READABLE]
