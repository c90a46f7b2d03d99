"""One proxy's conversation: what it has, what it was sent and has not acknowledged yet, and what it gets next.

Pure. The protocol is the incremental variant of xDS on one aggregated stream: a resource is sent when its version
differs from what the proxy has, one response of a type at a time, and removals are said by name, so that a controller
that knows nothing yet takes nothing away. Order keeps requests safe: clusters and their endpoints before the listener
that needs them; a cluster goes after its listener.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dcp.drivers.balancers.envoy.documents import TYPE, Document

CLUSTERS = f"{TYPE}config.cluster.v3.Cluster"
ENDPOINTS = f"{TYPE}config.endpoint.v3.ClusterLoadAssignment"
LISTENERS = f"{TYPE}config.listener.v3.Listener"
_ABSENT = "absent"
"""The version of a resource that the proxy asked for and was told that there is none."""


@dataclass(frozen=True, slots=True)
class Resource:
    version: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one proxy should have, each by its name, as of `revision`."""

    revision: int
    clusters: Mapping[str, Resource]
    endpoints: Mapping[str, Resource]
    listeners: Mapping[str, Resource]


@dataclass(frozen=True, slots=True)
class Request:
    """What a proxy said. `nonce` names the response that it answers, `error` why it refuses that; both may be empty."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What it is sent."""

    type_url: str
    nonce: str
    revision: int
    resources: Mapping[str, Resource]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The version that a proxy refused, in its words."""

    version: str
    words: str


@dataclass(slots=True)
class _Subscription:
    """One type of resource."""

    wildcard: bool
    answered: bool = False
    names: set[str] = field(default_factory=set)
    has: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    tried: dict[str, Refusal] = field(default_factory=dict)
    """What was refused, by itself or with others, and is sent once more, alone."""
    under_way: Response | None = None
    again: set[str] = field(default_factory=set)
    """Asked for while a response was under way: what that one brings does not count."""


class Session:
    """What is known of one proxy as long as its stream is open."""

    def __init__(self) -> None:
        self._types: dict[str, _Subscription] = {}
        self._count = 0

    def heard(self, request: Request) -> None:
        """Take in what the proxy said."""
        known = self._types.get(request.type_url)
        if known is None:
            named = set(request.subscribe) - {"*"}
            self._types[request.type_url] = _Subscription(
                wildcard=len(named) < len(request.subscribe) or not named,
                answered=bool(request.initial),
                names=named,
                has=dict(request.initial),
            )
            return
        if known.under_way is not None and request.nonce == known.under_way.nonce:
            self._conclude(known, known.under_way, request.error)
            known.under_way = None
            known.again.clear()
        for name in request.subscribe:
            known.names.add(name)
            known.has.pop(name, None)
            known.refused.pop(name, None)
            if known.under_way is not None:
                known.again.add(name)
        for name in request.unsubscribe:
            known.names.discard(name)
            known.has.pop(name, None)

    def next(self, wanted: Wanted) -> tuple[Response, ...]:
        """Return what to send now; each counts as sent."""
        return tuple(self._due(wanted))

    def retry(self) -> None:
        """Send again what was refused."""
        for known in self._types.values():
            known.tried |= known.refused
            known.refused.clear()

    def refusals(self) -> dict[str, str]:
        """Return the proxy's words by the name of what it refused."""
        return {name: refusal.words for known in self._types.values() for name, refusal in known.refused.items()}

    def refused_endpoints(self, name: str) -> Refusal | None:
        """Return which version of a service's endpoints the proxy refused last, if it has not had a later one."""
        known = self._types.get(ENDPOINTS)
        return known.refused.get(name) if known is not None else None

    def said_before(self, request: Request) -> bool:
        """Return whether the proxy refused the same in the same words before."""
        known = self._types.get(request.type_url)
        return known is not None and any(request.error == old.words for old in known.tried.values())

    def endpoints_version(self, name: str) -> str:
        """Return the version that was acknowledged last; empty before the first."""
        known = self._types.get(ENDPOINTS)
        return known.has.get(name, "") if known is not None else ""

    def settled(self, wanted: Wanted) -> bool:
        """Return whether the proxy has acknowledged or refused everything that it should have."""
        return (
            {CLUSTERS, LISTENERS} <= self._types.keys()
            and all(known.under_way is None for known in self._types.values())
            and not self._lacks(CLUSTERS, wanted.clusters)
            and not self._lacks(ENDPOINTS, {name: wanted.endpoints[name] for name in wanted.clusters})
            and not self._lacks(LISTENERS, wanted.listeners)
        )

    def up_to_date(self, wanted: Wanted) -> bool:
        """Return whether the proxy can be counted on: settled, and no endpoints refused."""
        known = self._types.get(ENDPOINTS)
        return self.settled(wanted) and not (known is not None and known.refused)

    def _conclude(self, known: _Subscription, response: Response, error: str) -> None:
        changed = [name for name in response.resources if name in known.has]
        _conclude(known, response, error)
        endpoints = self._types.get(ENDPOINTS)
        if response.type_url == CLUSTERS and endpoints is not None:
            # A cluster that was replaced waits for its endpoints again, and does not ask.
            for name in changed:
                endpoints.has.pop(name, None)
                endpoints.again.add(name)

    def _lacks(self, type_url: str, resources: Mapping[str, Resource]) -> bool:
        known = self._types.get(type_url)
        if known is None:
            return bool(resources)
        if type_url != ENDPOINTS and known.has.keys() - resources.keys():
            return True
        return any(not _has(known, name, resource) for name, resource in resources.items())

    def _due(self, wanted: Wanted) -> Iterator[Response]:
        listeners = self._types.get(LISTENERS)
        removable = listeners is None or not (listeners.under_way or listeners.has.keys() - wanted.listeners.keys())
        clusters = self._types.get(CLUSTERS)
        if clusters is not None:
            leaving = clusters.has.keys() - wanted.clusters.keys()
            # A listener that was changed may have been the last to need a cluster.
            settled = removable and not self._lacks(LISTENERS, wanted.listeners)
            yield from self._response(CLUSTERS, clusters, wanted, wanted.clusters, leaving if settled else set())
        endpoints = self._types.get(ENDPOINTS)
        if endpoints is not None:
            nowhere = endpoints.names - wanted.endpoints.keys()
            asked = {name: wanted.endpoints[name] for name in endpoints.names if name in wanted.endpoints}
            missing = {name for name in nowhere if name not in endpoints.has}
            yield from self._response(ENDPOINTS, endpoints, wanted, asked, missing)
        ready = not self._lacks_ready(wanted)
        if listeners is not None and ready:
            leaving = listeners.has.keys() - wanted.listeners.keys()
            yield from self._response(LISTENERS, listeners, wanted, wanted.listeners, leaving)

    def _lacks_ready(self, wanted: Wanted) -> bool:
        """Return whether a cluster of a listener is not there yet, or its endpoints are not."""
        clusters = self._types.get(CLUSTERS)
        if clusters is None or any(not _has(clusters, name, one) for name, one in wanted.clusters.items()):
            return True
        endpoints = self._types.get(ENDPOINTS)
        known = set() if endpoints is None else endpoints.has.keys() | endpoints.refused.keys()
        return bool(wanted.clusters.keys() - clusters.refused.keys() - known)

    def _response(
        self,
        type_url: str,
        known: _Subscription,
        wanted: Wanted,
        resources: Mapping[str, Resource],
        removed: set[str],
    ) -> Iterator[Response]:
        if known.under_way is not None:
            return
        changed = _at_once(known, {name: one for name, one in resources.items() if not _has(known, name, one)})
        if not (changed or removed) and (known.answered or type_url == ENDPOINTS):
            return
        self._count += 1
        known.answered = True
        known.under_way = Response(type_url, str(self._count), wanted.revision, changed, tuple(sorted(removed)))
        yield known.under_way


