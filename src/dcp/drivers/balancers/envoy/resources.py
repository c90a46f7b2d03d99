"""What one proxy should have: the state of the edge, seen from where that proxy listens. Pure."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from dcp.drivers.balancers.envoy import documents
from dcp.drivers.balancers.envoy.documents import Certificate, Document
from dcp.drivers.balancers.envoy.names import encode
from dcp.drivers.balancers.envoy.session import Resource, Wanted
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.edge import EdgeState, Told
from dcp.orchestration.traffic.model import Route

_NOBODY = Told(0, 0, ())


def wanted(state: EdgeState, listen_address: str | None, certificates: Mapping[int, Certificate]) -> Wanted:
    """Return the resources of a proxy. `listen_address` replaces the routes' own; `certificates` by listen port."""
    routes = () if state.stopped else routes_at(state.routes, listen_address)
    services = {route.service for route in state.routes}
    listeners = [_listener(route, certificates.get(route.listen_port)) for route in routes]
    return Wanted(
        revision=state.revision,
        clusters={encode(service): _cluster(service) for service in services},
        endpoints={
            encode(service): _endpoints(service, state.endpoints.get(service, _NOBODY))
            for service in services | state.endpoints.keys()
        },
        listeners={listener.document["name"]: listener for listener in listeners},
    )


def routes_at(routes: tuple[Route, ...], listen_address: str | None) -> tuple[Route, ...]:
    """Return the routes as a proxy with a listen address of its own has them."""
    if listen_address is None:
        return routes
    return tuple(replace(route, listen_address=listen_address) for route in routes)


def revision_of(version: str) -> int:
    """Return the revision in the version of a service's endpoints; -1 if it is none."""
    revision, _, _ = version.partition("-")
    return int(revision) if revision.isdigit() else -1


# Most of a state is what it was before, and is looked at again with every change.
_kept = lru_cache(maxsize=16_384)


@_kept
def _listener(route: Route, certificate: Certificate | None) -> Resource:
    return _by_content(documents.listener(route, certificate))


@_kept
def _cluster(service: ServiceKey) -> Resource:
    return _by_content(documents.cluster(service))


@_kept
def _endpoints(service: ServiceKey, told: Told) -> Resource:
    document = documents.assignment(service, told.endpoints)
    return Resource(f"{told.revision}-{_digest(document)}", document)


def _by_content(document: Document) -> Resource:
    return Resource(_digest(document), document)


def _digest(document: Document) -> str:
    return hashlib.blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=8).hexdigest()


View = Callable[[EdgeState, str], Wanted]
"""What a node should have in a state."""
