"""What administrators ask for: accounts, projects, members, robots. Every change is an event.

A secret is shown once, to whoever made it; the store keeps a hash.
"""

import asyncio
import secrets
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.context import Context
from dcp.engine.registry.identity import PASSWORD_LIMIT
from dcp.images.access.model import (
    ROBOTS,
    Account,
    AccountKind,
    Member,
    Project,
    problem_of_account_name,
    problem_of_project_name,
)
from dcp.images.access.ports import Passwords
from dcp.kernel.errors import Conflict, InvalidInput, NotFound, Problem
from dcp.kernel.events import Event
from dcp.store import accounts, events

PASSWORD_LEAST = 10
SECRET_BYTES = 32
ACCOUNTS_HINT = "see `dcp registry accounts list`"
ROBOTS_HINT = "see `dcp registry robots list`"


@dataclass(frozen=True, slots=True)
class NewRobot:
    """A robot and its secret, which nobody can read again."""

    account: Account
    secret: str

    def __repr__(self) -> str:
        return f"NewRobot({self.account.name!r}, [redacted])"


async def add_account(
    context: Context, passwords: Passwords, name: str, password: str, *, platform_admin: bool = False
) -> Account:
    """Add a person. Raises InvalidInput, or Conflict if there is an account of this name."""
    _refuse(_named("name", problem_of_account_name(name)), _named("password", _problem_of_password(password)))
    hashed = await asyncio.to_thread(passwords.hash, password)
    account = Account(name, AccountKind.PERSON, platform_admin, "", hashed, context.clock.now())
    words = "added as a platform admin, who may do everything" if platform_admin else "added"
    await _add(context, account, words)
    return account


async def set_password(context: Context, passwords: Passwords, name: str, password: str) -> Account:
    """Give a person another password; where they are logged in, they are not any more."""
    _refuse(_named("password", _problem_of_password(password)))
    await _person(context, name)
    hashed = await asyncio.to_thread(passwords.hash, password)

    def work(connection: Connection) -> Account:
        account = _find(connection, name, robot=False)
        _note(connection, context, Event(account.subject, "password-changed", "its password was changed"))
        return accounts.change(connection, account, replace(account, secret_hash=hashed))

    return await context.database.write(work)


async def remove_account(context: Context, name: str, *, robot: bool = False) -> None:
    """Drop an account with its memberships. Tokens that it has end within minutes."""

    def work(connection: Connection) -> None:
        account = _find(connection, name, robot=robot)
        accounts.remove(connection, name)
        _note(connection, context, Event(account.subject, "account-removed", "removed", before=str(account.kind)))

    await context.database.write(work)


async def put_project(context: Context, name: str, *, public: bool) -> Project:
    """Add a project, or make the one of this name public or not. The same again changes nothing."""
    _refuse(_named("name", problem_of_project_name(name)))
    project = Project(name, public, context.clock.now())

    def work(connection: Connection) -> Project:
        before = accounts.put_project(connection, project)
        if before is None:
            words = "added; everybody may pull" if public else "added"
            _note(connection, context, Event(project.subject, "project-added", words))
        elif before.public != public:
            words = "everybody may pull now" if public else "only members may pull now"
            _note(
                connection, context, Event(project.subject, "project-published" if public else "project-closed", words)
            )
        return replace(project, created_at=before.created_at) if before else project

    return await context.database.write(work)


async def remove_project(context: Context, name: str) -> None:
    """Drop a project with its members. Its images stay; only platform admins can reach them then."""

    def work(connection: Connection) -> None:
        if not accounts.remove_project(connection, name):
            raise _no_project(name)
        _note(connection, context, Event(f"project/{name}", "project-removed", "removed; its images stay"))

    await context.database.write(work)


