"""The token server over a store, with a clock set by hand: lives of tokens, keys, own accounts, guessing."""

import asyncio
import threading
from pathlib import Path

import jwt
import pytest
from test_attempts import Hand

from dcp.drivers.tokens import Es256Signer, FileVault, ScryptPasswords
from dcp.drivers.tokens.passwords import Cost
from dcp.engine.registry.identity import HASHES_AT_ONCE, HASHES_WAITING, OWN_TTL_S, Credentials, Refused
from dcp.engine.registry.settings import AccessSettings
from dcp.engine.registry.tokens import Token, TokenRequest, TokenServer
from dcp.images.access.model import Account, AccountKind
from dcp.images.access.scopes import parse_scopes
from dcp.kernel.errors import Throttled
from dcp.store import accounts, events
from dcp.store.database import InlineDatabase

SETTINGS = AccessSettings(token_ttl_s=300.0, refresh_ttl_s=1000.0)


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = Hand()
        self.clock.time = 1_700_000_000.5
        self.database = InlineDatabase()
        self.passwords = ScryptPasswords(Cost(n=16))
        self.folder = folder
        self.server = self.controller()

    def controller(self) -> TokenServer:
        vault = FileVault(self.folder / "secret")
        signer = Es256Signer(vault)
        return TokenServer(self.clock, self.database, SETTINGS, signer=signer, passwords=self.passwords, vault=vault)

    async def add(self, name: str, password: str) -> Account:
        account = Account(name, platform_admin=True, secret_hash=self.passwords.hash(password))
        await self.database.write(lambda c: accounts.add(c, account))
        return account

    async def ask(self, name: str, password: str, **more: object) -> Token | Refused:
        request = TokenRequest((), "10.0.0.1", Credentials(name, password), **more)
        return await self.server.answer(request)


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.database.close()


def kid_of(token: Token | Refused) -> str:
    assert isinstance(token, Token)
    return jwt.get_unverified_header(token.text)["kid"]


async def test_two_controllers_sign_with_one_key(world: World):
    await world.add("ann", "right")
    first = await world.ask("ann", "right")
    world.server = world.controller()
    assert kid_of(await world.ask("ann", "right")) == kid_of(first)
    claims = jwt.decode(first.text, options={"verify_signature": False, "verify_exp": False, "verify_aud": False})
    assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_300)


async def test_a_key_that_follows_signs_at_its_time_and_the_old_one_ends_after_its_last_token(world: World):
    await world.add("ann", "right")
    old = kid_of(await world.ask("ann", "right"))
    new = (await world.server.keyring.follow(3600.0)).kid
    assert kid_of(await world.ask("ann", "right")) == old
    assert [key.kid for key in await world.server.keyring.trusted()] == [old, new]
    world.clock.time += 3600
    assert kid_of(await world.ask("ann", "right")) == new
    assert [key.kid for key in await world.server.keyring.trusted()] == [old, new]
    world.clock.time += 361
    assert [key.kid for key in await world.server.keyring.trusted()] == [new]
    logged = await world.database.read(lambda c: events.of_subject(c, "registry", 10))
    assert [one.event.reason for one in logged] == ["key-made", "key-announced"]


async def test_a_refresh_token_ends_in_its_time(world: World):
    await world.add("ann", "right")
    token = await world.ask("ann", "right", wants_refresh_token=True)
    assert isinstance(token, Token)
    again = TokenRequest((), "10.0.0.1", refresh_token=token.refresh_token)
    world.clock.time += 999
    assert isinstance(await world.server.answer(again), Token)
    world.clock.time += 1
    found = await world.server.answer(again)
    assert isinstance(found, Refused) and found.reason == "wrong-refresh-token"


async def test_own_accounts_end_in_their_time_and_cannot_log_in_for_longer(world: World):
    own = world.server.identities.own(AccountKind.HOST, "h1")
    token = await world.ask(own.name, own.password, wants_refresh_token=True)
    assert isinstance(token, Token) and token.refresh_token == ""
    world.clock.time += OWN_TTL_S - 1
    assert isinstance(await world.ask(own.name, own.password), Token)
    world.clock.time += 1
    assert isinstance(await world.ask(own.name, own.password), Refused)


async def test_an_own_account_is_nobody_in_the_store(world: World):
    """Not even where somebody wrote a row of that name."""
    await world.database.write(
        lambda c: accounts.add(c, Account("dcp.host.h1", platform_admin=True, secret_hash=world.passwords.hash("x")))
    )
    assert isinstance(await world.ask("dcp.host.h1", "x"), Refused)
    own = world.server.identities.own(AccountKind.HOST, "h1")
    account = await world.server.identities.of_password(own, "here")
    assert account == Account("dcp.host.h1", AccountKind.HOST, bound_to="h1")


class Slow(ScryptPasswords):
    """Counts how many are hashed at once, and hashes only when it is let."""

    def __init__(self) -> None:
        super().__init__(Cost(n=16))
        self.go = threading.Event()
        self.now = self.most = 0

    def verify(self, password: str, stored: str) -> bool:
        self.now += 1
        self.most = max(self.most, self.now)
        assert self.go.wait(20)
        self.now -= 1
        return super().verify(password, stored)


async def test_guessing_takes_two_threads_and_a_short_queue(world: World):
    slow = Slow()
    world.passwords = slow
    await world.add("ann", "right")
    world.server = world.controller()
    guesses = [asyncio.create_task(world.ask(f"name{number}", "guess")) for number in range(HASHES_WAITING)]
    while slow.now < HASHES_AT_ONCE:
        await asyncio.sleep(0.01)
    with pytest.raises(Throttled):
        await world.ask("ann", "right")
    robot = world.server.identities.own(AccountKind.REPLICATION)
    assert isinstance(await world.ask(robot.name, robot.password), Token), "robots are not held up"
    slow.go.set()
    assert all(isinstance(one, Refused) for one in await asyncio.gather(*guesses))
    assert slow.most == HASHES_AT_ONCE
    assert isinstance(await world.ask("ann", "right"), Token)


async def test_a_right_password_is_hashed_once_a_minute(world: World):
    slow = Slow()
    slow.go.set()
    world.passwords = slow
    await world.add("ann", "right")
    world.server = world.controller()
    calls: list[str] = []
    verify = slow.verify
    slow.verify = lambda password, stored: calls.append(password) or verify(password, stored)  # type: ignore[method-assign]
    for _ in range(5):
        assert isinstance(await world.ask("ann", "right"), Token)
    assert len(calls) == 1
    world.clock.time += 61
    assert isinstance(await world.ask("ann", "right"), Token)
    assert len(calls) == 2


async def test_denials_are_told_once_a_minute(world: World):
    request = TokenRequest(parse_scopes(["repository:shop/feed:pull,push"]), "10.0.0.1")
    for _ in range(3):
        assert isinstance(await world.server.answer(request), Token)
    logged = await world.database.read(lambda c: events.of_subject(c, "account/anonymous", 10))
    assert [one.event.words.split(":")[0] for one in logged] == ["may not pull shop/feed", "may not push shop/feed"]
    assert logged[0].event.numbers == {"scope": "repository:shop/feed:pull,push", "address": "10.0.0.1"}
