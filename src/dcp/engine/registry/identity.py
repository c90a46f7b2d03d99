"""Who asks for a token: a name and a password, a refresh token, or one of dcp's own hosts and mirrors.

dcp's own accounts stand in no table: their password is derived from the shared secret and says when it ends, so a
controller gives one to a host with every pull and nothing has to be made, listed or taken away.
"""

import asyncio
import base64
import json
import math
from dataclasses import dataclass

from dcp.engine.registry.attempts import Failures, Verified
from dcp.engine.registry.settings import AccessSettings
from dcp.images.access.model import OWN_PREFIX, Account, AccountKind, is_account_name
from dcp.images.access.ports import Passwords, Vault
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Throttled
from dcp.store import accounts
from dcp.store.database import Database

PASSWORD_LIMIT = 1024
NAME_SHOWN = 80
"""Of what somebody says is a name, so much is remembered and told."""
HASHES_AT_ONCE = 2
HASHES_WAITING = 32
OWN_TTL_S = 3600.0
"""Life of a password that dcp gives to its own hosts and mirrors: longer than any pull waits for its turn."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password as they were given."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, [redacted])"


@dataclass(frozen=True, slots=True)
class Refused:
    """Who they say they are was not believed. `known`: there is such an account."""

    reason: str
    words: str
    known: bool = False
    retry_after_s: float = 0.0


class Identities:
    """Believes or refuses."""

    def __init__(
        self, clock: Clock, database: Database, settings: AccessSettings, passwords: Passwords, vault: Vault
    ) -> None:
        self._clock = clock
        self._database = database
        self._settings = settings
        self._passwords = passwords
        self._vault = vault
        self._failures = Failures(clock, settings.failures, settings.failures_window_s)
        self._verified = Verified(clock)
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._waiting = 0

    async def of_password(self, given: Credentials, address: str) -> Account | Refused:
        """Return whose password it is. Raises Throttled while too many are being checked."""
        name = given.name[:NAME_SHOWN]
        blocked_s = self._failures.blocked_for_s(name, address)
        if blocked_s > 0:
            words = f"too many wrong passwords for {name} from {address}; try again in {blocked_s:.0f} s"
            return Refused("too-many-failures", words, retry_after_s=math.ceil(blocked_s))
        account = await self.find(given.name)
        if len(given.password) <= PASSWORD_LIMIT and await self._is_right(account, given):
            assert account is not None
            self._failures.forget(name, address)
            return account
        count = self._failures.count(name, address)
        words = f"wrong password for {name} from {address}, {count} in {self._settings.failures_window_s:g} s"
        return Refused("wrong-password", words, known=bool(account and account.secret_hash))

    async def of_refresh_token(self, token: str, service: str) -> Account | Refused:
        """Return who logged in with this token before."""
        found = _read_refresh(token)
        if found is None or found.service != service or found.until <= self._clock.now():
            return Refused("wrong-refresh-token", "the log-in has ended: docker login again")
        account = await self.find(found.account)
        if account is None or not self._vault.matches(_refresh_purpose(found, account), found.seal):
            words = (
                f"the log-in of {found.account[:NAME_SHOWN]} has ended: its password was changed; docker login again"
            )
            return Refused("wrong-refresh-token", words, known=account is not None)
        return account

    def refresh_token(self, account: Account, service: str) -> str:
        """Return a token that stands for the password until it is changed; "" for accounts that cannot log in."""
        if account.name.startswith(OWN_PREFIX):
            return ""
        until = math.floor(self._clock.now() + self._settings.refresh_ttl_s)
        bare = _Refresh(account.name, service, until, "")
        return _write_refresh(bare, self._vault.derive(_refresh_purpose(bare, account)))

    def own(self, kind: AccountKind, bound_to: str = "") -> Credentials:
        """Return a name and password for a host, a mirror of a site, or replication. Good for OWN_TTL_S."""
        name = f"{OWN_PREFIX}{kind}" + (f".{bound_to}" if bound_to else "")
        until = str(math.floor(self._clock.now() + OWN_TTL_S))
        return Credentials(name, f"{until}.{self._vault.derive(_own_purpose(name, until))}")

    async def find(self, name: str) -> Account | None:
        """Return the account of this name, dcp's own included."""
        if name.startswith(OWN_PREFIX):
            return _own_account(name)
        if not is_account_name(name):
            return None
        return await self._database.read(lambda connection: accounts.find(connection, name))

    async def _is_right(self, account: Account | None, given: Credentials) -> bool:
        if given.name.startswith(OWN_PREFIX):
            until, _, seal = given.password.partition(".")
            alive = until.isascii() and until.isdigit() and int(until[:12]) > self._clock.now()
            return self._vault.matches(_own_purpose(given.name, until), seal) and alive and account is not None
        stored = account.secret_hash if account else ""
        if self._passwords.is_quick(stored):
            return self._passwords.verify(given.password, stored)
        if self._verified.knows(given.name, stored, given.password):
            return True
        if not await self._verify_slowly(given.password, stored):
            return False
        self._verified.add(given.name, stored, given.password)
        return True

    async def _verify_slowly(self, password: str, stored: str) -> bool:
        """Hash in a thread, few at once: guessing must not take the controller's processors and memory."""
        if self._waiting >= HASHES_WAITING:
            raise Throttled("too many passwords are being checked", delay_s=1.0)
        self._waiting += 1
        try:
            async with self._hashing:
                return await asyncio.to_thread(self._passwords.verify, password, stored)
        finally:
            self._waiting -= 1


@dataclass(frozen=True, slots=True)
class _Refresh:
    account: str
    service: str
    until: float
    seal: str


def _refresh_purpose(token: _Refresh, account: Account) -> str:
    """The stored hash is part of it, so a new password makes every older token worthless."""
    return json.dumps(["refresh", token.account, token.service, token.until, account.secret_hash])


def _write_refresh(token: _Refresh, seal: str) -> str:
    body = json.dumps([token.account, token.service, token.until], separators=(",", ":"))
    return f"{base64.urlsafe_b64encode(body.encode()).decode().rstrip('=')}.{seal}"


def _read_refresh(text: str) -> _Refresh | None:
    body, _, seal = text.partition(".")
    try:
        account, service, until = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, TypeError):
        return None
    usable = isinstance(account, str) and isinstance(service, str) and type(until) is int
    return _Refresh(account, service, until, seal) if usable else None


def _own_purpose(name: str, until: str) -> str:
    return json.dumps(["own account", name, until])


def _own_account(name: str) -> Account | None:
    kind, _, bound_to = name.removeprefix(OWN_PREFIX).partition(".")
    if kind not in (AccountKind.HOST, AccountKind.MIRROR, AccountKind.REPLICATION):
        return None
    return Account(name, AccountKind(kind), bound_to=bound_to)
