"""`dcp hosts add`, `remove`, `machines` and `retry`: machines that are there already."""

from typing import Annotated, Any

import typer
from rich.status import Status

from dcp.api.client import Client, Json
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import count, err, names, out, print_json, print_result, table
from dcp.cli.output import state as in_colour
from dcp.cli.waiting import Patience
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import format_bytes, format_cpu, parse_bytes, parse_cpu_millis, parse_duration_s

LOOK_EVERY_S = 1.0
Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Names or IP addresses of machines.")]


def add(
    addresses: Addresses,
    user: Annotated[str, typer.Option(help="Who logs in: root, or one who may use sudo without a password.")] = "",
    port: Annotated[int | None, typer.Option(help="Of their sshd.")] = None,
    key: Annotated[
        str, typer.Option(help="Private key: a name under initialise.keys, or its file on the controller.")
    ] = "",
    cluster: Annotated[str, typer.Option(help="Only this cluster may use them.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="K=V", help="A label; may be given several times.")] = None,
    type_name: Annotated[str, typer.Option("--type", help="What this type of host is called.")] = "",
    cpus: Annotated[str, typer.Option(help="How many processors count; otherwise all that are there.")] = "",
    memory: Annotated[str, typer.Option(help="How much memory counts, such as 30G; otherwise all of it.")] = "",
    engine: Annotated[
        str, typer.Option(help="Their container engine, such as tcp://{address}:2376; otherwise over the same SSH.")
    ] = "",
    new_host_key: Annotated[
        bool, typer.Option("--new-host-key", help="They were made anew: take the host keys that they have now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look at them.")] = False,
    wait: Annotated[str, typer.Option(help="Wait so long until all are ready, such as 10m.")] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Take machines in that are there already: look at all of them over SSH, then make them ready for containers.

    If one of them cannot be used, none is taken.
    """
    body: Json = {
        "addresses": addresses,
        "user": user,
        "port": port,
        "key": key,
        "engine": engine,
        "cluster": cluster,
        "labels": _labels(label or []),
        "type": type_name,
        "new_host_key": new_host_key,
        "dry_run": dry_run,
        "cpu_millis": _size("--cpus", cpus, parse_cpu_millis, "such as 4"),
        "memory_bytes": _size("--memory", memory, parse_bytes, "such as 16G"),
    }
    limit_s = _duration("--wait", wait) if wait else 0.0
    with client(state, server, token) as api:
        with Status(f"looking at {count(len(addresses), 'machine')}", console=err()):
            found = api.add_machines(body)
        left = _wait(api, [one["address"] for one in found["machines"]], limit_s) if limit_s and not dry_run else {}
    if json:
        print_json(found)
    else:
        _print_added(found)
    _end_if_not_ready(left, wait)


def remove(
    addresses: Addresses,
    within: Annotated[str, typer.Option(help="By when they shall be empty.")] = "10m",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Give machines back: what runs there is replaced elsewhere, the new one first; then they are forgotten."""
    within_s = _duration("--within", within)
    with client(state, server, token) as api:
        found = api.remove_machines(addresses, within_s)
    if json:
        print_json(found)
        return
    leaving = {one["address"]: one["host"] for one in found["leaving"]}
    for address in addresses:
        host = leaving.get(address.lower().strip("[]"))
        out().print(f"{address} is emptied within {within}: host {host}" if host else f"{address} is given back")


def machines(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List machines that were added, and machines that are set aside because they could not be initialised."""
    with client(state, server, token) as api:
        found = api.machines()
    if json:
        print_json(found)
        return
    rows = table("MACHINE", "AS", "KEY", "CLUSTER", "TYPE", "CPUS", "MEMORY", "STATE", "HOST", "WHY")
    for one in found["machines"]:
        size = (format_cpu(one["cpu_millis"]).removesuffix(" CPU"), format_bytes(one["memory_bytes"]))
        reach = (f"{one['user']}:{one['port']}", one["key"] or "-", one["cluster"] or "-", one["type"])
        rows.add_row(one["address"], *reach, *size, in_colour(one["state"]), one["host"] or "-", one["words"])
    others = [one for one in found["set_aside"] if one["source"] != "added"]
    if found["machines"] or not others:
        print_result(rows if found["machines"] else "no machine was added")
    for one in others:
        out().print(f"set aside: {one['address']} of source {one['source']}: {one['words']}")


def retry(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS...]", help="Machines that are set aside.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are set aside.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Try machines again that could not be initialised and were set aside."""
    if not addresses and not every:
        raise InvalidInput((Problem("ADDRESS", "no machine is named", "name some, or --all"),), subject="retry")
    with client(state, server, token) as api:
        found = api.retry_machines(addresses or [], every=every)
    if json:
        print_json(found)
        return
    said = names(one["address"] for one in found["retried"])
    out().print(f"tried again: {said}" if found["retried"] else "nothing is set aside")


def _print_added(found: Json) -> None:
    words = {"added": "is taken in", "taken-back": "is taken back", "unchanged": "was added before: nothing changes"}
    if found["dry_run"]:
        words |= {"added": "can be taken in", "taken-back": "can be taken back"}
    for one in found["machines"]:
        size = f"{format_cpu(one['cpu_millis'])}, {format_bytes(one['memory_bytes'])}, {one['system']}"
        engine = f", its engine {one['engine_version']} is kept" if one["engine_version"] else ""
        out().print(f"{one['address']} {words[one['outcome']]}: type {one['type']}, {size}{engine}")
    if any(one["outcome"] != "unchanged" for one in found["machines"]) and not found["dry_run"]:
        err().print("made ready now; see `dcp hosts machines` and `dcp hosts log HOST`")


def _wait(api: Client, addresses: list[str], limit_s: float) -> dict[str, str]:
    """Wait until every machine has been ready once or was set aside; return what is not ready, with the reason."""
    patience, ready = Patience(limit_s), set[str]()
    with Status("", console=err()) as status:
        while True:
            known = {one["address"]: one for one in api.machines()["machines"]}
            mine = {address: known[address] for address in addresses if address in known}
            ready |= {address for address, one in mine.items() if one["state"] == "ready"}
            left = {address: one for address, one in mine.items() if address not in ready}
            waiting = [address for address, one in left.items() if one["state"] != "set-aside"]
            status.update(f"{len(ready)} of {count(len(mine), 'machine')} ready")
            if not waiting or patience.is_over:
                return {address: one["words"] or one["state"] for address, one in left.items()}
            patience.wait(LOOK_EVERY_S)


def _end_if_not_ready(left: dict[str, str], wait: str) -> None:
    for address, why in left.items():
        err().print(f"{address} was not ready within {wait}: {why}", style="red")
    if left:
        raise typer.Exit(1)


def _labels(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value or name in found:
            words = "is given twice" if name in found else "is no label"
            raise InvalidInput((Problem("--label", f"{text!r} {words}", "such as disk=ssd"),), subject="machines")
        found[name] = value
    return found


def _size(option: str, text: str, parse: Any, hint: str) -> int | None:
    try:
        return int(parse(text)) if text else None
    except ValueError as error:
        raise InvalidInput((Problem(option, str(error), hint),), subject="machines") from error


def _duration(option: str, text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InvalidInput((Problem(option, str(error), "such as 90s or 10m"),)) from error
