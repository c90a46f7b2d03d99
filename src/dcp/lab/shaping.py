"""The speed of a lab's lines: between sites, and of each host's link.

Traffic into a site is shaped where this machine, the router, hands it to the site's bridge, so a line is as wide in
each direction as the site that receives. Traffic inside a site and the router's own (a controller's) is not shaped. The
line's class is always there, so that the bytes that crossed it are counted.
"""

import re

from dcp.lab.commands import Commands
from dcp.lab.network import NETNS
from dcp.lab.topology import LINK, LabHost, LabSite, Topology

UNSHAPED_MBIT = 100_000.0
_QUANTUM_BYTES = 60_000
_FREE, _LINE = "1:1", "1:2"
_QUEUE_S = 0.05
_SENT = re.compile(rf"^class htb {_LINE} .*\n Sent (\d+) bytes", re.MULTILINE)


async def make_lines(topology: Topology, mbit: float | None, commands: Commands) -> None:
    """Make the classes of every site's bridge, if they are not there."""
    routers = [f"{site.gateway}/32" for site in topology.sites]
    for site in topology.sites:
        bridge = site.bridge
        if _LINE in await commands.run("tc", "class", "show", "dev", bridge):
            continue
        await commands.run("tc", "qdisc", "delete", "dev", bridge, "root", check=False)
        adding = f"filter add dev {bridge} parent 1: protocol ip"
        lines = [
            f"qdisc add dev {bridge} root handle 1: htb default 1",
            f"class add dev {bridge} parent 1: classid {_FREE} htb {_rate(UNSHAPED_MBIT)}",
            *(f"{adding} prio 1 u32 match ip src {source} flowid {_FREE}" for source in (site.subnet, *routers)),
            f"{adding} prio 2 u32 match ip src {topology.network} flowid {_LINE}",
            # The class comes last: it is what is looked for above.
            f"class add dev {bridge} parent 1: classid {_LINE} htb {_rate(mbit or UNSHAPED_MBIT)}",
        ]
        await commands.run("tc", "-batch", "-", text="\n".join(lines) + "\n")


async def shape_line(site: LabSite, mbit: float | None, commands: Commands) -> None:
    """Make what comes into `site` from other sites share `mbit` megabits a second; None: no bound."""
    rate = _rate(mbit or UNSHAPED_MBIT).split()
    await commands.run("tc", "class", "change", "dev", site.bridge, "parent", "1:", "classid", _LINE, "htb", *rate)


async def shape_host(host: LabHost, mbit: float | None, commands: Commands) -> None:
    """Make the host's link carry `mbit` megabits a second in each direction; None: no bound."""
    outside = ("tc",), host.namespace
    inside = ("nsenter", f"--net={NETNS / host.namespace}", "tc"), LINK
    for program, device in (outside, inside):
        if mbit is None:
            await commands.run(*program, "qdisc", "delete", "dev", device, "root", check=False)
            continue
        burst = f"{_burst_bytes(mbit)}b"
        queue = f"{int(max(_burst_bytes(mbit), mbit * 1e6 / 8 * _QUEUE_S)) + 65_536}b"
        bucket = ("tbf", "rate", f"{mbit:g}mbit", "burst", burst, "limit", queue)
        await commands.run(*program, "qdisc", "replace", "dev", device, "root", *bucket)


async def line_bytes(site: LabSite, commands: Commands) -> int:
    """Return the bytes that came into `site` from other sites since its bridge was made."""
    found = _SENT.search(await commands.run("tc", "-s", "class", "show", "dev", site.bridge))
    return int(found[1]) if found else 0


def _rate(mbit: float) -> str:
    burst = _burst_bytes(mbit)
    return f"rate {mbit:g}mbit ceil {mbit:g}mbit burst {burst}b cburst {burst}b quantum {_QUANTUM_BYTES}"


def _burst_bytes(mbit: float) -> int:
    """What may leave at once: 4 ms of the rate, and no less than one large segment."""
    return max(65_536, int(mbit * 1e6 / 8 * 0.004))
