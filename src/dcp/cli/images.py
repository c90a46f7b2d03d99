"""`dcp images`: what there is and where, how it came to be, building, and taking out what nobody needs."""

from typing import Annotated, Any

import typer

from dcp.cli import images_build
from dcp.cli.images_report import difference_table
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import age, clock_time, count, print_json, print_result, table
from dcp.cli.output import state as in_colour
from dcp.kernel.units import format_bytes, format_duration

app = typer.Typer(add_completion=False)
app.command("build")(images_build.build)
Repository = Annotated[str, typer.Argument(help="Without the registry, such as shop/web.")]
SHORT_DIGEST = len("sha256:") + 12


@app.callback(invoke_without_command=True)
def images(
    context: typer.Context,
    repository: Annotated[str, typer.Option(help="Only of this repository.")] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """List images and where they are; build, compare and collect them."""
    if context.invoked_subcommand is not None:
        return
    with client(state, server, token) as api:
        found = api.images.list(repository)
        if json:
            print_json(found)
            return
        now = api.status()["now"]
    rows = table("IMAGE", "DIGEST", "SIZE", "SITES", "LAG", "PUSHED", "USED BY", numbers=("SIZE",))
    for one in found["images"]:
        pushed = f"{age(one['pushed_at'], now)} ago" + (f" by {one['pushed_by']}" if one["pushed_by"] else "")
        rows.add_row(
            _name(one),
            one["digest"][:SHORT_DIGEST],
            format_bytes(one["size_bytes"]),
            _sites(one),
            _lag(one),
            pushed,
            ", ".join(one["used_by"]),
        )
    print_result(rows if found["images"] else f"no images; push one to {found['registry']}, or try `dcp images build`")


@app.command()
def history(
    repository: Repository, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Show pushes and builds of a repository, newest first."""
    with client(state, server, token) as api:
        found = api.images.history(repository)
    if json:
        print_json(found)
        return
    rows = table("AT", "WHAT", "TAG", "DIGEST", "BY", "FROM", "TOOK", "NEW", numbers=("TOOK", "NEW"))
    lines = [(one["pushed_at"], _push_row(one)) for one in found["pushes"]]
    lines += [(one["built_at"], _build_row(one)) for one in found["builds"]]
    for at, row in sorted(lines, key=lambda line: line[0], reverse=True):
        rows.add_row(clock_time(at), *row)
    print_result(rows)


@app.command()
def log(
    build: Annotated[str, typer.Argument(help="The build, as the history names it.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Print what the builder wrote."""
    with client(state, server, token) as api:
        found = api.images.build_log(build)
    if json:
        print_json(found)
    else:
        print(found["log"], end="" if found["log"].endswith("\n") else "\n", flush=True)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="An image, such as shop/web:1 or shop/web@sha256:...")],
    new: Annotated[str, typer.Argument(help="Another one.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Say what a change from one image to another moves, and which images stand on the old one."""
    with client(state, server, token) as api:
        found = api.images.difference(old, new)
    if json:
        print_json(found)
        return
    print_result(difference_table(found))


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken out.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Take images out of every registry that no service and no kept revision needs."""
    with client(state, server, token) as api:
        found = api.images.collect(dry_run=dry_run)
        now = api.status()["now"]
    if json:
        print_json(found)
        return
    rows = table("REPOSITORY", "DIGEST", "TAGS", "PUSHED", "SIZE", "SITES", numbers=("SIZE",))
    for one in found["removals"]:
        pushed, size = f"{age(one['pushed_at'], now)} ago", format_bytes(one["size_bytes"])
        digest = one["digest"][:SHORT_DIGEST]
        rows.add_row(one["repository"], digest, ", ".join(one["tags"]), pushed, size, ", ".join(one["sites"]))
    if found["removals"]:
        print_result(rows)
    kept = ", ".join(f"{number} {why}" for why, number in sorted(found["kept"].items())) or "none"
    verb = "would leave" if dry_run else "leave"
    amount = count(len(found["removals"]), "image")
    print_result(f"{amount} {verb} every registry, {format_bytes(found['freed_bytes'])} at each site; kept: {kept}")


def _name(one: dict[str, Any]) -> str:
    name: str = one["repository"]
    return f"{name}:{one['tag']}" if one["tag"] else name


def _sites(one: dict[str, Any]) -> Any:
    parts = [
        site["site"] if site["state"] == "present" else f"{site['site']} ({in_colour(site['state'])})"
        for site in one["sites"]
    ]
    return ", ".join(parts)


def _lag(one: dict[str, Any]) -> str:
    if all(site["state"] == "present" for site in one["sites"]):
        return ""
    return f"{format_duration(round(one['lag_s'], 1))}, {format_bytes(one['lag_bytes'])}"


def _push_row(one: dict[str, Any]) -> tuple[str, ...]:
    by = one["pushed_by"] or ("found by comparison" if one["found_by"] == "comparison" else "")
    return "pushed", one["tag"], one["digest"][:SHORT_DIGEST], by, f"to {one['site']}", "", ""


def _build_row(one: dict[str, Any]) -> tuple[str, ...]:
    took, new = format_duration(round(one["duration_s"], 1)), format_bytes(one["new_bytes"])
    source = f"{one['source']} (build {one['id']})"
    return "built", one["tag"], one["digest"][:SHORT_DIGEST], one["built_by"], source, took, new
