"""`dcp rehearse`: a surge played on what runs now, before it comes."""

import re
from typing import Annotated

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import out, print_json
from dcp.cli.surges import duration_of
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import format_duration

LOAD = re.compile(r"(?:(?P<application>[\w-]+)/)?(?P<service>[\w-]+)=(?P<times>\d+(?:\.\d+)?)x")


def rehearse(
    load: Annotated[str, typer.Argument(metavar="LOAD", help="feed=6x: so many times what arrives there now.")],
    lasts: Annotated[str, typer.Option("--for", help="How long it lasts, such as 30m.")] = "30m",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Play a surge on what runs now, on a virtual clock.

    The present application, load, hosts and settings, with fake instances; nothing is started or written.
    """
    match = LOAD.fullmatch(load)
    if match is None:
        raise InvalidInput((Problem(load, "says no load", "such as feed=6x"),), subject="rehearsal")
    lasts_s = duration_of("--for", lasts)
    with client(state, server, token) as api:
        name = match["application"] or api.only_application()
        found = api.rehearse(name, match["service"], float(match["times"]), lasts_s)
    if json:
        print_json(found)
        return
    spoken = format_duration(found["lasts_s"])
    out().print(f"{load} for {spoken}, from {found['requests_per_s']:,.1f} requests/s, with fake instances:")
    if found["recovery_s"] is None:
        out().print(f"  never answers well again within {spoken}; slow for {found['violation_s']:,.0f} s")
    else:
        out().print(f"  recovers after {found['recovery_s']:,.0f} s; slow for {found['violation_s']:,.0f} s in all")
    instances = f"{found['before']:,} grow to {found['peak_instances']:,} instances"
    out().print(f"  {instances}; {found['waiting_most']:,.0f} requests wait at most")
    out().print(f"  {found['peak_cloud_hosts']:,} cloud hosts at most, {found['cloud_usd']:,.2f} USD for them")
