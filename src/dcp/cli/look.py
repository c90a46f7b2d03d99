"""Verbs that show what is there now."""

from typing import Annotated, Any

import typer

from dcp.api.client import Client, Json
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import (
    age,
    count,
    level,
    names,
    number,
    percent,
    print_json,
    print_result,
    table,
)
from dcp.cli.output import state as in_colour
from dcp.kernel.errors import NotFound

Lines = tuple[float | None, float | None]
"""The safe and the fatal line of a service."""


def status(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """Show what serves here."""
    with client(state, server, token) as api:
        found = api.status()
        if json:
            print_json(found)
            return
        services = api.services()["services"]
        hosts = api.hosts()["hosts"]
    lines = table("", "")
    lines.show_header = False
    lines.add_row("controllers", names(f"{one['id']} at {one['address']}" for one in found["controllers"]))
    lines.add_row("version", found["version"])
    scale = "" if found["time_scale"] == 1 else f", windows divided by {found['time_scale']:g}"
    lines.add_row("policy", found["policy"] + scale)
    lines.add_row("limits", _limits(found["runtime"]["abilities"]))
    price = sum(host["price_usd_per_hour"] for host in hosts)
    lines.add_row("hosts", f"{len(hosts)}, {price:.3f} USD per hour")
    for application in found["applications"]:
        own = [one for one in services if one["application"] == application["name"]]
        lines.add_row("application", _application_line(application, own))
    if not found["applications"]:
        lines.add_row("applications", "none yet; try `dcp apply FILE`")
    print_result(lines)


def services(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List services: targets, instances, water level."""
    with client(state, server, token) as api:
        found = api.services()
        if json:
            print_json(found)
            return
        lines = _lines_of(api, found["services"])
    if not found["services"]:
        print_result("no services; try `dcp apply FILE`")
        return
    rows = table(
        "SERVICE", "INSTANCES", "LEVEL", "SLOW", "REQ/S", "WAITING", "PORT", numbers=("SLOW", "REQ/S", "WAITING")
    )
    why = table("SERVICE", "LAST DECISION")
    for one in found["services"]:
        key = (one["application"], one["name"])
        rows.add_row(
            "/".join(key),
            _instances_line(one),
            level(one["water_level"], one["requests_per_s"] is not None, lines.get(key, (None, None))),
            percent(one["slow_ratio"]),
            number(one["requests_per_s"], 1),
            number(one["waiting"], 0),
            one["listen_url"].rpartition(":")[2],
        )
        why.add_row("/".join(key), one["words"] or "not decided yet")
    print_result(rows)
    print_result("")
    print_result(why)


def instances(
    application: Annotated[str, typer.Option(help="Only of this application.")] = "",
    service: Annotated[str, typer.Option(help="Only of services of this name.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """List instances."""
    with client(state, server, token) as api:
        found = api.instances(application, service, ended=all)
        if json:
            print_json(found)
            return
        now = api.status()["now"]
    rows = table("INSTANCE", "SERVICE", "HOST", "STATE", "PORT", "AGE", "REASON", numbers=("PORT", "AGE"))
    for one in found["instances"]:
        reason = f"{one['reason']}, leaves: {one['leave_reason']}" if one["leave_reason"] else one["reason"]
        rows.add_row(
            one["id"],
            f"{one['application']}/{one['service']}",
            one["host"],
            in_colour(one["state"]),
            str(one["port"] or ""),
            age(one["created_at"], one["ended_at"] or now),
            reason,
        )
    print_result(rows if found["instances"] else "no instances")


def _lines_of(api: Client, services: list[Json]) -> dict[tuple[str, str], Lines]:
    """Return the safe and fatal line of every service, by application and name."""
    found: dict[tuple[str, str], Lines] = {}
    for application in sorted({one["application"] for one in services}):
        try:
            wanted = api.application(application)["services"]
        except NotFound:  # forgotten since the services were listed
            continue
        found |= {(application, one["name"]): (one["safe_level"], one["fatal_level"]) for one in wanted}
    return found


def _limits(abilities: dict[str, Any]) -> str:
    parts = [name for name in ("cpu", "memory") if abilities[f"{name}_limit"]]
    held = f"{' and '.join(parts)} enforced" if parts else "not enforced"
    return f"{held} ({abilities['why_not']})" if abilities["why_not"] else held


def _application_line(application: dict[str, Any], services: list[dict[str, Any]]) -> str:
    serving, target = sum(s["serving"] for s in services), sum(s["target"] for s in services)
    going = ", is being removed" if application["removing"] else ""
    going += f", frozen ({application['frozen']})" if application["frozen"] else ""
    parts = f"{count(len(services), 'service')}, {serving} of {count(target, 'instance')} serving"
    return f"{application['name']} (revision {application['revision']}): {parts}{going}"


def _instances_line(one: dict[str, Any]) -> str:
    moving = [f"{one[name]} {name}" for name in ("coming", "leaving") if one[name]]
    return f"{one['serving']}/{one['target']}" + (f" ({', '.join(moving)})" if moving else "")
