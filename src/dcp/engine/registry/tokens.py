"""The token server: believes who asks, decides what they may, signs it, and says in an event what it did not grant."""

import math
import secrets
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from dcp.engine.registry.attempts import Repeats
from dcp.engine.registry.identity import Credentials, Identities, Refused
from dcp.engine.registry.keyring import SUBJECT, Keyring
from dcp.engine.registry.settings import AccessSettings
from dcp.images.access.decide import ScopeDecision, decide_access, projects_asked
from dcp.images.access.model import ANONYMOUS, ROBOTS, Account, AccountKind, Need
from dcp.images.access.ports import Passwords, Signer, Vault
from dcp.images.access.scopes import Scope
from dcp.kernel.clock import Clock
from dcp.kernel.events import Event
from dcp.store import accounts, events, needs
from dcp.store.database import Database

log = structlog.get_logger("dcp")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for. Neither credentials nor refresh token: it does not say who it is."""

    scopes: tuple[Scope, ...]
    address: str
    credentials: Credentials | None = None
    refresh_token: str = ""
    wants_refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A signed token and what it allows."""

    text: str
    issued_at: float
    expires_in_s: int
    decisions: tuple[ScopeDecision, ...]
    refresh_token: str = ""


class TokenServer:
    """One controller's."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        settings: AccessSettings,
        *,
        signer: Signer,
        passwords: Passwords,
        vault: Vault,
    ) -> None:
        self.settings = settings
        self.signer = signer
        self.passwords = passwords
        self.vault = vault
        self.keyring = Keyring(clock, database, settings, signer)
        self.identities = Identities(clock, database, settings, passwords, vault)
        self._clock = clock
        self._database = database
        self._told = Repeats(clock)

    async def answer(self, request: TokenRequest) -> Token | Refused:
        """Return a token with every right that the client has of those it asked for; Refused if it is not who it says.

        Raises Throttled while too many passwords are being checked.
        """
        account = await self._account(request)
        if isinstance(account, Refused):
            await self._tell_refusal(request, account)
            return account
        decisions = await self.decide(account, request.scopes)
        await self._tell_denials(account, decisions, request.address)
        refresh = request.refresh_token
        if request.wants_refresh_token and account is not None and not refresh:
            refresh = self.identities.refresh_token(account, self.settings.service)
        return await self._signed(account, decisions, refresh)

    async def decide(self, account: Account | None, scopes: tuple[Scope, ...]) -> tuple[ScopeDecision, ...]:
        """Return what the account may do now, with reasons."""

        def work(connection: Connection) -> tuple[ScopeDecision, ...]:
            is_robot = account is not None and account.kind in ROBOTS
            asked = frozenset() if is_robot else projects_asked(scopes)
            grants = accounts.grants_of(connection, account.name if account else "", asked)
            return decide_access(account, scopes, grants, self._needs(connection, account) if scopes else ())

        return await self._database.read(work)

    def _needs(self, connection: Connection, account: Account | None) -> tuple[Need, ...]:
        if account and account.kind == AccountKind.HOST:
            return needs.of_host(connection, account.bound_to, self.settings.registry)
        if account and account.kind == AccountKind.MIRROR:
            return needs.of_site(connection, account.bound_to, self.settings.registry)
        return ()

    async def _account(self, request: TokenRequest) -> Account | Refused | None:
        if request.refresh_token:
            return await self.identities.of_refresh_token(request.refresh_token, self.settings.service)
        if request.credentials:
            return await self.identities.of_password(request.credentials, request.address)
        return None

    async def _signed(self, account: Account | None, decisions: tuple[ScopeDecision, ...], refresh: str) -> Token:
        now, ttl_s = math.floor(self._clock.now()), int(self.settings.token_ttl_s)
        claims = {
            "iss": self.settings.issuer,
            "sub": account.name if account else "",
            "aud": self.settings.service,
            "exp": now + ttl_s,
            "nbf": now,
            "iat": now,
            "jti": secrets.token_urlsafe(16),
            "access": [_access(one) for one in decisions if one.granted],
        }
        text = self.signer.sign(await self.keyring.current(), claims)
        return Token(text, float(now), ttl_s, decisions, refresh)

    async def _tell_refusal(self, request: TokenRequest, refused: Refused) -> None:
        name = request.credentials.name if request.credentials else ""
        if self._told.is_news(refused.reason, name, request.address):
            log.warning("log-in refused", reason=refused.reason, words=refused.words)
            # What somebody made up is no subject: the log would fill with them.
            subject = f"account/{name}" if refused.known and name else SUBJECT
            await self._append(Event(subject, refused.reason, refused.words))

    async def _tell_denials(self, account: Account | None, decisions: tuple[ScopeDecision, ...], address: str) -> None:
        name = account.name if account else ANONYMOUS
        for decision in decisions:
            for verdict in decision.refused:
                if self._told.is_news(name, str(decision.scope.name), verdict.action):
                    words = f"may not {verdict.action} {decision.scope.name[:200]}: {verdict.words[:400]}"
                    numbers = {"scope": str(decision.scope)[:300], "address": address}
                    log.info("access denied", account=name, reason=verdict.reason, words=words)
                    await self._append(Event(f"account/{name}", verdict.reason, words, numbers=numbers))

    async def _append(self, event: Event) -> None:
        now = self._clock.now()
        await self._database.write(lambda connection: events.append(connection, now, [event]))


def _access(decision: ScopeDecision) -> dict[str, object]:
    scope = decision.scope
    found: dict[str, object] = {"type": scope.kind, "name": scope.name, "actions": list(decision.granted)}
    return {**found, "class": scope.kind_class} if scope.kind_class else found
