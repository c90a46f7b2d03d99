"""What the engine is told about warming, and what only it can answer: from where, and with which rights."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from dcp.engine.images.sites import ImageSites
from dcp.engine.registry.identity import Refused
from dcp.engine.registry.tokens import TokenRequest, TokenServer
from dcp.images.access.model import AccountKind
from dcp.images.access.scopes import Scope
from dcp.images.model import ImageRef, SiteRole
from dcp.images.warming.model import REGISTRY, Mirror, WarmingSettings
from dcp.images.warming.ports import MirrorControl
from dcp.orchestration.services.container import Secret
from dcp.orchestration.services.ports import PullOrder


@dataclass(frozen=True, slots=True)
class WarmingParts:
    """Everything about warming that does not change while a controller runs."""

    settings: WarmingSettings
    control: MirrorControl
    control_token: str
    """With which mirrors are started, so that `control` may talk to them."""
    certificates: str = ""
    """PEM certificates that mirrors check registries with, beside those of their image."""
    mirror_command: tuple[str, ...] = ()
    """Empty: what the mirror image runs by itself."""

    def __repr__(self) -> str:
        return f"WarmingParts({self.settings})"


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the images of one site come from."""

    site: str
    images: ImageSites | None
    tokens: TokenServer | None

    def registries(self) -> tuple[str, ...]:
        """Return URLs: the registry of the site, then the others, masters first."""
        if self.images is None:
            return ()
        order = sorted(
            self.images.sites, key=lambda one: (one.name != self.site, one.role != SiteRole.MASTER, one.name)
        )
        return tuple(one.registry_url.rstrip("/") for one in order)

    def mirrored(self, image: str) -> bool:
        """Return whether mirrors can bring this image: it is called by the one registry name."""
        return self.images is not None and self.images.has(ImageRef.parse(image))

    def pull_orders(self, image: str, host_id: str, mirror: Mirror | None) -> tuple[PullOrder, ...]:
        """Return how a host pulls, in the order to try: from a mirror, or from one copy after the other.

        Its own mirror is reached by loopback, where engines need no TLS; a mirror goes on elsewhere by itself. Without
        one, the one registry name comes first, which its site answers with its own copy, then the copies' addresses.
        """
        ours = self.mirrored(image)
        name, password = self._host_credentials(host_id) if ours else ("", "")
        if mirror is not None:
            address = "127.0.0.1" if mirror.host_id == host_id else mirror.address
            return (PullOrder(image, f"{address}:{mirror.port}", name, Secret(password), insecure=True),)
        if not ours:
            return (PullOrder(image),)
        copies = [urlsplit(url) for url in self.registries()]
        by_name = PullOrder(image, "", name, Secret(password))
        return (
            by_name,
            *(replace(by_name, registry=copy.netloc, insecure=copy.scheme == "http") for copy in copies),
        )

    def _host_credentials(self, host_id: str) -> tuple[str, str]:
        if self.tokens is None:
            return "", ""
        own = self.tokens.identities.own(AccountKind.HOST, host_id)
        return own.name, own.password

    async def mirror_authorization(self, repository: str) -> str:
        """Return the header with which a mirror of this site may read a repository; "" where nobody asks for one."""
        if self.tokens is None:
            return ""
        own = self.tokens.identities.own(AccountKind.MIRROR, self.site)
        scope = Scope("repository", repository, ("pull",))
        token = await self.tokens.answer(TokenRequest((scope,), "controller", own))
        return "" if isinstance(token, Refused) else f"Bearer {token.text}"


def source_of(source: str, mirrors: dict[str, Mirror]) -> Mirror | None:
    """Return the mirror that a pull names; None for the registry."""
    return None if source == REGISTRY else mirrors.get(source)
