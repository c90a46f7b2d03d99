"""What goes over the wire about access to images. Secrets go one way only: in when set, out once when made."""

from typing import Self

from pydantic import Field

from dcp.api.shapes import Shape
from dcp.engine.registry.people import NewRobot
from dcp.images.access.decide import Verdict
from dcp.images.access.keys import SigningKey
from dcp.images.access.model import Account, AccountKind, Member, Project, Role
from dcp.store.pushes import LoggedPush


class AccountShape(Shape):
    """Somebody who may ask for tokens. `bound_to`: a robot's host or site."""

    name: str
    kind: AccountKind
    platform_admin: bool
    bound_to: str
    created_at: float

    @classmethod
    def of(cls, account: Account) -> Self:
        return cls(
            name=account.name,
            kind=account.kind,
            platform_admin=account.platform_admin,
            bound_to=account.bound_to,
            created_at=account.created_at,
        )


class AccountList(Shape):
    """People, or robots, by name."""

    accounts: list[AccountShape]


class AccountBody(Shape):
    """A new person."""

    name: str
    password: str = Field(repr=False)
    platform_admin: bool = False


class PasswordBody(Shape):
    """Another password."""

    password: str = Field(repr=False)


class RobotBody(Shape):
    """A new robot. `bound_to`: the host of a host's, the site of a mirror's ("" are the hosts without a site)."""

    name: str
    kind: AccountKind
    bound_to: str = ""


class RobotShape(AccountShape):
    """A robot with its secret, which is shown this once."""

    secret: str

    @classmethod
    def made(cls, robot: NewRobot) -> Self:
        return cls(**AccountShape.of(robot.account).model_dump(), secret=robot.secret)


class ProjectShape(Shape):
    """A project. `public`: everybody may pull."""

    name: str
    public: bool
    created_at: float

    @classmethod
    def of(cls, project: Project) -> Self:
        return cls(name=project.name, public=project.public, created_at=project.created_at)


class ProjectList(Shape):
    """Every project, by name."""

    projects: list[ProjectShape]


class ProjectBody(Shape):
    """A project as it should be."""

    name: str
    public: bool = False


class MemberShape(Shape):
    """The role of a person in a project."""

    project: str
    account: str
    role: Role

    @classmethod
    def of(cls, member: Member) -> Self:
        return cls(project=member.project, account=member.account, role=member.role)


class MemberList(Shape):
    """Members by project and account."""

    members: list[MemberShape]


class KeyShape(Shape):
    """A signing key. `trusted_until` null: nothing follows it yet."""

    kid: str
    made_at: float
    signs_from: float
    trusted_until: float | None

    @classmethod
    def of(cls, key: SigningKey) -> Self:
        return cls(kid=key.kid, made_at=key.made_at, signs_from=key.signs_from, trusted_until=key.trusted_until)


class CertificateShape(Shape):
    """What registries must be given: `pem` for `rootcertbundle` (2.8), `jwks` for `jwks` (3)."""

    pem: str
    jwks: dict[str, list[dict[str, str]]]
    keys: list[KeyShape]


class RotateBody(Shape):
    """A new key signs after so many seconds; until then registries are given its certificate."""

    announced_s: float = Field(default=86400.0, ge=0, le=90 * 86400, allow_inf_nan=False)


class ConfigurationShape(Shape):
    """The text of a registry's `config.yml`. It holds secrets."""

    site: str
    text: str


class AccessWhyShape(Shape):
    """Whether an account may do something, and why."""

    account: str
    repository: str
    action: str
    allowed: bool
    reason: str
    words: str

    @classmethod
    def of(cls, account: str, repository: str, verdict: Verdict) -> Self:
        return cls(
            account=account,
            repository=repository,
            action=verdict.action,
            allowed=verdict.allowed,
            reason=verdict.reason,
            words=verdict.words,
        )


class PushShape(Shape):
    """What somebody did to an image in the registry of a site; of equal pulls only the last."""

    seq: int
    at: float
    site: str
    repository: str
    tag: str
    digest: str
    action: str
    actor: str
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, logged: LoggedPush) -> Self:
        push = logged.push
        return cls(
            seq=logged.seq,
            at=push.at,
            site=push.site,
            repository=push.repository,
            tag=push.tag,
            digest=push.digest,
            action=push.action,
            actor=push.actor,
            media_type=push.media_type,
            size_bytes=push.size_bytes,
        )


class PushList(Shape):
    """The last rows of the history, oldest first."""

    history: list[PushShape]


class Forgotten(Shape):
    """It is gone."""

    removed: str
