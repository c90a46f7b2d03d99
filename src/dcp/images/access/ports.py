"""What the token server asks of its drivers: signatures, passwords, and one secret from which others are derived.

None of them waits for anything outside this process; what takes long says so, and its caller uses a thread.
"""

from collections.abc import Mapping
from typing import Protocol

from dcp.images.access.keys import SigningKey


class Signer(Protocol):
    """Makes keys and signs tokens with them. ES256, because every registry reads it and tokens stay short."""

    def make_key(self, now: float, signs_from: float) -> SigningKey:
        """Return a new key, its private half encrypted so that only controllers with our secret can use it."""
        ...

    def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        """Return the token. Raises Unavailable where the key was made with another secret than ours."""
        ...

    def jwk(self, key: SigningKey) -> dict[str, str]:
        """Return the public half as a JSON Web Key."""
        ...


class Passwords(Protocol):
    """One-way hashes of passwords. Both calls keep a processor busy for up to half a second."""

    def hash(self, password: str) -> str:
        """Return a hash that no two calls share."""
        ...

    def verify(self, password: str, stored: str) -> bool:
        """Return whether `stored` was made of this password; in a time that does not tell where they differ.

        An empty or unreadable hash is no password's, and costs as much as another.
        """
        ...

    def hash_of_random(self, secret: str) -> str:
        """Return the hash of a secret with at least 128 bits from a random source: quick, for robots that pull often.

        Where nobody can guess, slowness protects nothing.
        """
        ...

    def is_quick(self, stored: str) -> bool:
        """Return whether verifying against `stored` takes no time worth a thread."""
        ...


class Vault(Protocol):
    """The one secret that the controllers of a store share, outside that store."""

    def derive(self, purpose: str) -> str:
        """Return the secret for a purpose: always the same, useless for finding another. URL-safe, 256 bits."""
        ...

    def matches(self, purpose: str, given: str) -> bool:
        """Return whether `given` is that secret, in constant time."""
        ...
