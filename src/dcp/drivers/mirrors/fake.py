"""Mirrors that exist only in thought: who answers where is asked of a test; what they are told is remembered."""

from collections.abc import Callable

from dcp.images.warming.ports import MirrorOrder, MirrorReport
from dcp.kernel.errors import Unreachable


class FakeMirrors:
    """`MirrorControl`. `who` returns the name of the mirror at a URL; "": nobody answers there."""

    def __init__(self, who: Callable[[str], str]) -> None:
        self._who = who
        self.routes: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {}
        """What each mirror was told last, by name."""
        self.orders: dict[str, list[MirrorOrder]] = {}
        self.received: dict[str, dict[str, int]] = {}
        """Bytes by upstream that a mirror says it received, by name."""

    async def report(self, url: str) -> MirrorReport:
        name = self._reach(url)
        ordered = frozenset((order.repository, order.digest) for order in self.orders.get(name, []))
        received = tuple(sorted(self.received.get(name, {}).items()))
        return MirrorReport(name, flowing=ordered, ordered=ordered, from_upstream_bytes=received)

    async def set_route(self, url: str, stripes: tuple[tuple[str, ...], ...], registries: tuple[str, ...]) -> None:
        self.routes[self._reach(url)] = (stripes, registries)

    async def warm(self, url: str, order: MirrorOrder) -> None:
        self.orders.setdefault(self._reach(url), []).append(order)

    def _reach(self, url: str) -> str:
        name = self._who(url)
        if not name:
            raise Unreachable(f"{url} does not answer")
        return name
