"""What a mirror is told, and what it counts."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
PIECE_BYTES = 4 * MIB
"""Unit of striping and of book-keeping: 30 ms on a 1 Gbit/s link, 750 pieces for 3 GB."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a mirror gets what it does not have. URLs without a trailing slash.

    Each stripe names mirrors: a parent, and those to turn to when it fails. With several stripes a large blob is cut
    into pieces and piece i belongs to stripe i modulo their number, so that no parent has to send the whole of it.
    After the mirrors of a stripe, and where it names none, come the registries in their order. They are also asked
    first for whether a reader may read.
    """

    stripes: tuple[tuple[str, ...], ...] = ()
    registries: tuple[str, ...] = ()

    def order(self, stripe: int) -> tuple[str, ...]:
        """Return the upstreams of a stripe, the one to ask first in front."""
        if not self.stripes:
            return self.registries
        return (*self.stripes[stripe % len(self.stripes)], *self.registries)

    def authorities(self) -> tuple[str, ...]:
        """Return every upstream once, registries first."""
        return (*self.registries, *dict.fromkeys(url for stripe in self.stripes for url in stripe))


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """Everything that a mirror can be told. Times in seconds."""

    name: str
    directory: Path
    route: Route
    host: str = "0.0.0.0"
    port: int = 5000
    capacity_bytes: int = 20 << 30
    control_token: str = field(default="", repr=False)
    """Who carries it may change the route, warm, and read the status; "": nobody may."""
    ca_file: Path | None = None
    """Certificates that upstreams are checked with, beside the machine's."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    """With both, the mirror itself answers over TLS."""
    stall_s: float = 10.0
    """An upstream that sends nothing for so long is left for the next one."""
    connect_s: float = 3.0
    reader_stall_s: float = 120.0
    """A reader that takes nothing for so long is cut, so that it does not hold its blob for ever."""
    cool_down_s: float = 5.0
    """An upstream that failed is asked last for so long."""
    rights_s: float = 60.0
    """How long an upstream's word that a reader may read holds."""
    rights_outage_s: float = 600.0
    """How long it holds while no upstream answers."""
    tag_s: float = 2.0
    """How long a tag is answered without asking upstream."""
    attempts: int = 12
    """Failures without a byte between them before a blob is given up."""


@dataclass(slots=True)
class Counters:
    """What a mirror did since it started."""

    from_upstream: Counter[str] = field(default_factory=Counter)
    """Bytes of blobs and manifests received, by upstream."""
    served_bytes: int = 0
    hits: int = 0
    """Blobs that were there, whole."""
    joined: int = 0
    """Readers of a blob that another reader had made arrive already."""
    misses: int = 0
    passed_through: int = 0
    """Blobs for which there was no room on disk."""
    wrong_digests: Counter[str] = field(default_factory=Counter)
    upstream_failures: Counter[str] = field(default_factory=Counter)
    rights_asked: int = 0
    refused: int = 0
    evicted_bytes: int = 0
    readers: int = 0
    """Under way now."""
