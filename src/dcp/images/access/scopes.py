"""Read what a client asks a token for: `repository:shop/feed:pull,push`, `registry:catalog:*`.

A name may hold a registry with a port, so it begins behind the first `:` and ends before the last one. Several scopes
stand in several parameters or in one, with blanks between; equal names are joined.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

SCOPES_LIMIT = 100
"""Scopes of one request. Clients ask for two at most; mounting a blob asks for a second repository."""
_KIND = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?")
_ACTION = re.compile(r"[a-z]+|\*")


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody wants to do with one thing. `kind` is `repository` or `registry` in practice."""

    kind: str
    name: str
    actions: tuple[str, ...]
    """In the order asked, none twice."""
    kind_class: str = ""
    """As in `repository(plugin):…`."""

    def __str__(self) -> str:
        kind = f"{self.kind}({self.kind_class})" if self.kind_class else self.kind
        return f"{kind}:{self.name}:{','.join(self.actions)}"


def parse_scopes(parameters: Iterable[str]) -> tuple[Scope, ...]:
    """Return every scope once, in order. Raises ValueError for what is no scope, and for more than the limit."""
    found: dict[tuple[str, str, str], Scope] = {}
    words = [word for parameter in parameters for word in parameter.split()]
    if len(words) > SCOPES_LIMIT:
        raise ValueError(f"{len(words)} scopes are asked for at once; the most is {SCOPES_LIMIT}")
    for word in words:
        scope = _parse(word)
        key = (scope.kind, scope.kind_class, scope.name)
        before = found.get(key)
        actions = dict.fromkeys((*(before.actions if before else ()), *scope.actions))
        found[key] = replace(scope, actions=tuple(actions))
    return tuple(found.values())


def _parse(text: str) -> Scope:
    kind, _, rest = text.partition(":")
    name, _, listed = rest.rpartition(":")
    matched = _KIND.fullmatch(kind)
    actions = tuple(dict.fromkeys(listed.split(","))) if listed else ()
    if not matched or not name or not all(_ACTION.fullmatch(action) for action in actions):
        raise ValueError(f"{text[:300]!r} is not a scope such as repository:shop/feed:pull,push")
    return Scope(matched[1], name, actions, matched[2] or "")