async def put_member(context: Context, member: Member) -> None:
    """Give a person a role in a project, in place of the one they have. The same again changes nothing."""

    def work(connection: Connection) -> None:
        if accounts.find_project(connection, member.project) is None:
            raise _no_project(member.project)
        account = _find(connection, member.account, robot=False)
        before = accounts.put_member(connection, member)
        if before != member.role:
            words = f"{member.account} is {member.role} of project {member.project}"
            changed = Event(account.subject, "member-set", words, str(before or ""), str(member.role))
            _note(connection, context, changed)

    await context.database.write(work)


async def remove_member(context: Context, project: str, account: str) -> None:
    """Take a person out of a project."""

    def work(connection: Connection) -> None:
        if not accounts.remove_member(connection, project, account):
            hint = f"see `dcp registry members list {project}`"
            raise NotFound(f"{account} is no member of project {project}", hint=hint)
        words = f"no member of project {project} any more"
        _note(connection, context, Event(f"account/{account}", "member-removed", words))

    await context.database.write(work)


async def add_robot(
    context: Context, passwords: Passwords, name: str, kind: AccountKind, bound_to: str = ""
) -> NewRobot:
    """Add a robot and return its secret. Raises InvalidInput, or Conflict if there is an account of this name."""
    problem = problem_of_account_name(name, robot=True)
    wrong_kind = "" if kind in ROBOTS else "must be host, mirror or replication"
    unbound = "a robot of a host must say which host" if kind == AccountKind.HOST and not bound_to else ""
    _refuse(_named("name", problem), _named("kind", wrong_kind), _named("bound_to", unbound))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    hashed = passwords.hash_of_random(secret)
    account = Account(name, kind, False, bound_to, hashed, context.clock.now())
    await _add(context, account, f"robot added: {kind} {bound_to}".rstrip())
    return NewRobot(account, secret)


async def renew_robot(context: Context, passwords: Passwords, name: str) -> NewRobot:
    """Give a robot a new secret and return it; the old one is worthless from now on."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    hashed = passwords.hash_of_random(secret)

    def work(connection: Connection) -> Account:
        account = _find(connection, name, robot=True)
        _note(connection, context, Event(account.subject, "secret-renewed", "its secret was made anew"))
        return accounts.change(connection, account, replace(account, secret_hash=hashed))

    return NewRobot(await context.database.write(work), secret)


async def _add(context: Context, account: Account, words: str) -> None:
    def work(connection: Connection) -> None:
        if accounts.find(connection, account.name) is not None:
            raise Conflict(
                f"there is an account {account.name} already", hint="choose another name, or change that one"
            )
        accounts.add(connection, account)
        _note(connection, context, Event(account.subject, "account-added", words, after=str(account.kind)))

    await context.database.write(work)


async def _person(context: Context, name: str) -> Account:
    return await context.database.read(lambda connection: _find(connection, name, robot=False))


def _find(connection: Connection, name: str, *, robot: bool) -> Account:
    account = accounts.find(connection, name)
    if account is None or (account.kind in ROBOTS) != robot:
        noun, hint = ("robot", ROBOTS_HINT) if robot else ("account of a person", ACCOUNTS_HINT)
        raise NotFound(f"there is no {noun} {name}", hint=hint)
    return account


def _no_project(name: str) -> NotFound:
    return NotFound(f"there is no project {name}", hint="see `dcp registry projects list`")


def _note(connection: Connection, context: Context, event: Event) -> None:
    events.append(connection, context.clock.now(), [event])


def _problem_of_password(password: str) -> str:
    if len(password) < PASSWORD_LEAST:
        return f"must have at least {PASSWORD_LEAST} characters"
    if len(password) > PASSWORD_LIMIT:
        return f"must have at most {PASSWORD_LIMIT} characters"
    return "must be one line" if any(ord(one) < 32 for one in password) else ""


def _named(path: str, words: str) -> tuple[Problem, ...]:
    return (Problem(path, words),) if words else ()


def _refuse(*problems: tuple[Problem, ...]) -> None:
    found = tuple(problem for some in problems for problem in some)
    if found:
        raise InvalidInput(found, subject="the request")
