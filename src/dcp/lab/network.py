"""A lab's network: a bridge for each site, a namespace and a link for each node, this machine as the router between.

Nothing global is changed: packets are forwarded between the lab's bridges only (a setting of each bridge), and nodes
have no route out of the lab. Every step looks first, so that running it again mends what is missing.
"""

import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from dcp.kernel.errors import Conflict
from dcp.lab.commands import Commands
from dcp.lab.topology import LINK, LabHost, LabRegistry, LabSite, Topology, link_pattern

NETNS = Path("/run/netns")
RULE = "dcp-lab:"
"""Comment of the lab's rules in this machine's packet filter, before its name."""


async def require_free_network(topology: Topology, commands: Commands) -> None:
    """Raise Conflict if this machine already uses addresses of the lab's network for something else."""
    wanted = IPv4Network(topology.network)
    ours = link_pattern(topology.name)
    for route in json.loads(await commands.run("ip", "-j", "-4", "route", "show", "table", "main")):
        target, device = route.get("dst", "default"), route.get("dev", "")
        if target != "default" and IPv4Network(target).overlaps(wanted) and not ours.fullmatch(device):
            hint = "another --octet, or take the other lab down"
            raise Conflict(f"{topology.network} is taken: {target} is reached by {device}", hint=hint)


async def make_sites(topology: Topology, commands: Commands) -> None:
    """Make the bridges, let this machine forward between them, and tell it where the hosts' own bridges are."""
    present = await links(topology.name, commands)
    batch: list[str] = []
    for site in topology.sites:
        if site.bridge not in present:
            batch.append(f"link add {site.bridge} address {_hardware(site)} type bridge")
        batch += [f"address replace {site.gateway}/24 dev {site.bridge}", f"link set {site.bridge} up"]
    await ip(commands, batch)
    for site in topology.sites:
        settings = Path("/proc/sys/net/ipv4/conf") / site.bridge
        (settings / "forwarding").write_text("1")
        (settings / "send_redirects").write_text("0")
    gateways = {site.name: site for site in topology.sites}
    await ip(
        commands,
        [f"route replace {h.bridge_subnet} via {h.address} dev {gateways[h.site].bridge}" for h in topology.hosts],
    )
    rule = _rule(topology)
    if not await commands.succeeds("iptables", "-w", "-C", "FORWARD", *rule):
        await commands.run("iptables", "-w", "-I", "FORWARD", *rule)


async def make_node(node: LabHost | LabRegistry, topology: Topology, commands: Commands) -> None:
    """Make the node's namespace, and its link on its site's bridge."""
    name = node.namespace
    if not holds_namespace(NETNS / name):
        await _drop_namespace(name, commands)
        await commands.run("ip", "netns", "add", name)
    site = topology.site(node.site)
    if not await commands.succeeds("ip", "-n", name, "link", "show", LINK):
        if name in await links(topology.name, commands):
            await commands.run("ip", "link", "delete", name)
        await commands.run("ip", "link", "add", name, "type", "veth", "peer", "name", LINK, "netns", name)
    await ip(commands, [f"link set {name} master {site.bridge} up"])
    inside = ["link set lo up", f"address replace {node.address}/24 dev {LINK}", f"link set {LINK} up"]
    inside.append(f"route replace {topology.network} via {node.gateway} dev {LINK}")
    for other in topology.hosts:
        if other.site == node.site and other.namespace != name:
            inside.append(f"route replace {other.bridge_subnet} via {other.address} dev {LINK}")
    await commands.run("ip", "-n", name, "-batch", "-", text="\n".join(inside) + "\n")


async def let_through(host: LabHost, topology: Topology, commands: Commands) -> None:
    """Let the lab reach containers on the host's own bridge: the engine drops what it forwards unless told so here."""
    within = ("nsenter", f"--net={NETNS / host.namespace}", "iptables", "-w")
    rule = ("-s", topology.network, "-j", "ACCEPT")
    if not await commands.succeeds(*within, "-n", "-L", "DOCKER-USER"):
        await commands.run(*within, "-N", "DOCKER-USER")
    if not await commands.succeeds(*within, "-C", "DOCKER-USER", *rule):
        await commands.run(*within, "-I", "DOCKER-USER", *rule)


async def remove_network(name: str, commands: Commands) -> None:
    """Remove every link, namespace and rule that carries the lab's name."""
    pattern = link_pattern(name)
    for found in await links(name, commands):
        # The peer's end goes with it; a link whose namespace just ended may be gone by itself.
        await commands.run("ip", "link", "delete", found, check=False)
    for entry in list(NETNS.iterdir()) if NETNS.is_dir() else []:
        if pattern.fullmatch(entry.name):
            await _drop_namespace(entry.name, commands)
    for table in (("filter", "FORWARD"),):
        await _remove_rules(name, *table, commands)


async def links(name: str, commands: Commands) -> frozenset[str]:
    """Return the lab's links on this machine."""
    pattern = link_pattern(name)
    shown: list[dict[str, Any]] = json.loads(await commands.run("ip", "-j", "link", "show"))
    return frozenset(link["ifname"] for link in shown if pattern.fullmatch(link["ifname"]))


async def rules(name: str, commands: Commands) -> tuple[str, ...]:
    """Return the lab's rules in this machine's packet filter."""
    listed = await commands.run("iptables", "-w", "-S", "FORWARD", check=False)
    return tuple(line for line in listed.splitlines() if f"{RULE}{name}" in line.replace('"', "").split())


def namespaces(name: str) -> tuple[Path, ...]:
    """Return the files that hold the lab's network namespaces."""
    pattern = link_pattern(name)
    found = NETNS.iterdir() if NETNS.is_dir() else iter(())
    return tuple(sorted(entry for entry in found if pattern.fullmatch(entry.name)))


def holds_namespace(file: Path) -> bool:
    """Return whether a namespace is mounted on `file`."""
    return file.exists() and file.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


async def ip(commands: Commands, lines: Iterable[str]) -> None:
    """Run a batch of `ip`; it ends at the first that fails."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        await commands.run("ip", "-batch", "-", text=text)


async def _drop_namespace(name: str, commands: Commands) -> None:
    file = NETNS / name
    while holds_namespace(file) and await commands.succeeds("umount", "--lazy", str(file)):
        pass
    file.unlink(missing_ok=True)


async def _remove_rules(name: str, table: str, chain: str, commands: Commands) -> None:
    while found := [line for line in await rules(name, commands) if line.startswith(f"-A {chain} ")]:
        await commands.run("iptables", "-w", "-t", table, "-D", *_words(found[0]))


def _words(rule: str) -> Iterator[str]:
    for word in rule.removeprefix("-A ").split():
        yield word.strip('"')


def _rule(topology: Topology) -> tuple[str, ...]:
    comment = ("-m", "comment", "--comment", f"{RULE}{topology.name}")
    return ("-s", topology.network, "-d", topology.network, *comment, "-j", "ACCEPT")


def _hardware(site: LabSite) -> str:
    """A fixed address: a bridge would otherwise take that of whatever joins, and neighbours would remember the old."""
    _, octet, number, _ = site.gateway.split(".")
    return f"02:dc:bb:{int(octet):02x}:{int(number):02x}:01"
