"""The signing keys of tokens, shared by all controllers; private keys are stored encrypted."""

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dcp.images.access.keys import SigningKey
from dcp.store.tables import signing_keys

_EVERY = select(signing_keys).order_by(signing_keys.c.made_at, signing_keys.c.kid)
_END = update(signing_keys).where(signing_keys.c.kid == bindparam("its_kid"))


def every(connection: Connection) -> tuple[SigningKey, ...]:
    """Return every key, the oldest first; ended ones too."""
    return tuple(SigningKey(**row) for row in connection.execute(_EVERY).mappings())


def add(connection: Connection, new: SigningKey, ended: Iterable[SigningKey] = ()) -> None:
    """Add a key and write when those that it follows end."""
    for key in ended:
        connection.execute(_END, {"its_kid": key.kid, "trusted_until": key.trusted_until})
    connection.execute(insert(signing_keys).values(**asdict(new)))


def prune(connection: Connection, before: float) -> int:
    """Drop keys that nobody has trusted since `before`; return how many."""
    return connection.execute(delete(signing_keys).where(signing_keys.c.trusted_until < before)).rowcount
