"""What people ask of machines that are there: take them in, give them back, try again those that failed.

All machines of a call are looked at first; if one of them cannot be used, nothing is written. What was acknowledged is
committed; the worker of source `added` does the rest.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.hosts.adding.decide import (
    Adding,
    decide_adding,
    normal,
    problems_of_asked,
    reach_of,
    removed,
    requested_hosts,
    taken_back,
)
from dcp.hosts.adding.model import SOURCE, AddAsked, AddedMachine, KnownMachines, MachineLook, SetAside
from dcp.hosts.adding.ports import AddingParts
from dcp.hosts.model import Host
from dcp.kernel.errors import Conflict, DriverError, InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.kernel.units import format_bytes, format_cpu
from dcp.store import counters, events, hosts, machines

LONGEST_LEAVE_S = 30 * 86400.0
SUBJECT = f"source/{SOURCE}"


@dataclass(frozen=True, slots=True)
class MachineView:
    """An added machine, the host that it is now, and why it is set aside."""

    machine: AddedMachine
    host: Host | None = None
    aside: SetAside | None = None

    @property
    def state(self) -> str:
        """Return `leaving`, the state of its host, `set-aside` or `free`."""
        if self.machine.leave_by is not None:
            return "leaving"
        if self.host is not None:
            return str(self.host.state)
        return "set-aside" if self.aside else "free"

    @property
    def words(self) -> str:
        """Return why it is not used, as far as that is known."""
        if self.aside is not None:
            return self.aside.words
        return self.host.reason if self.host is not None and self.host.leave_by is not None else ""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of each machine, and what was found there."""

    adding: Adding
    looks: Mapping[str, MachineLook]
    dry_run: bool


async def add(context: Context, parts: AddingParts, asked: AddAsked, *, dry_run: bool = False) -> Added:
    """Take machines in. Adding one again the same way changes nothing, or takes it back if it was removed or set aside.

    Raises InvalidInput with everything that is wrong with any of them; nothing was changed then.
    """
    _refuse(problems_of_asked(asked, parts.key_names))
    looks = await _looks(parts, asked)
    now = context.clock.now()

    def decide(connection: Connection) -> Adding:
        known = KnownMachines(machines.every(connection), machines.aside(connection), parts.named)
        return decide_adding(asked, parts.default, looks, known, now)

    def work(connection: Connection) -> Adding:
        adding = decide(connection)
        _refuse(adding.problems)
        _write(connection, adding, looks, now)
        return adding

    if dry_run:
        adding = await context.database.read(decide)
        _refuse(adding.problems)
        return Added(adding, looks, dry_run)
    adding = await context.database.write(work)
    await _remember(parts, adding, looks, new_host_key=asked.new_host_key)
    _wake(context)
    return Added(adding, looks, dry_run)


async def remove(
    context: Context, parts: AddingParts, addresses: tuple[str, ...], within_s: float
) -> tuple[MachineView, ...]:
    """Give machines back: what runs there is replaced elsewhere first. Those that are free are forgotten at once.

    Returns those that still have to be emptied. Raises InvalidInput, or NotFound for a machine that was not added.
    """
    if not 0 <= within_s <= LONGEST_LEAVE_S:
        problem = Problem("within_s", f"{within_s:g} s is no time to empty a machine in", "between 0 s and 30 days")
        raise InvalidInput((problem,), subject="machines")
    now = context.clock.now()

    def work(connection: Connection) -> tuple[list[AddedMachine], list[MachineView]]:
        found = _found(connection, addresses, dict(parts.named))
        gone, left, told = list[AddedMachine](), list[MachineView](), list[Event]()
        for machine in found:
            if not machine.host_id:
                machines.drop(connection, machine)
                gone.append(machine)
                told.append(Event(SUBJECT, "machine-removed", f"{machine.address} was given back; it was free"))
                continue
            after = removed(machine, now + within_s)
            if after != machine:
                after = machines.change(connection, machine, after)
                words = f"{machine.address} is given back once {machine.host_id} is empty, within {within_s:.0f} s"
                told.append(Event(SUBJECT, "machine-leaves", words))
            left.append(MachineView(after, hosts.find(connection, after.host_id)))
        events.append(connection, now, told)
        return gone, left

    gone, left = await context.database.write(work)
    for machine in gone:
        await _forget(parts, machine)
    _wake(context)
    return tuple(left)


async def retry(context: Context, addresses: tuple[str, ...], *, every: bool = False) -> tuple[SetAside, ...]:
    """Offer machines again that were set aside; return them. Raises InvalidInput for one that was not."""
    now = context.clock.now()

    def work(connection: Connection) -> tuple[SetAside, ...]:
        aside = machines.aside(connection)
        wanted = {normal(address) for address in addresses}
        missing = sorted(wanted - {normal(one.address) for one in aside})
        hint = "see `dcp hosts machines`"
        _refuse(tuple(Problem(address, "is not set aside", hint) for address in missing))
        found = tuple(one for one in aside if every or normal(one.address) in wanted)
        machines.no_longer_aside(connection, [(one.source, one.address) for one in found])
        told = [Event(f"source/{one.source}", "machine-retried", f"{one.address} is offered again") for one in found]
        events.append(connection, now, told)
        again = {one.address for one in found if one.source == SOURCE}
        _request(connection, [one for one in machines.every(connection) if one.address in again], now)
        return found

    found = await context.database.write(work)
    _wake(context)
    return found


