"""The `dcp.yaml` of a lab: what `dcp serve --config` needs to run containers on its hosts. Pure."""

from typing import Any

import yaml

from dcp.lab.certificates import ClientFiles
from dcp.lab.spec import LabSpec
from dcp.lab.topology import LINK, LabHost, Topology

SOURCE = "lab"


def render(spec: LabSpec, topology: Topology, client: ClientFiles, cpu_millis: int, memory_bytes: int) -> str:
    """Return the file. `cpu_millis` and `memory_bytes` are what each host has."""
    value: dict[str, Any] = {
        "sources": [
            {
                "name": SOURCE,
                "kind": "engines",
                "hosts": [host_entry(spec, host, cpu_millis, memory_bytes) for host in topology.hosts],
            }
        ],
        "runtime": runtime(topology, client),
        # Every host reaches this address, and nobody outside the lab does.
        "balancer": {"listen_address": topology.sites[0].gateway},
    }
    if topology.registries:
        value["registry"] = registry(topology, client)
    heading = f"# Written by `dcp lab up` for the lab {spec.name}; written again by the next.\n"
    return heading + yaml.safe_dump(value, sort_keys=False)


def host_entry(spec: LabSpec, host: LabHost, cpu_millis: int, memory_bytes: int) -> dict[str, Any]:
    """Return one host as a source of kind `engines` lists it."""
    return {
        "name": f"{spec.name}-{host.name}",
        "engine": host.engine_tls,
        "address": host.address,
        "site": host.site,
        "cpus": f"{cpu_millis / 1000:g}",
        "memory": f"{memory_bytes >> 20}M",
    }


def runtime(topology: Topology, client: ClientFiles) -> dict[str, Any]:
    """Return the section `runtime`: the engines' certificates and the sites' own networks."""
    networks = [
        {
            "site": site.name,
            "subnet": site.subnet,
            "gateway": site.gateway,
            "first": site.first_container_address,
            "last": site.last_container_address,
        }
        for site in topology.sites
    ]
    return {
        "kind": "docker",
        "tls": {"ca": str(client.ca), "cert": str(client.cert), "key": str(client.key)},
        "underlay": {"driver": "macvlan", "parent": LINK, "networks": networks},
    }


def registry(topology: Topology, client: ClientFiles) -> dict[str, Any]:
    """Return the section `registry`: the first two sites take pushes, the others follow the first."""
    sites: list[dict[str, Any]] = []
    for index, one in enumerate(topology.registries):
        role = {"role": "master"} if index < 2 else {"role": "follower", "follows": topology.registries[0].site}
        sites.append({"name": one.site, "url": one.url, **role, "ca": str(client.ca)})
    return {"name": topology.registry_name, "sites": sites}
