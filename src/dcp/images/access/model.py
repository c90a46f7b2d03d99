"""Words of access: accounts of people and robots, projects with members, and what runs where.

A project is the first component or components of repositories: `shop` holds `shop/feed`, and `shop/tools` holds
`shop/tools/lint` if there is such a project; the longest one that fits counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dcp.images.model import is_repository

PULL, PUSH, DELETE = "pull", "push", "delete"
EVERYTHING = "*"
"""As an action: all that the account may do. Clients that delete ask for it, and so does the catalogue."""
ANONYMOUS = "anonymous"
"""Whoever has not said who they are, in events and questions."""
ROBOT_PREFIX = "robot."
OWN_PREFIX = "dcp."
"""Names below it are of the accounts that dcp makes for its own hosts and mirrors; they stand in no table."""

_ACCOUNT = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Role(StrEnum):
    """What a member of a project may do there."""

    ADMIN = "admin"  # pull, push and delete
    DEVELOPER = "developer"  # pull and push
    GUEST = "guest"  # pull


ROLE_ACTIONS: dict[Role, frozenset[str]] = {
    Role.ADMIN: frozenset({PULL, PUSH, DELETE}),
    Role.DEVELOPER: frozenset({PULL, PUSH}),
    Role.GUEST: frozenset({PULL}),
}


class AccountKind(StrEnum):
    """A person, or a robot by what it is for."""

    PERSON = "person"
    HOST = "host"  # pulls what runs, or is about to run, on one host
    MIRROR = "mirror"  # pulls what instances of one site need
    REPLICATION = "replication"  # copies between registries: pulls and pushes everywhere


ROBOTS = frozenset({AccountKind.HOST, AccountKind.MIRROR, AccountKind.REPLICATION})


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody or something that may ask for tokens."""

    name: str
    kind: AccountKind = AccountKind.PERSON
    platform_admin: bool = False
    """May do everything everywhere; only people."""
    bound_to: str = ""
    """The host of a HOST robot; the site of a MIRROR robot, "" for hosts without a site."""
    secret_hash: str = field(default="", repr=False)
    created_at: float = 0.0
    version: int = 0

    @property
    def subject(self) -> str:
        return f"account/{self.name}"


@dataclass(frozen=True, slots=True)
class Project:
    """`public`: everybody may pull, without an account too."""

    name: str
    public: bool = False
    created_at: float = 0.0

    @property
    def subject(self) -> str:
        return f"project/{self.name}"

    def holds(self, repository: str) -> bool:
        """Return whether `repository` is of this project."""
        return repository == self.name or repository.startswith(f"{self.name}/")


@dataclass(frozen=True, slots=True)
class Member:
    """The role of an account in a project."""

    project: str
    account: str
    role: Role


@dataclass(frozen=True, slots=True)
class Grants:
    """What is known when one account asks: the projects that may hold what it asks for, and its role in some."""

    projects: tuple[Project, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    """By project."""

    def project_of(self, repository: str) -> Project | None:
        """Return the project with the longest name that holds `repository`."""
        found = [project for project in self.projects if project.holds(repository)]
        return max(found, key=lambda project: len(project.name), default=None)


@dataclass(frozen=True, slots=True)
class Need:
    """A repository that an instance needs which runs, or is planned, on a host."""

    repository: str
    host_id: str
    site: str = ""


@dataclass(frozen=True, slots=True)
class ImagePush:
    """What a registry told: somebody pushed, pulled or deleted. Of equal pulls only the last is kept."""

    id: str
    """The registry's own id of the notification; the same twice is one."""
    site: str
    repository: str
    action: str
    at: float
    tag: str = ""
    digest: str = ""
    actor: str = ""
    media_type: str = ""
    size_bytes: int = 0


def is_account_name(name: str) -> bool:
    """Return whether an account may have this name at all; the store is not asked for any other."""
    return _ACCOUNT.fullmatch(name) is not None


def problem_of_account_name(name: str, *, robot: bool = False) -> str:
    """Return what is wrong with the name of a new account; "" if nothing is."""
    if not is_account_name(name):
        return "use lower-case letters, digits and between them . _ - and at most 63 characters"
    if name == ANONYMOUS:
        return "this is what nobody is called"
    if name.startswith(OWN_PREFIX):
        return f"names that begin with {OWN_PREFIX} are dcp's own"
    if robot != name.startswith(ROBOT_PREFIX):
        return f"names of robots begin with {ROBOT_PREFIX}, and only those"
    return ""


def problem_of_project_name(name: str) -> str:
    """Return what is wrong with the name of a project; "" if nothing is."""
    if not is_repository(name):
        return "use the first component of its repositories: lower-case letters, digits and between them . _ - /"
    return ""
