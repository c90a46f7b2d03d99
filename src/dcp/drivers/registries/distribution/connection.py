"""One registry's HTTP: who we are to it, tokens, and its errors in our words.

A registry that wants a token says where tokens are given (a challenge). The first refusal of a kind of request
teaches us; afterwards the token is fetched before it is needed and kept until shortly before it ends.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from dcp import __version__
from dcp.drivers.registries.distribution.challenges import Challenge, read_challenge
from dcp.drivers.registries.distribution.refusals import refusal_of
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DriverError, InvalidInput, Problem, Unreachable

USER_AGENT = f"dcp/{__version__}"
"""Registries pass it on with their push events: what dcp itself has copied is no push."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
TOKEN_LIFE_S = 60.0
"""What the token protocol says where a server names no life."""
TOKEN_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who dcp is to a registry. Empty: nobody."""

    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """Where a registry answers, which authority its certificate is of, and who we are to it.

    Credentials that change, or that not everybody may see, are given by a function. It is asked whenever they are
    needed, with the realm that wants them; "" is the registry itself.
    """

    url: str
    credentials: Credentials | Callable[[str], Credentials] = Credentials()
    ca: Path | None = None
    upload_secret: str = field(default="", repr=False)
    """`http.secret` of a registry that dcp configures; empty: unknown."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float


class Connection:
    """Sends requests to one registry. Safe to use from many tasks at once."""

    def __init__(
        self,
        address: RegistryAddress,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None,
        *,
        basic: bool = False,
    ) -> None:
        """`basic`: send the password without being asked."""
        self.url = address.url.rstrip("/")
        self._credentials = address.credentials
        self._clock = clock
        self._challenge: Challenge | None = Challenge("basic") if basic else None
        self._tokens: dict[str, _Token] = {}
        self._fetching = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=TIMEOUT,
            verify=_verification(address.ca),
            transport=transport,
            follow_redirects=True,
            # A registry is reached as the configuration says, whatever the environment of the controller is.
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        url: str,
        scope: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str | int] | None = None,
        missing: bool = False,
    ) -> httpx.Response:
        """Return the answer, read whole. `missing`: 404 is an answer and no error. Raises as `Registry` says."""
        options: dict[str, Any] = {"content": content, "params": params}
        async with self.stream(method, url, scope, headers=headers, missing=missing, **options) as response:
            try:
                await response.aread()
            except httpx.HTTPError as error:
                raise self._away(error) from error
            return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        scope: str,
        *,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
        **options: Any,
    ) -> AsyncIterator[httpx.Response]:
        """Yield an answer whose body is not read yet; as `request` otherwise."""
        response = await self._send(method, url, scope, headers, options)
        if response.status_code == 401 and self._learn(response, scope):
            await response.aclose()
            response = await self._send(method, url, scope, headers, options)
        try:
            if not (response.is_success or (missing and response.status_code == 404)):
                await response.aread()
                raise refusal_of(response, f"{self.url}: {method} {response.url.path}")
            yield response
        except httpx.HTTPError as error:
            raise self._away(error) from error
        finally:
            await response.aclose()

    async def _send(
        self, method: str, url: str, scope: str, headers: Mapping[str, str] | None, options: Mapping[str, Any]
    ) -> httpx.Response:
        authorization = await self._authorization(scope) if self._ours(url) else {}
        try:
            request = self._http.build_request(method, url, headers={**(headers or {}), **authorization}, **options)
            return await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def _learn(self, response: httpx.Response, scope: str) -> bool:
        """Take up what a refusal asks for; return whether asking again may help."""
        challenge = read_challenge(response.headers.get("www-authenticate", ""))
        known, self._challenge = self._challenge, challenge
        if challenge is None:
            return False
        if challenge.scheme == "basic":
            return known is None and bool(self._password())
        token = self._tokens.pop(scope, None)
        return known is None or known.scheme != "bearer" or token is not None

    async def _authorization(self, scope: str) -> dict[str, str]:
        challenge = self._challenge
        if challenge is None:
            return {}
        if challenge.scheme == "basic":
            return self._password()
        async with self._fetching:
            token = self._tokens.get(scope)
            if token is None or token.until <= self._clock.now():
                token = self._tokens[scope] = await self._fetch(challenge, scope)
        return {"Authorization": f"Bearer {token.text}"}

    def _password(self, realm: str = "") -> dict[str, str]:
        who = self._credentials if isinstance(self._credentials, Credentials) else self._credentials(realm)
        if not who.username:
            return {}
        encoded = base64.b64encode(f"{who.username}:{who.password}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}

    def _ours(self, url: str) -> bool:
        """Whether `url` is at this registry: what names another place is not told who we are."""
        return url.startswith("/") or httpx.URL(url).netloc == self._http.base_url.netloc

    async def _fetch(self, challenge: Challenge, scope: str) -> _Token:
        """Ask the realm for a token for `scope` (several are apart by spaces)."""
        parameters: dict[str, str | list[str]] = {"service": challenge.service, "scope": scope.split()}
        try:
            response = await self._http.get(challenge.realm, params=parameters, headers=self._password(challenge.realm))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{challenge.realm}, which gives tokens for {self.url}, is away: {error!r}") from error
        if not response.is_success:
            raise refusal_of(response, f"a token for {scope or 'nothing'} from {challenge.realm}")
        return self._token_of(response, challenge.realm)

    def _token_of(self, response: httpx.Response, realm: str) -> _Token:
        try:
            answer = response.json()
            text = answer.get("token") or answer["access_token"]
            life_s = float(answer.get("expires_in") or TOKEN_LIFE_S)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DriverError(f"{realm} answers without a token") from error
        return _Token(str(text), self._clock.now() + max(life_s / 2, life_s - TOKEN_MARGIN_S))

    def _away(self, error: httpx.HTTPError) -> Unreachable:
        return Unreachable(f"registry {self.url} cannot be reached: {error!r}")


def _verification(ca: Path | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput((Problem("registry.sites.ca", f"{ca} is no certificate that can be read"),)) from error
