"""Which machines are added or taken back, and everything that is wrong with what was asked. Pure."""

import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dcp.hosts.adding.model import (
    SOURCE,
    SSH_PORT,
    AddAsked,
    AddedMachine,
    KnownMachines,
    MachineLook,
    Reach,
)
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.kernel.errors import Problem
from dcp.kernel.units import format_bytes, format_cpu

MOST_AT_ONCE = 500
"""Machines of one call: all are looked at before the first is added."""
MEMORY_STEP_BYTES = 128 << 20
"""Sizes that are read are rounded down to it: machines of one model differ by a little, and types of hosts do not."""
ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,99}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
ENGINE = re.compile(r"(tcp|ssh)://\S*\{address\}\S*")


@dataclass(frozen=True, slots=True)
class Adding:
    """What is written: new rows, and rows that a person takes back (from leaving, or from being set aside).

    With problems nothing is written at all.
    """

    add: tuple[AddedMachine, ...] = ()
    back: tuple[AddedMachine, ...] = ()
    same: tuple[AddedMachine, ...] = ()
    """Were added before in the same way."""
    problems: tuple[Problem, ...] = ()


def normal(address: str) -> str:
    """Return an address as it is written everywhere: lower case, the shortest form of an IPv6 address."""
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return address.lower()


def problems_of_asked(asked: AddAsked, keys: Iterable[str]) -> tuple[Problem, ...]:
    """Return what is wrong before anything is looked at. `keys` are the names of keys in the settings."""
    found = [*_problems_of_addresses(asked.addresses), *_problems_of_key(asked.key, tuple(keys))]
    if asked.user and not USER.fullmatch(asked.user):
        found.append(Problem("user", f"{asked.user[:40]!r} is no name of a user", "such as root or debian"))
    if asked.port is not None and not 1 <= asked.port <= 65535:
        found.append(Problem("port", f"{asked.port} is no port", "between 1 and 65535"))
    if asked.engine and not ENGINE.fullmatch(asked.engine):
        hint = "such as tcp://{address}:2376"
        found.append(Problem("engine", "is not the URL of an engine with {address} in it", hint))
    if asked.cluster and not NAME.fullmatch(asked.cluster):
        found.append(Problem("cluster", f"{asked.cluster[:60]!r} is no name", "lower-case letters, digits, - and _"))
    if asked.type_name and not LABEL.fullmatch(asked.type_name):
        found.append(Problem("type", f"{asked.type_name[:60]!r} is no name of a type", "such as c16-64"))
    for name, value in asked.labels:
        if not LABEL.fullmatch(name) or not value:
            found.append(Problem("label", f"{name[:60]}={value[:60]} is no label", "such as disk=ssd"))
    if len(dict(asked.labels)) < len(asked.labels):
        found.append(Problem("label", "a label is given twice"))
    sizes = (("cpus", asked.cpu_millis), ("memory", asked.memory_bytes))
    found += [Problem(path, "has to be above 0") for path, size in sizes if size is not None and size <= 0]
    return tuple(found)


def reach_of(asked: AddAsked, address: str, default: Reach) -> Reach:
    """Return how one machine is reached: as asked, else as the settings say."""
    return Reach(
        address=normal(address),
        user=asked.user or default.user,
        port=default.port if asked.port is None else asked.port,
        key=asked.key or default.key,
    )


def decide_adding(
    asked: AddAsked, default: Reach, looks: Mapping[str, MachineLook], known: KnownMachines, now: float
) -> Adding:
    """Return what to write for machines that were looked at. `looks` go by normal address."""
    added = {one.address: one for one in known.added}
    aside = {one.address for one in known.aside if one.source == SOURCE}
    named = {normal(address): source for address, source in known.named}
    add, back, same = list[AddedMachine](), list[AddedMachine](), list[AddedMachine]()
    problems: list[Problem] = []
    for given in asked.addresses:
        address = normal(given)
        if source := named.get(address):
            problems.append(Problem(given, f"stands in dcp.yaml already, in source {source}", "leave it out here"))
            continue
        look = looks[address]
        if look.fault:
            problems.append(Problem(given, look.fault, look.hint))
            continue
        machine = _machine(asked, reach_of(asked, address, default), look, now)
        before = added.get(address)
        if before is None:
            add.append(machine)
        elif not _same_way(before, machine, asked):
            hint = f"to change that: dcp hosts remove {address}, then add it again"
            problems.append(Problem(given, f"was added already, otherwise: {_differences(before, machine)}", hint))
        else:
            (back if before.leave_by is not None or address in aside else same).append(before)
    problems += _same_machine_twice(asked, looks, known.added)
    problems += _types_that_differ(add, known.added)
    if problems:
        return Adding(problems=tuple(problems))
    return Adding(tuple(add), tuple(back), tuple(same))


def taken_back(machine: AddedMachine) -> AddedMachine:
    """Return a machine that is not to leave any more."""
    return replace(machine, leave_by=None)


def removed(machine: AddedMachine, leave_by: float) -> AddedMachine:
    """Return a machine that is to be empty by a time; one that is to leave keeps the earlier one."""
    by = leave_by if machine.leave_by is None else min(leave_by, machine.leave_by)
    return replace(machine, leave_by=by)


