"""Between our values and Envoy's protobuf messages: the only module that imports them."""

from typing import Any

# Every message inside a document is found by its name, so its module has to be loaded.
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.http.router.v3 import router_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2,
)
from envoy.extensions.load_balancing_policies.least_request.v3 import (  # type: ignore[import-untyped]
    least_request_pb2,
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # type: ignore[import-untyped]
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # type: ignore[import-untyped]
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2  # type: ignore[import-untyped]
from google.protobuf import any_pb2, json_format  # type: ignore[import-untyped]

from dcp.drivers.balancers.envoy.session import Request, Resource, Response

LOADED = (
    cluster_pb2,
    endpoint_pb2,
    listener_pb2,
    router_pb2,
    http_connection_manager_pb2,
    least_request_pb2,
    previous_hosts_pb2,
    tls_pb2,
    http_protocol_options_pb2,
)
_KEPT = 4096
_packed: dict[tuple[str, str, str], Any] = {}
"""By type, name and version, which stands for the content: what one proxy is sent goes to the next as well."""
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


def read_request(data: bytes) -> tuple[str, Request]:
    """Return the node that sent it (empty after the first of a stream) and what it said."""
    message = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
    return message.node.id, Request(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else "",
    )


def write_response(response: Response) -> bytes:
    """Return the bytes of a response."""
    message = discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=str(response.revision),
        type_url=response.type_url,
        nonce=response.nonce,
        removed_resources=response.removed,
        resources=[_resource(response.type_url, name, one) for name, one in response.resources.items()],
    )
    return bytes(message.SerializeToString())


def _resource(type_url: str, name: str, resource: Resource) -> Any:
    key = (type_url, name, resource.version)
    packed = _packed.get(key)
    if packed is None:
        packed = json_format.ParseDict(resource.document, any_pb2.Any())
        _packed[key] = packed
        while len(_packed) > _KEPT:
            del _packed[next(iter(_packed))]
    return discovery_pb2.Resource(name=name, version=resource.version, resource=packed)
