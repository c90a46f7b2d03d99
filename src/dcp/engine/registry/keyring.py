"""The signing keys as one controller sees them; the first is made when it is asked for."""

import math

from sqlalchemy import Connection

from dcp.engine.registry.settings import AccessSettings
from dcp.images.access.keys import SigningKey, decide_succession, signing_key, trusted_keys
from dcp.images.access.ports import Signer
from dcp.kernel.clock import Clock
from dcp.kernel.events import Event
from dcp.store import events, signing_keys
from dcp.store.database import Database

SUBJECT = "registry"
MEMORY_S = 1.0
KEEP_ENDED_S = 30 * 86400.0


class Keyring:
    """Reads keys from the store again and again: another controller may have made one."""

    def __init__(self, clock: Clock, database: Database, settings: AccessSettings, signer: Signer) -> None:
        self._clock = clock
        self._database = database
        self._settings = settings
        self._signer = signer
        self._keys: tuple[SigningKey, ...] = ()
        self._read_at = -math.inf

    async def current(self) -> SigningKey:
        """Return the key that signs now, as it was a second ago at most: tokens are asked for by the hundred."""
        now = self._clock.now()
        if not self._read_at <= now < self._read_at + MEMORY_S:
            self._keys, self._read_at = await self._database.read(signing_keys.every), now
        return signing_key(self._keys, now) or await self._first()

    async def trusted(self) -> tuple[SigningKey, ...]:
        """Return the keys that registries must know, announced ones too, the oldest first."""
        await self.current()
        return trusted_keys(await self._database.read(signing_keys.every), self._clock.now())

    async def follow(self, announced_s: float) -> SigningKey:
        """Make a key that signs from `announced_s` seconds on; the ones before it end after their last token."""
        now = self._clock.now()
        new = self._signer.make_key(now, now + announced_s)

        def work(connection: Connection) -> None:
            before = signing_keys.every(connection)
            signing_keys.add(connection, new, decide_succession(before, new, self._settings.token_ttl_s))
            signing_keys.prune(connection, now - KEEP_ENDED_S)
            words = f"signs from {announced_s:g} s on; give registries the new certificates before: {_ADVICE}"
            events.append(connection, now, [Event(SUBJECT, "key-announced", words, after=new.kid)])

        await self._database.write(work)
        self._read_at = -math.inf
        return new

    async def _first(self) -> SigningKey:
        now = self._clock.now()
        new = self._signer.make_key(now, now)

        def work(connection: Connection) -> SigningKey:
            known = signing_key(signing_keys.every(connection), now)
            if known is None:
                signing_keys.add(connection, new)
                words = f"the first signing key; give registries its certificate: {_ADVICE}"
                events.append(connection, now, [Event(SUBJECT, "key-made", words, after=new.kid)])
            return known or new

        return await self._database.write(work)


_ADVICE = "dcp registry certificate"
