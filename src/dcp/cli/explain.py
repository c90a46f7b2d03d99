"""Verbs that tell what happened, what would happen, and why."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.api.client import Client
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import clock_time, count, indented, number, price_lines, print_json, print_result, table
from dcp.cli.waiting import Patience
from dcp.images.warming.model import PlannedWarming, Way
from dcp.kernel.errors import NotFound
from dcp.kernel.units import format_duration

FOLLOW_EVERY_S = 0.5
PAGE = 1000


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen, until interrupted.")] = False,
    after: Annotated[int | None, typer.Option(help="Only events behind this place in the log.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="How many at most.")] = 50,
    subject: Annotated[str, typer.Option(help="Only of this subject, such as service/shop/feed.")] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show what happened, and why.

    With --follow and --json each event is one line of JSON.
    """
    with client(state, server, token) as api:
        found = api.events(after, limit=limit, subject=subject)
        if json and not follow:
            print_json(found)
            return
        _print_events(found["events"], json=json)
        if follow:
            last = found["events"][-1]["seq"] if found["events"] else after or 0
            _follow(api, last, subject, json=json)


def plan(
    application: Annotated[str | None, typer.Argument(help="An application, or the id of a plan.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show what would change now, or a plan that was applied.

    Without a name the only application there is.
    """
    with client(state, server, token) as api:
        found = _plan(api, application or api.only_application())
    if json:
        print_json(found)
        return
    print_result(f"plan {found['id']} for {found['application']}, policy {found['policy']}")
    print_plan(found)


def print_plan(found: dict[str, Any]) -> None:
    """Print what a plan does, and why."""
    targets = table("SERVICE", "TARGET", "DOES", "WHY", numbers=("TARGET",))
    for one in found["targets"]:
        targets.add_row(one["service"], str(one["target"]), one["direction"], one["words"])
    print_result(targets)
    lines = list(_plan_lines(found))
    for line in lines or ["nothing to do"]:
        print_result(line)


def why(
    subject: Annotated[str, typer.Argument(help="feed, shop/feed, feed-3, cloud-1, or as events name it.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Say why a service, instance, host or application is as it is."""
    with client(state, server, token) as api:
        found = api.why(subject)
    if json:
        print_json(found)
        return
    print_result(Text(found["now"], style="bold"))
    for line in found["because"]:
        print_result(indented(line))
    if found["events"]:
        print_result("what happened:")
        _print_events(found["events"], json=False, with_subject=False)


def logs(
    instance: Annotated[str, typer.Argument(help="The instance's id; see `dcp instances`.")],
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines at most.")] = 100,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Print the last lines that an instance wrote."""
    with client(state, server, token) as api:
        found = api.logs(instance, tail)
    if json:
        print_json(found)
        return
    for line in found["lines"]:
        typer.echo(line)


def _follow(api: Client, last: int, subject: str, *, json: bool) -> None:
    patience = Patience()
    try:
        while True:
            found = api.events(last, limit=PAGE, subject=subject)["events"]
            _print_events(found, json=json)
            if found:
                last = found[-1]["seq"]
            if len(found) < PAGE:
                patience.wait(FOLLOW_EVERY_S)
    except KeyboardInterrupt:
        return


def _print_events(found: list[dict[str, Any]], *, json: bool, with_subject: bool = True) -> None:
    for event in found:
        if json:
            print_json(event)
            continue
        step = f" {event['before']} → {event['after']}" if event["after"] and event["before"] else ""
        subject = (f"{event['subject']} ", "bold") if with_subject else ""
        head = Text.assemble((clock_time(event["at"]), "dim"), "  ", subject, (event["reason"], "cyan"), step)
        print_result(Text.assemble(head, f": {event['words']}"))


def _plan(api: Client, name: str) -> dict[str, Any]:
    """A plan's id names one that was applied; anything else is an application."""
    try:
        return api.next_plan(name)
    except NotFound as missing:
        try:
            return api.plan(name)
        except NotFound:
            raise missing from None


def _plan_lines(found: dict[str, Any]) -> Iterable[str]:
    for host in found["hosts"]:
        price = number(host["host"]["host_type"]["price_usd_per_hour"], 3)
        yield f"+ host {host['host']['id']} from {host['host']['source']} at {price} USD/h: {host['why']}"
    for one in found.get("take_overs", []):
        yield f"+ host {one['host']['id']} of {one['host']['source']}: {one['words']}"
    for one in found.get("claims", []):
        yield f"< host {one['host']['id']} from cluster {one['host']['cluster'] or 'none'}: {one['words']}"
    for one in found["instances"]:
        held = "".join(f"; held until {g['serving_at_least']} {g['service']} serve" for g in one["instance"]["gate"])
        yield f"+ instance {one['instance']['id']} on {one['instance']['host_id']}: {one['why']}{held}"
    for one in found.get("warming", []):
        yield f"~ image {_warming_words(one)}"
    for removal in found["removals"]:
        yield f"- instance {removal['instance_id']}: {removal['words']}"
    for hold in found["holds"]:
        yield f"! {hold['service']}: {hold['words']}"
    for unplaced in found["unplaced"]:
        yield f"! {unplaced['service']}: {unplaced['words']}"
    if found["hosts"]:
        hosts, price = count(len(found["hosts"]), "host"), found["price_change_usd_per_hour"]
        yield f"{hosts} more, {price:+.3f} USD per hour, ready in {format_duration(found['ready_in_s'])}"
        yield from price_lines(found.get("prices", []))


def _warming_words(one: dict[str, Any]) -> str:
    numbers = (one["mirrors_to_add"], one["size_bytes"], one["line_bytes"], one["seconds"])
    return PlannedWarming(one["image"], one["site"], tuple(one["hosts"]), Way(one["way"]), *numbers).words
