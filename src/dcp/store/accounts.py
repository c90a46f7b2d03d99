"""Accounts of people and robots, projects, and who is which in them."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, insert, select, update

from dcp.images.access.model import Account, AccountKind, Grants, Member, Project, Role
from dcp.kernel.errors import Stale
from dcp.store.tables import accounts, members, projects

_FIND = select(accounts).where(accounts.c.name == bindparam("name"))
_EVERY = select(accounts).order_by(accounts.c.name)
_ADD = insert(accounts)
_CHANGE = update(accounts).where(
    accounts.c.name == bindparam("old_name"), accounts.c.version == bindparam("old_version")
)
_PROJECTS = select(projects).order_by(projects.c.name)
_FIND_PROJECT = select(projects).where(projects.c.name == bindparam("name"))
_MEMBERS = select(members).order_by(members.c.project, members.c.account)
_among: BindParameter[Any] = bindparam("among", expanding=True)
_PROJECTS_AMONG = _PROJECTS.where(projects.c.name.in_(_among))
_ROLES_AMONG = select(members.c.project, members.c.role).where(
    members.c.account == bindparam("name"), members.c.project.in_(_among)
)
_this_member = (members.c.project == bindparam("its_project"), members.c.account == bindparam("its_account"))
_FIND_MEMBER = select(members.c.role).where(*_this_member)


def add(connection: Connection, account: Account) -> None:
    """Insert an account; a name that exists raises Stale through its constraint."""
    connection.execute(_ADD, _values(account))


def change(connection: Connection, before: Account, after: Account) -> Account:
    """Write `after` over `before`, which keeps its name; Stale unless the row is still at its version."""
    stored = replace(after, name=before.name, version=before.version + 1)
    guard = {"old_name": before.name, "old_version": before.version}
    if connection.execute(_CHANGE, {**_values(stored), **guard}).rowcount != 1:
        raise Stale(f"account {before.name} was changed by somebody else meanwhile")
    return stored


def remove(connection: Connection, name: str) -> bool:
    """Drop an account with its memberships; return whether it was there."""
    connection.execute(delete(members).where(members.c.account == name))
    return connection.execute(delete(accounts).where(accounts.c.name == name)).rowcount > 0


def find(connection: Connection, name: str) -> Account | None:
    """Return one account."""
    row = connection.execute(_FIND, {"name": name}).one_or_none()
    return _account(row) if row is not None else None


def every(connection: Connection) -> tuple[Account, ...]:
    """Return every account, by name."""
    return tuple(_account(row) for row in connection.execute(_EVERY))


def put_project(connection: Connection, project: Project) -> Project | None:
    """Add a project, or make the one of this name `public` or not; return what it was before."""
    before = find_project(connection, project.name)
    if before is None:
        connection.execute(
            insert(projects).values(name=project.name, public=project.public, created_at=project.created_at)
        )
    elif before.public != project.public:
        connection.execute(update(projects).where(projects.c.name == project.name).values(public=project.public))
    return before


def remove_project(connection: Connection, name: str) -> bool:
    """Drop a project with its members; its images stay. Return whether it was there."""
    connection.execute(delete(members).where(members.c.project == name))
    return connection.execute(delete(projects).where(projects.c.name == name)).rowcount > 0


def find_project(connection: Connection, name: str) -> Project | None:
    """Return one project."""
    row = connection.execute(_FIND_PROJECT, {"name": name}).one_or_none()
    return Project(row.name, row.public, row.created_at) if row is not None else None


def every_project(connection: Connection) -> tuple[Project, ...]:
    """Return every project, by name."""
    return tuple(Project(row.name, row.public, row.created_at) for row in connection.execute(_PROJECTS))


def put_member(connection: Connection, member: Member) -> Role | None:
    """Give an account a role in a project, in place of the one that it has; return that one."""
    where = {"its_project": member.project, "its_account": member.account}
    before = connection.execute(_FIND_MEMBER, where).scalar_one_or_none()
    values = {"role": str(member.role)}
    if before is None:
        connection.execute(insert(members).values(project=member.project, account=member.account, **values))
    elif before != member.role:
        connection.execute(update(members).where(*_this_member), {**where, **values})
    return Role(before) if before is not None else None


def remove_member(connection: Connection, project: str, account: str) -> bool:
    """Take an account out of a project; return whether it was in it."""
    where = {"its_project": project, "its_account": account}
    return connection.execute(delete(members).where(*_this_member), where).rowcount > 0


def every_member(connection: Connection) -> tuple[Member, ...]:
    """Return every membership, by project and account."""
    return tuple(Member(row.project, row.account, Role(row.role)) for row in connection.execute(_MEMBERS))


def grants_of(connection: Connection, account: str, among: Collection[str]) -> Grants:
    """Return which of the projects `among` there are, and what `account` is in them; "" for nobody."""
    if not among:
        return Grants()
    names = sorted(among)
    found = connection.execute(_PROJECTS_AMONG, {"among": names})
    known = tuple(Project(row.name, row.public, row.created_at) for row in found)
    rows = connection.execute(_ROLES_AMONG, {"name": account, "among": names}) if account and known else ()
    return Grants(known, {row.project: Role(row.role) for row in rows})


def _values(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "kind": str(account.kind),
        "platform_admin": account.platform_admin,
        "bound_to": account.bound_to,
        "secret_hash": account.secret_hash,
        "created_at": account.created_at,
        "version": account.version,
    }


def _account(row: Row[Any]) -> Account:
    return Account(
        name=row.name,
        kind=AccountKind(row.kind),
        platform_admin=row.platform_admin,
        bound_to=row.bound_to,
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        version=row.version,
    )
