"""Passwords by scrypt of the standard library; secrets of robots, which nobody can guess, by SHA-256.

Hashes say how they were made, so that costs can rise later: `scrypt$n$r$p$salt$hash`, `sha256$salt$hash`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

SALT_BYTES = 16
_MEMORY_LIMIT_BYTES = 256 << 20
_COST_LIMIT = 1 << 23
"""Costs above are not ours: a changed row must not keep a controller busy for minutes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How much work scrypt makes: memory is 128 * n * r bytes, time grows with n * r * p."""

    n: int = 1 << 15
    r: int = 8
    p: int = 3


class ScryptPasswords:
    """32 MiB and about a quarter of a second a password by default, which is what OWASP asks of scrypt at least."""

    def __init__(self, cost: Cost = Cost()) -> None:
        self._cost = cost
        self._nobody = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        salt, cost = secrets.token_bytes(SALT_BYTES), self._cost
        parts = (str(cost.n), str(cost.r), str(cost.p), _text(salt), _text(_scrypt(password, salt, cost)))
        return "$".join(("scrypt", *parts))

    def hash_of_random(self, secret: str) -> str:
        salt = secrets.token_bytes(SALT_BYTES)
        return f"sha256${_text(salt)}${_text(_sha256(secret, salt))}"

    def is_quick(self, stored: str) -> bool:
        return stored.startswith("sha256$")

    def verify(self, password: str, stored: str) -> bool:
        try:
            return _verify(password, stored)
        except (ValueError, binascii.Error):
            _verify(password, self._nobody)
            return False


def _verify(password: str, stored: str) -> bool:
    scheme, *parts = stored.split("$")
    if scheme == "sha256" and len(parts) == 2:
        return hmac.compare_digest(_sha256(password, _bytes(parts[0])), _bytes(parts[1]))
    if scheme == "scrypt" and len(parts) == 5:
        cost = Cost(*(int(part) for part in parts[:3]))
        if cost.n * cost.r * cost.p > _COST_LIMIT:
            raise ValueError("costs more than anything of ours")
        return hmac.compare_digest(_scrypt(password, _bytes(parts[3]), cost), _bytes(parts[4]))
    raise ValueError("is no hash of ours")


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=_MEMORY_LIMIT_BYTES)


def _sha256(secret: str, salt: bytes) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
