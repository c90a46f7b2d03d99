"""Who may read what: an upstream is asked once for each (authorization, repository), and its word holds for a while.

A mirror knows neither accounts nor keys. What it holds of a repository is given only to those whom the registry lets
read that repository, and only what the registry says is in it: knowing a digest opens nothing. While no upstream
answers, a word given before holds longer, but never past the end that the token itself names.
"""

import base64
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass

from dcp.mirror.model import MirrorSettings

REMEMBERED = 100_000
"""Readers and contents remembered at most: about 20 MB."""


@dataclass(slots=True)
class _Word:
    asked_at: float
    ends_at: float


class Rights:
    """What upstreams said about readers, and what is in which repository."""

    def __init__(self, settings: MirrorSettings) -> None:
        self._settings = settings
        self._words: OrderedDict[tuple[bytes, str], _Word] = OrderedDict()
        self._contents: OrderedDict[tuple[str, str], int] = OrderedDict()

    def may_read(self, authorization: str, repository: str, now: float) -> bool:
        """Return whether an upstream said so a moment ago."""
        return self._within(authorization, repository, now, self._settings.rights_s)

    def could_read(self, authorization: str, repository: str, now: float) -> bool:
        """Return whether an upstream said so before it fell silent."""
        return self._within(authorization, repository, now, self._settings.rights_outage_s)

    def learn(self, authorization: str, repository: str, now: float) -> None:
        """Remember that the reader may read the repository now."""
        self._words[_key(authorization, repository)] = _Word(now, token_end(authorization))
        self._words.move_to_end(_key(authorization, repository))
        while len(self._words) > REMEMBERED:
            self._words.popitem(last=False)

    def forget(self, authorization: str, repository: str) -> None:
        """An upstream said no."""
        self._words.pop(_key(authorization, repository), None)

    def size_in(self, repository: str, digest: str) -> int | None:
        """Return the size of what the repository is known to hold under `digest`; None if that is not known."""
        return self._contents.get((repository, digest))

    def learn_content(self, repository: str, digest: str, size: int) -> None:
        """Remember that the repository holds `digest`."""
        self._contents[repository, digest] = size
        self._contents.move_to_end((repository, digest))
        while len(self._contents) > REMEMBERED:
            self._contents.popitem(last=False)

    def _within(self, authorization: str, repository: str, now: float, for_s: float) -> bool:
        word = self._words.get(_key(authorization, repository))
        return word is not None and now < min(word.ends_at, word.asked_at + for_s)


def token_end(authorization: str) -> float:
    """Return when a bearer token says that it ends; infinity if it does not. Its signature is the registry's task."""
    kind, _, token = authorization.partition(" ")
    parts = token.strip().split(".")
    if kind.lower() != "bearer" or len(parts) != 3:
        return float("inf")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _key(authorization: str, repository: str) -> tuple[bytes, str]:
    """Secrets are not kept in memory longer than a request: their hash is enough to recognise them."""
    return hashlib.sha256(authorization.encode()).digest(), repository
