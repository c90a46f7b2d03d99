"""Who may pull and push: accounts, robots, projects, members; keys and configuration of the registries."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from dcp.api.dependencies import Controller, Tokens
from dcp.api.registry_shapes import (
    AccessWhyShape,
    AccountBody,
    AccountList,
    AccountShape,
    CertificateShape,
    ConfigurationShape,
    Forgotten,
    KeyShape,
    MemberList,
    MemberShape,
    PasswordBody,
    ProjectBody,
    ProjectList,
    ProjectShape,
    PushList,
    PushShape,
    RobotBody,
    RobotShape,
    RotateBody,
)
from dcp.engine.registry import people
from dcp.engine.registry.configuration import RegistryPlace, registry_configuration
from dcp.images.access.model import ANONYMOUS, ROBOTS, Member
from dcp.images.access.scopes import Scope
from dcp.kernel.errors import NotFound
from dcp.store import accounts, pushes

router = APIRouter(prefix="/registry", tags=["registry"])
Name = Annotated[str, Path(description="The account's name")]
ProjectName = Annotated[str, Path(description="The project's name, such as shop or shop/tools")]
SITE = r"^[A-Za-z0-9][A-Za-z0-9_./-]*$"
_PLACE = RegistryPlace("")
Text = Annotated[str, Query(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]


@router.get("/accounts")
async def list_accounts(controller: Controller) -> AccountList:
    """Every person."""
    every = await controller.database.read(accounts.every)
    return AccountList(accounts=[AccountShape.of(one) for one in every if one.kind not in ROBOTS])


@router.post("/accounts", status_code=201)
async def add_account(body: AccountBody, controller: Controller, tokens: Tokens) -> AccountShape:
    """Add a person."""
    return AccountShape.of(
        await people.add_account(
            controller, tokens.passwords, body.name, body.password, platform_admin=body.platform_admin
        )
    )


@router.put("/accounts/{name}/password")
async def set_password(name: Name, body: PasswordBody, controller: Controller, tokens: Tokens) -> AccountShape:
    """Give a person another password; log-ins with the old one end."""
    return AccountShape.of(await people.set_password(controller, tokens.passwords, name, body.password))


@router.delete("/accounts/{name}")
async def remove_account(name: Name, controller: Controller) -> Forgotten:
    """Remove a person with their memberships."""
    await people.remove_account(controller, name)
    return Forgotten(removed=name)


@router.get("/robots")
async def list_robots(controller: Controller) -> AccountList:
    """Every robot that somebody made. Those of dcp's own hosts and mirrors are not listed: nobody made them."""
    every = await controller.database.read(accounts.every)
    return AccountList(accounts=[AccountShape.of(one) for one in every if one.kind in ROBOTS])


@router.post("/robots", status_code=201)
async def add_robot(body: RobotBody, controller: Controller, tokens: Tokens) -> RobotShape:
    """Add a robot; the answer alone holds its secret."""
    made = await people.add_robot(controller, tokens.passwords, body.name, body.kind, body.bound_to)
    return RobotShape.made(made)


@router.put("/robots/{name}/secret")
async def renew_robot(name: Name, controller: Controller, tokens: Tokens) -> RobotShape:
    """Give a robot a new secret; the answer alone holds it."""
    return RobotShape.made(await people.renew_robot(controller, tokens.passwords, name))


@router.delete("/robots/{name}")
async def remove_robot(name: Name, controller: Controller) -> Forgotten:
    """Remove a robot."""
    await people.remove_account(controller, name, robot=True)
    return Forgotten(removed=name)


@router.get("/projects")
async def list_projects(controller: Controller) -> ProjectList:
    """Every project."""
    found = await controller.database.read(accounts.every_project)
    return ProjectList(projects=[ProjectShape.of(project) for project in found])


@router.put("/projects")
async def put_project(body: ProjectBody, controller: Controller) -> ProjectShape:
    """Add a project, or make it public or not."""
    return ProjectShape.of(await people.put_project(controller, body.name, public=body.public))


@router.delete("/projects/{name:path}")
async def remove_project(name: ProjectName, controller: Controller) -> Forgotten:
    """Remove a project with its members; its images stay."""
    await people.remove_project(controller, name)
    return Forgotten(removed=name)


@router.get("/members")
async def list_members(
    controller: Controller, project: Annotated[str, Query(description="Only of this project")] = ""
) -> MemberList:
    """Who is what in which project."""
    found = await controller.database.read(accounts.every_member)
    return MemberList(members=[MemberShape.of(one) for one in found if project in ("", one.project)])


@router.put("/members")
async def put_member(body: MemberShape, controller: Controller) -> MemberShape:
    """Give a person a role in a project, in place of the one they have."""
    await people.put_member(controller, Member(body.project, body.account, body.role))
    return body


@router.delete("/members")
async def remove_member(project: Text, account: Text, controller: Controller) -> Forgotten:
    """Take a person out of a project."""
    await people.remove_member(controller, project, account)
    return Forgotten(removed=account)


@router.get("/certificate")
async def certificate(tokens: Tokens) -> CertificateShape:
    """The certificates that registries must trust, the next key's too."""
    keys = await tokens.keyring.trusted()
    return CertificateShape(
        pem="".join(key.certificate for key in keys),
        jwks={"keys": [tokens.signer.jwk(key) for key in keys]},
        keys=[KeyShape.of(key) for key in keys],
    )


@router.post("/keys", status_code=201)
async def rotate(body: RotateBody, tokens: Tokens) -> KeyShape:
    """Announce a new signing key."""
    return KeyShape.of(await tokens.keyring.follow(body.announced_s))


@router.get("/configuration")
async def configuration(
    request: Request,
    tokens: Tokens,
    site: Annotated[str, Query(min_length=1, max_length=100, pattern=SITE)],
    url: Annotated[str, Query(max_length=300, pattern=r"^(https?://[^\s\"']+)?$")] = "",
    listens: Text = _PLACE.listens,
    storage: Text = _PLACE.storage,
    bundle: Text = _PLACE.bundle,
) -> ConfigurationShape:
    """A ready `config.yml` for the registry of a site."""
    known = tokens.settings.sites
    if known and site not in known:
        raise NotFound(
            f"there is no site {site}", hint=f"`registry.sites` of the configuration names {', '.join(known)}"
        )
    base = url or tokens.settings.url or str(request.base_url)
    text = registry_configuration(RegistryPlace(site, listens, storage, bundle), base, tokens.settings, tokens.vault)
    return ConfigurationShape(site=site, text=text)


@router.get("/why")
async def why(account: Text, repository: Text, action: Text, tokens: Tokens) -> AccessWhyShape:
    """Whether an account (`anonymous`: nobody) may do something now, and why."""
    who = None if account == ANONYMOUS else await tokens.identities.find(account)
    if who is None and account != ANONYMOUS:
        raise NotFound(f"there is no account {account}", hint=people.ACCOUNTS_HINT)
    (decision,) = await tokens.decide(who, (Scope("repository", repository, (action,)),))
    return AccessWhyShape.of(account, repository, decision.verdicts[0])


@router.get("/history")
async def history(
    controller: Controller,
    repository: Annotated[str, Query(description="Only of this repository")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most")] = 100,
) -> PushList:
    """What registries told of pushes, pulls and deletions, oldest first."""
    found = await controller.database.read(lambda connection: pushes.newest(connection, limit, repository))
    return PushList(history=[PushShape.of(one) for one in found])