def list_machines(connection: Connection) -> tuple[tuple[MachineView, ...], tuple[SetAside, ...]]:
    """Return the added machines, and everything that is set aside."""
    aside = machines.aside(connection)
    by_address = {one.address: one for one in aside if one.source == SOURCE}
    known = {host.id: host for host in hosts.current(connection, SOURCE)}
    found = machines.every(connection)
    return tuple(MachineView(one, known.get(one.host_id), by_address.get(one.address)) for one in found), aside


def parts_of(context: Context) -> AddingParts:
    """Return what adding needs. Raises Conflict where machines cannot be added."""
    if context.adding is None:
        hint = "dcp.yaml: `runtime: {kind: docker}`, and Ansible: pip install 'dcp[ansible]'"
        raise Conflict("this controller takes no machines in", hint=hint)
    return context.adding


async def _looks(parts: AddingParts, asked: AddAsked) -> Mapping[str, MachineLook]:
    named = {normal(address) for address, _ in parts.named}
    reaches = [reach_of(asked, address, parts.default) for address in asked.addresses]
    wanted = [reach for reach in reaches if reach.address not in named]
    found = await asyncio.gather(*(parts.looker.look(one, new_host_key=asked.new_host_key) for one in wanted))
    return {reach.address: look for reach, look in zip(wanted, found, strict=True)}


def _write(connection: Connection, adding: Adding, looks: Mapping[str, MachineLook], now: float) -> None:
    machines.add(connection, adding.add)
    told = [Event(SUBJECT, "machine-added", _words(one, looks[one.address])) for one in adding.add]
    for one in adding.back:
        if one.leave_by is not None:
            machines.change(connection, one, taken_back(one))
        told.append(Event(SUBJECT, "machine-taken-back", f"{one.address} was added again"))
    machines.no_longer_aside(connection, [(SOURCE, one.address) for one in adding.back])
    events.append(connection, now, told)
    _request(connection, (*adding.add, *adding.back), now)


def _request(connection: Connection, fresh: Iterable[AddedMachine], now: float) -> None:
    """Have machines that are free initialised now."""
    last = counters.peek(connection, "host")
    asked_for = requested_hosts([one for one in fresh if not one.host_id], last, now)
    counters.take(connection, "host", last, len(asked_for))
    hosts.add(connection, asked_for)
    words = "a person named its machine: it is made ready before it is needed"
    events.append(
        connection, now, [Event(host.subject, "requested", words, after=str(host.state)) for host in asked_for]
    )


def _words(machine: AddedMachine, look: MachineLook) -> str:
    size = machine.host_type.resources
    engine = f", its container engine {look.engine} is kept" if look.engine else ""
    reach = machine.reach
    key = f" with key {reach.key}" if reach.key else ""
    return (
        f"{machine.address} was added as {reach.user} at port {reach.port}{key}: {look.system}, "
        f"{format_cpu(size.cpu_millis)}, {format_bytes(size.memory_bytes)}{engine}"
    )


def _found(connection: Connection, addresses: tuple[str, ...], named: Mapping[str, str]) -> list[AddedMachine]:
    known = {one.address: one for one in machines.every(connection)}
    wanted = list(dict.fromkeys(map(normal, addresses)))
    files = {normal(address): source for address, source in named.items()}
    missing = [address for address in wanted if address not in known]
    if not wanted:
        _refuse((Problem("addresses", "no machine is named", "see `dcp hosts machines`"),))
    if missing and all(address not in files for address in missing):
        raise NotFound(f"was not added: {', '.join(missing)}", hint="see `dcp hosts machines`")
    _refuse(
        tuple(
            Problem(address, f"stands in dcp.yaml, in source {files[address]}", "take it out there")
            if address in files
            else Problem(address, "was not added", "see `dcp hosts machines`")
            for address in missing
        )
    )
    return [known[address] for address in wanted]


async def _remember(
    parts: AddingParts, adding: Adding, looks: Mapping[str, MachineLook], *, new_host_key: bool
) -> None:
    """What cannot be kept is seen again when the machine is initialised."""
    for machine in (*adding.add, *adding.back, *(adding.same if new_host_key else ())):
        try:
            await parts.looker.remember(machine.reach, looks[machine.address], new_host_key=new_host_key)
        except DriverError as error:
            log.warning("host key not kept", machine=machine.address, error=str(error))


async def _forget(parts: AddingParts, machine: AddedMachine) -> None:
    try:
        await parts.looker.forget(machine.reach)
    except DriverError as error:
        log.warning("host key not forgotten", machine=machine.address, error=str(error))


def _wake(context: Context) -> None:
    context.wakes.wake("controller")
    for kind in ("source", "application"):
        context.wakes.wake_kind(kind)


def _refuse(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise InvalidInput(problems, subject="machines")
