"""Decide what an account may do: every action that is asked for gets a verdict with its reason.

A right that is missing is no error: the token is made without it, the registry refuses, and the verdict says why.
"""

from dataclasses import dataclass

from dcp.images.access.model import (
    DELETE,
    EVERYTHING,
    OWN_PREFIX,
    PULL,
    PUSH,
    ROLE_ACTIONS,
    Account,
    AccountKind,
    Grants,
    Need,
    Project,
    Role,
)
from dcp.images.access.scopes import Scope
from dcp.images.model import is_repository

_REPOSITORY_ACTIONS = (DELETE, PULL, PUSH)
_ROBOT_ACTIONS = {
    AccountKind.HOST: frozenset({PULL}),
    AccountKind.MIRROR: frozenset({PULL}),
    AccountKind.REPLICATION: frozenset({PULL, PUSH}),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one action is allowed, a stable code, and words for people."""

    action: str
    allowed: bool
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class ScopeDecision:
    """The verdicts on one scope."""

    scope: Scope
    verdicts: tuple[Verdict, ...]

    @property
    def granted(self) -> tuple[str, ...]:
        """The actions that the token allows."""
        return tuple(verdict.action for verdict in self.verdicts if verdict.allowed)

    @property
    def refused(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.allowed)


def decide_access(
    account: Account | None, scopes: tuple[Scope, ...], grants: Grants, needs: tuple[Need, ...] = ()
) -> tuple[ScopeDecision, ...]:
    """Return the verdicts on every scope. `account` None: nobody has said who they are.

    `needs` are those of the host (HOST) or of the site (MIRROR) that a robot is bound to; others are left out of
    account. `*` on a repository stands for every action; those that are not allowed are left out of its verdicts
    unless none is.
    """
    return tuple(ScopeDecision(scope, _verdicts(account, scope, grants, needs)) for scope in scopes)


def projects_asked(scopes: tuple[Scope, ...]) -> frozenset[str]:
    """Return the name of every project that could hold a repository of the scopes."""
    found: set[str] = set()
    for scope in scopes:
        parts = _without_registry(scope.name).split("/")
        found.update("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(name for name in found if is_repository(name))


def _verdicts(account: Account | None, scope: Scope, grants: Grants, needs: tuple[Need, ...]) -> tuple[Verdict, ...]:
    if scope.kind == "registry" and scope.name == "catalog":
        return tuple(_of_catalogue(account, action) for action in scope.actions)
    repository = _without_registry(scope.name)
    if scope.kind != "repository" or not is_repository(repository):
        words = f"{scope.kind} {scope.name} is nothing that this token server knows"
        return tuple(Verdict(action, False, "unknown-resource", words) for action in scope.actions)
    found: dict[str, Verdict] = {}
    for action in scope.actions:
        for verdict in _expanded(account, repository, action, grants, needs):
            found.setdefault(verdict.action, verdict)
    return tuple(found.values())


def _expanded(
    account: Account | None, repository: str, action: str, grants: Grants, needs: tuple[Need, ...]
) -> tuple[Verdict, ...]:
    if action != EVERYTHING:
        return (_of_repository(account, repository, action, grants, needs),)
    every = tuple(_of_repository(account, repository, one, grants, needs) for one in _REPOSITORY_ACTIONS)
    return tuple(verdict for verdict in every if verdict.allowed) or every


def _of_catalogue(account: Account | None, action: str) -> Verdict:
    if account and account.platform_admin:
        return Verdict(action, True, "platform-admin", f"{account.name} is a platform admin")
    if account and account.kind == AccountKind.REPLICATION:
        return Verdict(action, True, "replication", f"{account.name} copies between registries")
    words = "the list of all repositories is for platform admins and replication only"
    return Verdict(action, False, "catalogue-is-for-admins", words)


def _of_repository(
    account: Account | None, repository: str, action: str, grants: Grants, needs: tuple[Need, ...]
) -> Verdict:
    if action not in _REPOSITORY_ACTIONS:
        return Verdict(action, False, "unknown-action", f"{action} is not pull, push or delete")
    if account and account.platform_admin:
        return Verdict(action, True, "platform-admin", f"{account.name} is a platform admin")
    if account and account.kind != AccountKind.PERSON:
        return _of_robot(account, repository, action, needs)
    project = grants.project_of(repository)
    if project is None:
        words = f"no project holds {repository}; a platform admin makes one: dcp registry projects add"
        return Verdict(action, False, "no-project", words)
    return _of_member(account, project, action, grants.roles.get(project.name))


def _of_member(account: Account | None, project: Project, action: str, role: Role | None) -> Verdict:
    if account and role and action in ROLE_ACTIONS[role]:
        return Verdict(action, True, f"role-{role}", f"{account.name} is {role} of project {project.name}")
    if project.public and action == PULL:
        return Verdict(action, True, "public-project", f"project {project.name} is public")
    if account is None:
        words = f"nobody may {action} in project {project.name} without an account: docker login first"
        return Verdict(action, False, "anonymous", words)
    if role is None:
        words = f"{account.name} is no member of project {project.name}: dcp registry members add"
        return Verdict(action, False, "not-a-member", words)
    words = f"{account.name} is {role} of project {project.name}, and a {role} may not {action}"
    return Verdict(action, False, "role-too-low", words)


def _of_robot(account: Account, repository: str, action: str, needs: tuple[Need, ...]) -> Verdict:
    if action == DELETE and account.kind == AccountKind.REPLICATION and account.name.startswith(OWN_PREFIX):
        return Verdict(action, True, "collection", "dcp itself takes out what nobody needs")
    if action not in _ROBOT_ACTIONS[account.kind]:
        words = f"{account.name} is a robot of kind {account.kind}, which may not {action}"
        return Verdict(action, False, "robot-may-not", words)
    match account.kind:
        case AccountKind.HOST:
            if any(need.repository == repository and need.host_id == account.bound_to for need in needs):
                return Verdict(action, True, "needed-on-host", f"an instance on {account.bound_to} needs {repository}")
            words = f"nothing that runs or is planned on host {account.bound_to} needs {repository}"
            return Verdict(action, False, "not-needed-on-host", words)
        case AccountKind.MIRROR:
            site = f"site {account.bound_to}" if account.bound_to else "hosts without a site"
            if any(need.repository == repository and need.site == account.bound_to for need in needs):
                return Verdict(action, True, "needed-in-site", f"an instance in {site} needs {repository}")
            return Verdict(action, False, "not-needed-in-site", f"nothing in {site} needs {repository}")
        case _:
            return Verdict(action, True, "replication", f"{account.name} copies between registries")


def _without_registry(name: str) -> str:
    """A client may put the registry before the name; a registry never does."""
    head, slash, rest = name.partition("/")
    return rest if slash and ("." in head or ":" in head or head == "localhost") else name