def requested_hosts(machines: Iterable[AddedMachine], last_host: int, now: float) -> tuple[Host, ...]:
    """Return a host for each new machine, so that it is initialised now and not in the middle of a surge."""
    return tuple(
        Host(
            id=f"{SOURCE}-{number}",
            source=SOURCE,
            kind=SourceKind.PRIVATE,
            host_type=machine.host_type,
            state=HostState.REQUESTED,
            requested_at=now,
            changed_at=now,
            cluster=machine.cluster,
        )
        for number, machine in enumerate(machines, last_host + 1)
    )


def _problems_of_addresses(addresses: tuple[str, ...]) -> Iterable[Problem]:
    if not addresses:
        yield Problem("addresses", "no machine is named", "such as 10.1.0.31")
    if len(addresses) > MOST_AT_ONCE:
        yield Problem("addresses", f"{len(addresses)} machines at once", f"at most {MOST_AT_ONCE}: add them in parts")
    for address in addresses:
        if not ADDRESS.fullmatch(address.strip("[]")):
            yield Problem("addresses", f"{address[:80]!r} is no address", "a name or an IP address, such as 10.1.0.31")
    for address, times in Counter(map(normal, addresses)).items():
        if times > 1:
            yield Problem(address, f"is named {times} times", "once is enough")


def _problems_of_key(key: str, names: tuple[str, ...]) -> Iterable[Problem]:
    """The key itself must never be said again: whoever pastes it finds it in no message and no log."""
    if "\n" in key or "PRIVATE KEY" in key:
        yield Problem("key", "this is a key, not where one is", "name its file on the controller, or a key of dcp.yaml")
    elif key and not key.startswith("/") and key not in names:
        hint = "the absolute path of a file on the controller, or a name under initialise.keys in dcp.yaml"
        known = f"; there are {', '.join(names)}" if names else ""
        yield Problem("key", f"there is no key called {key[:60]!r}{known}", hint)
    elif len(key) > 1000:
        yield Problem("key", "is too long for the path of a file")


def _machine(asked: AddAsked, reach: Reach, look: MachineLook, now: float) -> AddedMachine:
    resources = Resources(
        look.cpu_millis if asked.cpu_millis is None else asked.cpu_millis,
        _rounded(look.memory_bytes) if asked.memory_bytes is None else asked.memory_bytes,
    )
    labels = tuple(sorted(asked.labels))
    site = dict(labels).get("site", "machine")
    digest = hashlib.blake2b(repr((resources, labels, asked.cluster)).encode(), digest_size=4).hexdigest()
    host_type = HostType(
        name=asked.type_name or f"{site}-{digest}",
        resources=resources,
        labels=labels,
        initialise=True,
        minimum_s=0.0,  # it runs already
    )
    return AddedMachine(reach, asked.engine, asked.cluster, host_type, look.identity, now)


def _rounded(memory_bytes: int) -> int:
    return max(MEMORY_STEP_BYTES, memory_bytes // MEMORY_STEP_BYTES * MEMORY_STEP_BYTES)


def _same_way(before: AddedMachine, machine: AddedMachine, asked: AddAsked) -> bool:
    """What nobody asked for may have changed since: memory that is read is not always the same."""
    kept = machine.host_type
    if asked.cpu_millis is None and asked.memory_bytes is None:
        kept = replace(kept, resources=before.host_type.resources)
    if not asked.type_name:
        kept = replace(kept, name=before.host_type.name)
    return before.alike(replace(machine, host_type=kept))


def _differences(before: AddedMachine, after: AddedMachine) -> str:
    def facts(one: AddedMachine) -> dict[str, str]:
        size = one.host_type.resources
        labels = ",".join(f"{name}={value}" for name, value in one.host_type.labels)
        return {
            "user": one.reach.user,
            "port": str(one.reach.port),
            "key": one.reach.key,
            "engine": one.engine,
            "cluster": one.cluster,
            "type": one.host_type.name,
            "labels": labels,
            "cpus": format_cpu(size.cpu_millis),
            "memory": format_bytes(size.memory_bytes),
        }

    old, new = facts(before), facts(after)
    differ = [name for name in old if old[name] != new[name]]
    return ", ".join(f"{name} {old[name] or 'none'}, now {new[name] or 'none'}" for name in differ)


def _same_machine_twice(
    asked: AddAsked, looks: Mapping[str, MachineLook], added: Iterable[AddedMachine]
) -> Iterable[Problem]:
    seen = {one.identity: one.address for one in added if one.identity}
    for given in asked.addresses:
        look = looks.get(normal(given))
        if look is None or look.fault or not look.identity:
            continue
        other = seen.setdefault(look.identity, normal(given))
        if other != normal(given):
            yield Problem(given, f"is the same machine as {other}", "add each machine by one address")


def _types_that_differ(add: Iterable[AddedMachine], added: Iterable[AddedMachine]) -> Iterable[Problem]:
    """All hosts of one type are alike in everything that placing looks at."""
    known = {one.host_type.name: one for one in added}
    for machine in add:
        other = known.setdefault(machine.host_type.name, machine)
        if (other.host_type, other.cluster) != (machine.host_type, machine.cluster):
            words = f"type {machine.host_type.name} is taken by {other.address}: {_differences(other, machine)}"
            yield Problem(machine.address, words, "another --type, or the same --cpus, --memory, --label and --cluster")


def default_reach(user: str, port: int, key: str) -> Reach:
    """Return how machines are reached where nothing else is asked."""
    return Reach("", user or "root", port or SSH_PORT, key)
