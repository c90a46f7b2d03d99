"""Which host a server is, and in what state: read from what Nova shows, with no memory of our own.

Servers of one call are called alike, with a number each; their metadata name the hosts of the call in that order.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dcp.drivers.clouds.openstack.errors import fault
from dcp.drivers.clouds.template import Template
from dcp.hosts.model import SourceHost, SourceHostState
from dcp.kernel.errors import DriverError

OWNER, SOURCE, CALL, TYPE, HOSTS = "dcp_owner", "dcp_source", "dcp_call", "dcp_type", "dcp_hosts"
VALUE_LIMIT = 255
"""Characters of one metadata value."""

_OFF = frozenset({"SHUTOFF", "SHELVED", "SHELVED_OFFLOADED", "SUSPENDED", "PAUSED", "STOPPED"})
_SWITCHING_OFF = frozenset({"powering-off", "shelving", "shelving_image_pending_upload", "shelving_offloading"})
_SWITCHING_ON = frozenset({"powering-on", "unshelving", "spawning"})
_GONE = frozenset({"DELETED", "SOFT_DELETED"})


def metadata(template: Template, call: str, type_name: str, host_ids: Iterable[str]) -> dict[str, str]:
    """Return what the servers of a call carry."""
    found = {OWNER: template.owner, SOURCE: template.name, CALL: call, TYPE: type_name}
    lines: list[str] = [""]
    for host_id in host_ids:
        if len(lines[-1]) + len(host_id) + 1 > VALUE_LIMIT:
            lines.append("")
        lines[-1] = f"{lines[-1]},{host_id}" if lines[-1] else host_id
    return {**found, **{f"{HOSTS}_{number}": line for number, line in enumerate(lines, 1)}}


def is_ours(server: Mapping[str, Any], template: Template) -> bool:
    """Return whether a server carries our owner and source."""
    told = server.get("metadata") or {}
    return told.get(OWNER) == template.owner and told.get(SOURCE) == template.name


def host_of(server: Mapping[str, Any]) -> str:
    """Return the host that a server is; its own id where that cannot be read: then nobody knows it, and it goes."""
    told = server.get("metadata") or {}
    lines = [told[key] for number in range(1, len(told) + 1) if (key := f"{HOSTS}_{number}") in told]
    hosts = ",".join(lines).split(",")
    numbered = re.fullmatch(re.escape(told.get(CALL, "")) + r"(?:-(\d+))?", server.get("name", ""))
    position = int(numbered[1] or 1) - 1 if numbered else len(hosts)
    return hosts[position] if 0 <= position < len(hosts) else str(server["id"])


def refusal_of(server: Mapping[str, Any], asked: str) -> DriverError | None:
    """Return why a server will never run; None: it may, or did."""
    if server.get("status") != "ERROR" or server.get("OS-SRV-USG:launched_at"):
        return None
    return fault(server, asked=asked)


def is_placed(server: Mapping[str, Any]) -> bool:
    """Return whether the scheduler has found it a place, or has given up."""
    return bool(server.get("hostId")) or server.get("status") not in ("BUILD", None)


def state_of(server: Mapping[str, Any]) -> SourceHostState:
    """Return the state. A server that ran and is in ERROR may still run: whether it does, its engine knows."""
    status, task = server.get("status"), server.get("OS-EXT-STS:task_state")
    if status in _GONE or task == "deleting":
        return SourceHostState.DELETING
    if task in _SWITCHING_OFF:
        return SourceHostState.STOPPING
    if status == "BUILD" or task in _SWITCHING_ON:
        return SourceHostState.PENDING
    if status == "ERROR" and not server.get("OS-SRV-USG:launched_at"):
        return SourceHostState.PENDING
    return SourceHostState.STOPPED if status in _OFF else SourceHostState.RUNNING


def show(server: Mapping[str, Any], template: Template) -> SourceHost:
    """Return a server as the host that it is. One that was refused and is on its way out is no host any more: its host
    may have been asked for elsewhere by now."""
    state, refusal = state_of(server), refusal_of(server, template.name)
    host_id = str(server["id"]) if refusal and state == SourceHostState.DELETING else host_of(server)
    address = _address(server, public=template.public_address) if state == SourceHostState.RUNNING else ""
    type_name = (server.get("metadata") or {}).get(TYPE, "")
    return template.show(host_id, state, type_name, address, refusal=refusal)


def _address(server: Mapping[str, Any], *, public: bool) -> str:
    wanted = "floating" if public else "fixed"
    every = [one for network in (server.get("addresses") or {}).values() for one in network]
    fours = [one for one in every if one.get("version") == 4]
    ranked = sorted(fours or every, key=lambda one: one.get("OS-EXT-IPS:type", "fixed") != wanted)
    return str(ranked[0]["addr"]) if ranked else ""
