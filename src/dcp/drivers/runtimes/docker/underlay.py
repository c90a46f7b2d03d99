"""The site's own network on a host: made once for each engine, by the settings, under a name that says what it is."""

import hashlib

from dcp.drivers.runtimes.docker.api import EngineApi, EngineRefused
from dcp.drivers.runtimes.docker.choices import UnderlayChoice
from dcp.drivers.runtimes.docker.seen import OWNER
from dcp.kernel.errors import Rejected


async def ensure(api: EngineApi, choice: UnderlayChoice | None, site: str, owner: str) -> str:
    """Return the network's name on this engine; made if it is not there. Idempotent."""
    if choice is None:
        raise Rejected("network mode underlay is not set up", hint="set runtime.underlay in dcp.yaml")
    by_site = {name: (subnet, gateway) for name, subnet, gateway in choice.subnets}
    if site not in by_site and "" not in by_site:
        raise Rejected(f"runtime.underlay has no network for site {site!r}")
    subnet, gateway = by_site.get(site) or by_site[""]
    words = f"{choice.driver} {choice.parent} {subnet} {gateway}"
    name = f"dcp-underlay-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    try:
        await api.get(f"/networks/{name}")
        return name
    except EngineRefused as error:
        if error.status != 404:
            raise
    body = {
        "Name": name,
        "Driver": choice.driver,
        "CheckDuplicate": True,
        "Options": {"parent": choice.parent} if choice.parent else {},
        "IPAM": {"Config": [{"Subnet": subnet, **({"Gateway": gateway} if gateway else {})}]},
        "Labels": {OWNER: owner},
    }
    try:
        await api.call("POST", "/networks/create", body=body)
    except EngineRefused as error:
        if error.status != 409:
            raise
    return name