def _has(known: _Subscription, name: str, resource: Resource) -> bool:
    """Return whether the proxy has this version or has refused it."""
    refused = known.refused.get(name)
    return known.has.get(name) == resource.version or (refused is not None and refused.version == resource.version)


def _at_once(known: _Subscription, changed: dict[str, Resource]) -> dict[str, Resource]:
    """Return what goes into one response: everything new, and only then what was refused before, one at a time."""
    alone = [name for name, one in changed.items() if name in known.tried and known.tried[name].version == one.version]
    fresh = {name: one for name, one in changed.items() if name not in alone}
    return fresh or {name: changed[name] for name in alone[:1]}


def _conclude(known: _Subscription, response: Response, error: str) -> None:
    named = {name for name in response.resources if error and re.search(rf"(^|[\s,'(]){re.escape(name)}\b", error)}
    if error and not named and len(response.resources) > 1:
        # Refused as a whole: sent one by one, so that one does not keep the others back.
        known.tried |= {name: Refusal(one.version, error) for name, one in response.resources.items()}
        return
    refused = (named or set(response.resources)) if error else set()
    for name, resource in response.resources.items():
        if name in known.again or not (known.wildcard or name in known.names):
            continue
        if name in refused:
            known.refused[name] = Refusal(resource.version, error)
        else:
            # Envoy applies what it can of a response that it refuses.
            known.has[name] = resource.version
            known.refused.pop(name, None)
            known.tried.pop(name, None)
    for name in response.removed:
        if response.type_url == ENDPOINTS:
            known.has[name] = _ABSENT
        else:
            known.has.pop(name, None)
            known.refused.pop(name, None)
