"""The commands that make the servers of one service what its endpoints say. Pure.

What joins comes first, so that there is never nobody to take a request. What leaves is disabled, from which moment no
request can go there; it is deleted once it has no connection any more, at this change or at a later one.
"""

from collections.abc import Mapping, Sequence

from dcp.drivers.balancers.haproxy.answers import Server
from dcp.drivers.balancers.haproxy.configuration import server_words, weight_of
from dcp.drivers.balancers.haproxy.names import server_name
from dcp.orchestration.traffic.model import Endpoint


def decide_changes(proxy: str, present: Sequence[Server], endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """Return the commands that add, weigh, drain and disable; empty if all is as it should be."""
    known = {server.name: server for server in present}
    wanted = {server_name(endpoint): endpoint for endpoint in endpoints}
    joining: list[str] = []
    leaving: list[str] = []
    for name, endpoint in wanted.items():
        server, weight = known.get(name), weight_of(endpoint)
        path = f"{proxy}/{name}"
        if server is None:
            joining += [f"add server {path} {server_words(endpoint)}", f"enable server {path}"]
            continue
        if server.weight != weight:
            (joining if weight else leaving).append(f"set server {path} weight {weight}")
        if server.disabled:
            # After its weight is set: a server that drains must not take a request in between.
            (joining if weight else leaving).append(f"enable server {path}")
    gone = [server for server in present if server.name not in wanted and not server.disabled]
    leaving += [f"disable server {proxy}/{server.name}" for server in gone]
    return (*joining, *leaving)


def decide_deletions(proxy: str, present: Sequence[Server], endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """Return the commands that delete what is disabled. HAProxy refuses while connections are left, idle ones too."""
    wanted = {server_name(endpoint) for endpoint in endpoints}
    idle = [s for s in present if s.disabled and s.name not in wanted and not s.active_requests]
    return tuple(f"del server {proxy}/{server.name}" for server in idle)


def differences(present: Sequence[Server], endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """Return what of the proxy's servers is not as the endpoints say, in words."""
    found: Mapping[str, int] = {server.name: server.weight for server in present if not server.disabled}
    wanted = {server_name(endpoint): weight_of(endpoint) for endpoint in endpoints}
    both = sorted(wanted.keys() & found.keys())
    return (
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name} is left" for name in sorted(found.keys() - wanted.keys())),
        *(f"{name} weighs {found[name]}" for name in both if found[name] != wanted[name]),
    )
