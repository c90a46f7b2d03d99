"""Mirrors that exist only in thought: they answer, fetch and fail as a test says."""

from dcp.images.warming.ports import MirrorOrder, MirrorReport
from dcp.kernel.errors import Unreachable


class FakeMirrors:
    """`MirrorControl` over a table of what was asked. A mirror answers once `answers` holds its URL."""

    def __init__(self) -> None:
        self.answers: set[str] = set()
        self.all_answer = False
        self.routes: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {}
        self.orders: dict[str, list[MirrorOrder]] = {}

    async def report(self, url: str) -> MirrorReport:
        self._reach(url)
        ordered = frozenset((order.repository, order.digest) for order in self.orders.get(url, []))
        return MirrorReport(url, flowing=ordered, ordered=ordered)

    async def set_route(self, url: str, stripes: tuple[tuple[str, ...], ...], registries: tuple[str, ...]) -> None:
        self._reach(url)
        self.routes[url] = (stripes, registries)

    async def warm(self, url: str, order: MirrorOrder) -> None:
        self._reach(url)
        self.orders.setdefault(url, []).append(order)

    def _reach(self, url: str) -> None:
        if not self.all_answer and url not in self.answers:
            raise Unreachable(f"{url} does not answer")
