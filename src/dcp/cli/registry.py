"""`dcp registry`: dcp as the token server of the sites' registries."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dcp.api.client import Client, Json
from dcp.cli import registry_people
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, print_json, print_result, table
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import format_bytes, parse_duration_s

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(registry_people.accounts, name="accounts")
app.add_typer(registry_people.projects, name="projects")
app.add_typer(registry_people.members, name="members")
app.add_typer(registry_people.robots, name="robots")
EXIT_DENIED = 1


@app.command()
def certificate(
    jwks: Annotated[bool, typer.Option("--jwks", help="A set of JSON Web Keys, for registries of version 3.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Print the certificates that registries must trust: the file of `rootcertbundle`."""
    with client(state, server, token) as api:
        found = api.registry.certificate()
    if json:
        print_json(found)
    elif jwks:
        print_json(found["jwks"])
    else:
        print(found["pem"], end="", flush=True)


@app.command()
def config(
    site: Annotated[str, typer.Option("--site", help="The site whose registry it is.")],
    url: Annotated[str, typer.Option(help="Where registries and their clients reach dcp.")] = "",
    listens: Annotated[str, typer.Option(help="Where the registry listens.")] = ":5000",
    storage: Annotated[str, typer.Option(help="Where it keeps its files.")] = "/var/lib/docker-registry",
    bundle: Annotated[
        str, typer.Option(help="Where the certificates stand that `dcp registry certificate` prints.")
    ] = "/etc/docker/registry/dcp.pem",
    output: Annotated[Path | None, typer.Option(help="Write it there, readable by you alone.")] = None,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Print the `config.yml` of a site's registry. It holds secrets."""
    with client(state, server, token) as api:
        place = {"url": url, "listens": listens, "storage": storage, "bundle": bundle}
        found = api.registry.configuration(site, **place)
    if output is not None:
        _write_private(output, found["text"])
    elif json:
        print_json(found)
    else:
        print(found["text"], end="", flush=True)


@app.command()
def rotate(
    after: Annotated[str, typer.Option(help="How long registries have to be given the new certificate.")] = "24h",
    now: Annotated[bool, typer.Option("--now", help="Sign with it at once: the old key may have been stolen.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Announce a new signing key; the old one stays trusted until its last token has ended."""
    try:
        announced_s = 0.0 if now else parse_duration_s(after)
    except ValueError as error:
        raise InvalidInput((Problem("--after", str(error)),), subject="the command") from error
    with client(state, server, token) as api:
        key = api.registry.rotate(announced_s)
    if json:
        print_json(key)
        return
    when = "at once" if now else f"from {_time(key['signs_from'])} on"
    print_result(f"key {key['kid']} signs {when}")
    err().print("next: dcp registry certificate > BUNDLE at every registry, and restart it before then")


@app.command()
def why(
    account: Annotated[str, typer.Argument(help="The account; `anonymous` for nobody.")],
    repository: Annotated[str, typer.Argument(help="The repository, such as shop/feed.")],
    action: Annotated[str, typer.Argument(help="pull, push or delete.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Say whether an account may do something, and why. Exits with 1 if it may not."""
    with client(state, server, token) as api:
        found = api.registry.why(account, repository, action)
        past = [] if json else _denials(api, account)
    if json:
        print_json(found)
    else:
        print_result(f"{'allowed' if found['allowed'] else 'denied'} ({found['reason']}): {found['words']}")
        for one in past:
            print_result(f"  {_time(one['at'])} {one['words']}")
    if not found["allowed"]:
        raise typer.Exit(EXIT_DENIED)


@app.command()
def history(
    repository: Annotated[str, typer.Argument(help="Only of this repository.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Show what was pushed, pulled and deleted; of equal pulls the last."""
    with client(state, server, token) as api:
        found = api.registry.history(repository, limit)
    if json:
        print_json(found)
        return
    rows = table("TIME", "SITE", "ACTION", "IMAGE", "SIZE", "BY", "DIGEST", numbers=("SIZE",))
    for one in found["history"]:
        image = one["repository"] + (f":{one['tag']}" if one["tag"] else "")
        size = format_bytes(one["size_bytes"]) if one["size_bytes"] else "-"
        rows.add_row(_time(one["at"]), one["site"], one["action"], image, size, one["actor"] or "-", one["digest"])
    print_result(rows if found["history"] else "nothing yet")


def _denials(api: Client, account: str) -> list[Json]:
    """Return what the account was refused lately."""
    logged = api.events(limit=20, subject=f"account/{account}")["events"]
    return [one for one in logged if one["words"].startswith("may not ")][-5:]


def _write_private(path: Path, text: str) -> None:
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
    except OSError as error:
        problem = Problem("--output", f"{path} cannot be written: {error.strerror}")
        raise InvalidInput((problem,), subject="the command") from error


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
