"""Verbs of `dcp registry` about who may do what: accounts, projects, members, robots.

Passwords are asked for, or read from stdin; never taken from an argument, which others can see.
"""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, print_json, print_result, table
from dcp.images.access.model import AccountKind, Role
from dcp.kernel.errors import InvalidInput, Problem

accounts = typer.Typer(help="People who may push and pull.", no_args_is_help=True)
projects = typer.Typer(help="Projects: what repositories with the same first component share.", no_args_is_help=True)
members = typer.Typer(help="Who is admin, developer or guest of a project.", no_args_is_help=True)
robots = typer.Typer(help="Accounts of hosts, mirrors and replication.", no_args_is_help=True)

AccountName = Annotated[str, typer.Argument(help="The account's name.")]
ProjectName = Annotated[str, typer.Argument(help="The project: the first component of its repositories.")]


class RobotKind(StrEnum):
    """What a robot is for."""

    HOST = "host"
    MIRROR = "mirror"
    REPLICATION = "replication"


@accounts.command("list")
def list_accounts(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List people."""
    with client(state, server, token) as api:
        found = api.registry.accounts()
    if json:
        print_json(found)
        return
    rows = table("ACCOUNT", "MADE", "RIGHTS")
    for one in found["accounts"]:
        rows.add_row(one["name"], _day(one["created_at"]), "platform admin" if one["platform_admin"] else "by projects")
    print_result(rows if found["accounts"] else "no accounts; try `dcp registry accounts add NAME`")


@accounts.command("add")
def add_account(
    name: AccountName,
    platform_admin: Annotated[
        bool, typer.Option("--platform-admin", help="May do everything in every project.")
    ] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Add a person; asks for the password, or reads it from stdin."""
    with client(state, server, token) as api:
        made = api.registry.add_account(name, _password(), platform_admin=platform_admin)
    _done(made, f"account {name} added", json=json)


@accounts.command("passwd")
def passwd(
    name: AccountName, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Give a person another password; asks for it, or reads it from stdin."""
    with client(state, server, token) as api:
        changed = api.registry.set_password(name, _password())
    _done(changed, f"password of {name} changed; log-ins with the old one have ended", json=json)


@accounts.command("remove")
def remove_account(
    name: AccountName, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Remove a person with their memberships."""
    with client(state, server, token) as api:
        gone = api.registry.remove_account(name)
    _done(gone, f"account {name} removed", json=json)


@projects.command("list")
def list_projects(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List projects."""
    with client(state, server, token) as api:
        found = api.registry.projects()
    if json:
        print_json(found)
        return
    rows = table("PROJECT", "MADE", "PULL")
    for one in found["projects"]:
        rows.add_row(one["name"], _day(one["created_at"]), "everybody" if one["public"] else "members")
    print_result(rows if found["projects"] else "no projects; try `dcp registry projects add NAME`")


@projects.command("add")
def add_project(
    name: ProjectName,
    public: Annotated[bool, typer.Option("--public", help="Everybody may pull, without an account too.")] = False,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Add a project; of one that there is, change whether it is public."""
    with client(state, server, token) as api:
        made = api.registry.put_project(name, public=public)
    _done(made, f"project {name}: {'everybody' if public else 'members'} may pull", json=json)


@projects.command("remove")
def remove_project(
    name: ProjectName, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Remove a project with its members; its images stay."""
    with client(state, server, token) as api:
        gone = api.registry.remove_project(name)
    _done(gone, f"project {name} removed; its images stay", json=json)


@members.command("list")
def list_members(
    project: Annotated[str, typer.Argument(help="Only of this project.")] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """List members by project."""
    with client(state, server, token) as api:
        found = api.registry.members(project)
    if json:
        print_json(found)
        return
    rows = table("PROJECT", "ACCOUNT", "ROLE")
    for one in found["members"]:
        rows.add_row(one["project"], one["account"], one["role"])
    print_result(rows if found["members"] else "no members; try `dcp registry members add PROJECT ACCOUNT ROLE`")


@members.command("add")
def add_member(
    project: ProjectName,
    account: AccountName,
    role: Annotated[Role, typer.Argument(help="admin: pull, push, delete; developer: pull, push; guest: pull.")],
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Give a person a role in a project, in place of the one they have."""
    with client(state, server, token) as api:
        made = api.registry.put_member(project, account, role)
    _done(made, f"{account} is {role} of project {project}", json=json)


@members.command("remove")
def remove_member(
    project: ProjectName,
    account: AccountName,
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Take a person out of a project."""
    with client(state, server, token) as api:
        gone = api.registry.remove_member(project, account)
    _done(gone, f"{account} is no member of project {project} any more", json=json)


@robots.command("list")
def list_robots(json: AsJson = False, state: State = None, server: Server = None, token: Token = None) -> None:
    """List robots that somebody made; those of dcp's own hosts and mirrors need none."""
    with client(state, server, token) as api:
        found = api.registry.robots()
    if json:
        print_json(found)
        return
    rows = table("ROBOT", "KIND", "OF", "MADE")
    for one in found["accounts"]:
        rows.add_row(one["name"], one["kind"], one["bound_to"] or "-", _day(one["created_at"]))
    print_result(rows if found["accounts"] else "no robots; try `dcp registry robots add robot.NAME KIND`")


@robots.command("add")
def add_robot(
    name: Annotated[str, typer.Argument(help="Its name, which begins with `robot.`.")],
    kind: Annotated[
        RobotKind, typer.Argument(help="host: pulls what a host needs; mirror: what a site needs; replication: all.")
    ],
    of: Annotated[str, typer.Option("--of", help="The host of a host's robot; the site of a mirror's.")] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Add a robot and print its secret, this once."""
    with client(state, server, token) as api:
        made = api.registry.add_robot(name, AccountKind(kind), of)
    _secret(made, json=json)


@robots.command("renew")
def renew_robot(
    name: AccountName, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Give a robot a new secret and print it, this once; the old one is worthless."""
    with client(state, server, token) as api:
        made = api.registry.renew_robot(name)
    _secret(made, json=json)


@robots.command("remove")
def remove_robot(
    name: AccountName, json: AsJson = False, state: State = None, server: Server = None, token: Token = None
) -> None:
    """Remove a robot."""
    with client(state, server, token) as api:
        gone = api.registry.remove_robot(name)
    _done(gone, f"robot {name} removed", json=json)


def _done(answer: dict[str, Any], words: str, *, json: bool) -> None:
    if json:
        print_json(answer)
    else:
        print_result(words)


def _secret(robot: dict[str, Any], *, json: bool) -> None:
    """The secret alone goes to stdout, so that it can be piped into `docker login --password-stdin`."""
    if json:
        print_json(robot)
        return
    err().print(f"secret of {robot['name']}, shown this once:")
    print(robot["secret"], flush=True)


def _password() -> str:
    if sys.stdin.isatty():
        found: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return found
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        hint = "on one line: printf '%s' \"$PASSWORD\" | dcp registry accounts add NAME"
        raise InvalidInput((Problem("password", "is missing on stdin", hint),), subject="stdin")
    return line


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%Y-%m-%d")
