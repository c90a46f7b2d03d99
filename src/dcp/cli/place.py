"""`dcp place`: so many instances of a service, or where they would stand."""

from typing import Annotated

import typer

from dcp.cli.explain import print_plan
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import print_json, print_result
from dcp.kernel.errors import InvalidInput, Problem


def place(
    counts: Annotated[list[str], typer.Argument(metavar="SERVICE=COUNT...", help="Instances in all, such as feed=12.")],
    application: Annotated[str | None, typer.Option(help="The application; the only one if not stated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan; nothing is written.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Let services have so many instances now, or show where they would stand.

    Shows where each goes and why, and what fits nowhere. Scaling decides again from then on.
    """
    asked = counts_of(counts, "place")
    with client(state, server, token) as api:
        found = api.place(application or api.only_application(), asked, dry_run=dry_run)
    if json:
        print_json(found)
        return
    print_result(f"would be applied to {found['application']}" if dry_run else f"asked for in {found['application']}")
    print_plan(found)


def counts_of(texts: list[str], subject: str) -> dict[str, int]:
    """Read `feed=12` for each service. Raises InvalidInput with every problem."""
    found: dict[str, int] = {}
    problems: list[Problem] = []
    for text in texts:
        name, _, count = text.partition("=")
        if not name or not count.isascii() or not count.isdigit() or len(count) > 9:
            problems.append(Problem(text, "does not say how many", "such as feed=12"))
        elif name in found:
            problems.append(Problem(text, "names a service twice", "name it once"))
        else:
            found[name] = int(count)
    if problems:
        raise InvalidInput(tuple(problems), subject=subject)
    return found
