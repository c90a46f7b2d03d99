"""`dcp apply` and `dcp remove`: look first, ask, do, wait until it is so.

The confirmation is for what was shown: the revision that was compared goes with the request, so that somebody else's
apply in between is refused instead of overwritten.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import count, err, out, price_lines, print_json, print_warnings, table
from dcp.cli.settling import Outcome, wait_until_gone, wait_until_settled
from dcp.compose import ComposeResult, read
from dcp.kernel.errors import Conflict

WAIT_LIMIT_S = 120.0
EFFECT_STYLES = {"create": "green", "remove": "red", "replace": "yellow", "in-place": ""}

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is so.")]
WaitLimit = Annotated[float, typer.Option("--wait-limit", min=0, help="Wait so many seconds at most.")]


def apply(
    file: Annotated[Path, typer.Argument(help="A Compose file.")],
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and change nothing.")] = False,
    profile: Annotated[list[str] | None, typer.Option(help="Activate a profile; may be given often.")] = None,
    name: Annotated[str | None, typer.Option(help="The application's name, instead of the file's.")] = None,
    wait: Wait = True,
    wait_limit_s: WaitLimit = WAIT_LIMIT_S,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Make a Compose file the wanted state: show the difference, ask, apply, wait."""
    wanted = read(file, environment=os.environ, profiles=tuple(profile or ()), name=name)
    print_warnings(wanted.warnings)
    with client(state, server, token) as api:
        preview = api.apply(wanted.spec, dry_run=True)
        if dry_run:
            _report(preview, wanted, None, json=json, dry_run=True)
            return
        if not preview["changes"]:
            _report(preview, wanted, None, json=json, dry_run=False)
            return
        _show(preview)
        _confirm_apply(preview, yes=yes)
        applied = api.apply(wanted.spec, expected_revision=preview["revision"])
        outcome = wait_until_settled(api, wanted.spec.name, wait_limit_s) if wait else None
        _report(applied, wanted, outcome, json=json, dry_run=False)
    if outcome is not None and not outcome.settled:
        raise typer.Exit(1)


def remove(
    application: Annotated[str, typer.Argument(help="The application's name.")],
    yes: Yes = False,
    wait: Wait = True,
    wait_limit_s: WaitLimit = WAIT_LIMIT_S,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Drain and stop an application, then forget it."""
    with client(state, server, token) as api:
        found = api.application(application)
        services = count(len(found["services"]), "service")
        _confirm(f"remove {application} with its {services}", yes=yes)
        answer = api.remove(application)
        gone = wait_until_gone(api, application, wait_limit_s) if wait else None
    if json:
        print_json({**answer, "gone": gone})
    else:
        out().print(f"{application} is {'gone' if gone else 'being removed'}")
    if gone is False:
        raise typer.Exit(1)


def _show(preview: dict[str, Any]) -> None:
    """Show the difference on stderr: it belongs to the question."""
    rows = table("", "BEFORE", "", "AFTER", "EFFECT")
    for change in preview["changes"]:
        effect = change["effect"]
        rows.add_row(
            change["path"],
            change["before"] or "-",
            "→",
            change["after"] or "-",
            Text(effect, style=EFFECT_STYLES.get(effect, "")),
        )
    for column in rows.columns:
        column.no_wrap = False
    err().print(rows)
    for line in price_lines(preview.get("prices", [])):
        err().print(line)


def _confirm_apply(preview: dict[str, Any], *, yes: bool) -> None:
    """A first apply takes nothing from anybody, so it needs no question."""
    if not preview["created"]:
        _confirm(f"apply {count(len(preview['changes']), 'change')} to {preview['application']}", yes=yes)


def _confirm(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Conflict(
            f"cannot ask whether to {what}: there is no terminal", hint="--yes says yes; nothing was changed"
        )
    if not typer.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        raise Conflict("not confirmed", hint="nothing was changed")


def _report(
    applied: dict[str, Any], wanted: ComposeResult, outcome: Outcome | None, *, json: bool, dry_run: bool
) -> None:
    name, changes = applied["application"], applied["changes"]
    if json:
        warnings = [{"path": w.path, "message": w.message, "hint": w.hint} for w in wanted.warnings]
        settled = None if outcome is None else outcome.settled
        problems = [] if outcome is None else list(outcome.because)
        found = {**applied, "dry_run": dry_run, "warnings": warnings, "settled": settled, "because": problems}
        print_json(found)
        return
    if not changes:
        out().print(f"nothing to do: {name} is already as the file says (revision {applied['revision']})")
    elif dry_run:
        _show(applied)
        out().print(f"{count(len(changes), 'change')} to {name}; nothing was changed (dry run)")
    else:
        out().print(f"{name}: revision {applied['revision']} applied")
    if outcome is not None and outcome.settled:
        for url in outcome.urls:
            out().print(f"  {url}")
