"""`dcp surge` and `dcp surges`: say ahead what load will come, see what that takes, take it back."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any

import typer

from dcp.cli.explain import print_plan
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import out, print_json, print_result, table
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import format_duration, parse_duration_s

LOAD = re.compile(r"(?:(?P<application>[\w-]+)/)?(?P<service>[\w-]+)=(?P<value>\d+(?:\.\d+)?)(?P<unit>x|/s|)")
CLOCK = re.compile(r"(\d{1,2}):(\d{2})")

app = typer.Typer(add_completion=False)


def surge(
    load: Annotated[list[str], typer.Argument(metavar="LOAD...", help="feed=6x, feed=600/s (requests) or feed=20.")],
    lasts: Annotated[str, typer.Option("--for", help="How long it lasts, such as 2h.")],
    at: Annotated[str, typer.Option(help="When it begins: now, +30m, 20:00, or 2027-02-16T20:00.")] = "now",
    lead: Annotated[str, typer.Option(help="So long before, all shall start to grow.")] = "10m",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would take now.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Say what load will come, so that the application is large enough in time.

    What that would take now is shown.
    """
    application, services = _loads(load)
    lasts_s, lead_s = duration_of("--for", lasts), duration_of("--lead", lead)
    with client(state, server, token) as api:
        begins_at = begin(at, api.status()["now"])
        asked = {"services": services, "begins_at": begins_at, "lasts_s": lasts_s, "lead_s": lead_s}
        name = application or api.only_application()
        found = api.plan_surge({"application": name, **asked, "dry_run": dry_run})
    if json:
        print_json(found)
        return
    planned = found["surge"]
    if dry_run:
        out().print(f"rehearsal of {planned['asked']} for {name}, as if it began now; nothing was planned")
    else:
        out().print(f"{planned['id']}: {planned['asked']} for {name} {_span(planned)}")
        out().print(f"it grows from {_moment(planned['begins_at'] - planned['lead_s'])} on; if it began now:")
    print_plan(found["plan"])


@app.callback(invoke_without_command=True)
def surges(
    context: typer.Context, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """List planned surges; cancel one."""
    if context.invoked_subcommand is not None:
        return
    with client(state, server, token) as api:
        found = api.surges()
    if json:
        print_json(found)
        return
    rows = table("SURGE", "APPLICATION", "LOAD", "GROWS FROM", "BEGINS", "FOR")
    for one in found["surges"]:
        lasts = format_duration(one["ends_at"] - one["begins_at"])
        grows = _moment(one["begins_at"] - one["lead_s"])
        rows.add_row(one["id"], one["application"], one["asked"], grows, _moment(one["begins_at"]), lasts)
    print_result(rows if found["surges"] else "no surge is planned")


@app.command()
def cancel(
    surge: Annotated[str, typer.Argument(help="The surge's id, as `dcp surges` shows it.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Plan with a surge no more; what was added for it is given back as after any load."""
    with client(state, server, token) as api:
        found = api.cancel_surge(surge)
    if json:
        print_json(found)
    else:
        out().print(f"{surge} is cancelled")


def begin(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Return seconds since the epoch by the clocks of `zone` (None: this machine's). A time of day is the next one."""
    if text == "now":
        return now
    if text.startswith("+"):
        return now + duration_of("--at", text[1:])
    here = datetime.fromtimestamp(now, zone)
    if (clock := CLOCK.fullmatch(text)) and int(clock[1]) < 24 and int(clock[2]) < 60:
        today = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (today if today >= here else today + timedelta(days=1)).timestamp()
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        problem = Problem("--at", f"{text!r} is no moment", "such as now, +30m, 20:00 or 2027-02-16T20:00")
        raise InvalidInput((problem,)) from None
    return (told if told.tzinfo else told.replace(tzinfo=here.tzinfo)).timestamp()


def _loads(texts: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the application, if one is named, and what is expected of each service."""
    applications: set[str] = set()
    services: list[dict[str, Any]] = []
    for text in texts:
        match = LOAD.fullmatch(text)
        if match is None or (not match["unit"] and "." in match["value"]):
            problem = Problem(text, "says no load", "such as feed=6x, feed=600/s or feed=20 (instances)")
            raise InvalidInput((problem,), subject="surge")
        key = {"x": "times", "/s": "requests_per_s", "": "instances"}[match["unit"]]
        value = float(match["value"]) if match["unit"] else int(match["value"])
        services.append({"service": match["service"], key: value})
        applications.add(match["application"] or "")
    if len(applications) > 1:
        raise InvalidInput((Problem("LOAD", "names several applications", "plan a surge for each"),), subject="surge")
    return applications.pop(), services


def duration_of(option: str, text: str) -> float:
    """Return seconds. Raises InvalidInput that names the option."""
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InvalidInput((Problem(option, str(error), "such as 90s, 10m or 2h"),)) from error


def _span(planned: dict[str, Any]) -> str:
    return f"from {_moment(planned['begins_at'])} for {format_duration(planned['ends_at'] - planned['begins_at'])}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
