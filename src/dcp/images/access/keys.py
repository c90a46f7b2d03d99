"""Signing keys of tokens and their succession: a new key is announced first, and signs once registries know it.

Registries read the certificates when they start. So a new key signs only after a time in which they are given the new
bundle and restarted, and the old one stays trusted until its last token has run out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

LEEWAY_S = 60.0
"""Registries accept tokens this long after their end."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. `sealed_key` is the private key, encrypted with a secret that is not in the store."""

    kid: str
    certificate: str
    """PEM, signed by the key itself."""
    sealed_key: str = field(repr=False)
    made_at: float
    signs_from: float
    trusted_until: float | None = None
    """None: nothing has followed it."""


def signing_key(keys: Iterable[SigningKey], now: float) -> SigningKey | None:
    """Return the key that signs now: of those that may, the one that was made last."""
    able = [key for key in trusted_keys(keys, now) if key.signs_from <= now]
    return able[-1] if able else None


def trusted_keys(keys: Iterable[SigningKey], now: float) -> tuple[SigningKey, ...]:
    """Return the keys whose certificates registries must have, the oldest first; announced ones too."""
    found = [key for key in keys if key.trusted_until is None or key.trusted_until > now]
    return tuple(sorted(found, key=lambda key: (key.made_at, key.signs_from, key.kid)))


def decide_succession(keys: Iterable[SigningKey], new: SigningKey, token_ttl_s: float) -> tuple[SigningKey, ...]:
    """Return the keys that change when `new` follows: each ends when its last token has run out."""
    until = new.signs_from + token_ttl_s + LEEWAY_S
    return tuple(
        replace(key, trusted_until=until) for key in keys if key.trusted_until is None or key.trusted_until > until
    )
