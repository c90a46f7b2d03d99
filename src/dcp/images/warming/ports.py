"""What dcp asks of a mirror that runs."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """What a mirror says of itself."""

    name: str
    flowing: frozenset[tuple[str, str]]
    """(repository, digest) of images that it has, or that are arriving with nothing left to be asked."""
    ordered: frozenset[tuple[str, str]]
    """(repository, digest) that it was told to fetch and that did not fail."""
    from_upstream_bytes: tuple[tuple[str, int], ...] = ()
    """Bytes received since it started, by the URL of the upstream."""
    served_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MirrorOrder:
    """Fetch `digest` of `repository` before any host asks. `authorization`: header that the registry lets in."""

    repository: str
    digest: str
    authorization: str = ""

    def __repr__(self) -> str:
        return f"MirrorOrder({self.repository}@{self.digest})"


class MirrorControl(Protocol):
    """The way to every mirror. Each call raises DriverError, or Unreachable where it does not answer, within 5 s."""

    async def report(self, url: str) -> MirrorReport:
        """Return what it says of itself."""
        ...

    async def set_route(self, url: str, stripes: tuple[tuple[str, ...], ...], registries: tuple[str, ...]) -> None:
        """Have it take from others from now on: URLs of mirrors for each stripe, then of registries. Idempotent."""
        ...

    async def warm(self, url: str, order: MirrorOrder) -> None:
        """Have it begin to fetch an image. Idempotent while that is under way."""
        ...
