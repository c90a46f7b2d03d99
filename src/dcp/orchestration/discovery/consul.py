"""Published entries in the words of Consul's HTTP API, and of Prometheus' http_sd. Pure shaping, nothing is decided.

Source: Consul's API reference (catalog, health, kv, agent) and the formats that nginx-upsync and Prometheus read.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

from dcp.orchestration.discovery.model import Entry, Published, name_of

Json = dict[str, Any]
KEY_PREFIX = "upstreams/"
_UPSYNC = {"weight": 1, "max_fails": 2, "fail_timeout": 10, "backup": 0, "down": 0}
"""What nginx-upsync reads from a value; 2 and 10 s are nginx's own defaults for passive checks, doubled for surges."""


def catalog_services(published: Iterable[Published]) -> dict[str, list[str]]:
    """Return every service with its tags."""
    return {name_of(one.service): _service_tags(one) for one in published if one.entries}


def catalog_service(found: Published | None, datacenter: str) -> list[Json]:
    """Return the nodes of one service, as the catalogue lists them."""
    if found is None:
        return []
    return [
        {
            **_node(entry, datacenter),
            "ServiceID": entry.instance_id,
            "ServiceName": name_of(found.service),
            "ServiceAddress": entry.address,
            "ServicePort": entry.port,
            "ServiceTags": tags(entry),
            "ServiceMeta": _meta(found, entry),
            "ServiceWeights": {"Passing": 1, "Warning": 1},
            "CreateIndex": found.index,
            "ModifyIndex": found.index,
        }
        for entry in found.entries
    ]


def health_service(found: Published | None, datacenter: str) -> list[Json]:
    """Return the nodes of one service with their checks. What is published is passing; all else is not listed."""
    if found is None:
        return []
    name = name_of(found.service)
    return [
        {
            "Node": _node(entry, datacenter),
            "Service": {
                "ID": entry.instance_id,
                "Service": name,
                "Address": entry.address,
                "Port": entry.port,
                "Tags": tags(entry),
                "Meta": _meta(found, entry),
                "Weights": {"Passing": 1, "Warning": 1},
                "CreateIndex": found.index,
                "ModifyIndex": found.index,
            },
            "Checks": [
                {
                    "Node": entry.instance_id,
                    "CheckID": f"dcp:{entry.instance_id}",
                    "Name": "in the balancer",
                    "Status": "passing",
                    "Output": "",
                    "ServiceID": entry.instance_id,
                    "ServiceName": name,
                    "ServiceTags": tags(entry),
                    "CreateIndex": found.index,
                    "ModifyIndex": found.index,
                }
            ],
        }
        for entry in found.entries
    ]


def keys(published: Iterable[Published], prefix: str, *, recurse: bool) -> list[Json]:
    """Return the keys below `prefix` (or exactly it): `upstreams/APPLICATION.SERVICE/ADDRESS:PORT`.

    A key is there once, also while an instance that ended and its successor have the same address.
    """
    value = base64.b64encode(json.dumps(_UPSYNC).encode()).decode()
    found: dict[str, Json] = {}
    for one in published:
        for entry in one.entries:
            key = f"{KEY_PREFIX}{name_of(one.service)}/{address_text(entry)}"
            if key == prefix or (recurse and key.startswith(prefix)):
                index = {"LockIndex": 0, "Flags": 0, "CreateIndex": one.index, "ModifyIndex": one.index}
                found[key] = {"Key": key, "Value": value, **index}
    return list(found.values())


def service_of_key(key: str) -> str:
    """Return the name of the service that all keys below `key` belong to; empty if there may be several."""
    name, slash, _ = key.removeprefix(KEY_PREFIX).partition("/")
    return name if slash and key.startswith(KEY_PREFIX) else ""


def http_sd(published: Iterable[Published]) -> list[Json]:
    """Return target groups for Prometheus: one for each service and site."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in published:
        for entry in one.entries:
            key = (one.service.application, one.service.name, entry.site)
            groups.setdefault(key, []).append(address_text(entry))
    return [
        {
            "targets": targets,
            "labels": {
                "__meta_dcp_application": application,
                "__meta_dcp_service": service,
                "__meta_dcp_site": site,
            },
        }
        for (application, service, site), targets in groups.items()
    ]


def agent_self(datacenter: str, version: str) -> Json:
    """Return what clients ask an agent first: which data centre it is in."""
    config = {"Datacenter": datacenter, "NodeName": "dcp", "Server": True, "Version": version}
    return {"Config": config, "Member": {"Name": "dcp", "Status": 1}, "Meta": {}}


def address_text(entry: Entry) -> str:
    """Return `address:port`, an IPv6 address in brackets."""
    return f"[{entry.address}]:{entry.port}" if ":" in entry.address else f"{entry.address}:{entry.port}"


def _node(entry: Entry, datacenter: str) -> Json:
    return {
        "ID": entry.instance_id,
        "Node": entry.instance_id,
        "Address": entry.address,
        "Datacenter": datacenter,
        "TaggedAddresses": {"lan": entry.address, "wan": entry.address},
        "NodeMeta": {"site": entry.site} if entry.site else {},
        "Meta": {"site": entry.site} if entry.site else {},
    }


def tags(entry: Entry) -> list[str]:
    """Return what clients may ask for with `tag`."""
    return ["dcp", f"site={entry.site}"] if entry.site else ["dcp"]


def _service_tags(published: Published) -> list[str]:
    return sorted({tag for entry in published.entries for tag in tags(entry)})


def _meta(published: Published, entry: Entry) -> Json:
    site = {"site": entry.site} if entry.site else {}
    return {"application": published.service.application, "service": published.service.name, **site}
