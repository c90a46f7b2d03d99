"""Words of warming, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dcp.images.model import ImageRef
from dcp.images.warming.states import HostImageState, MirrorState

MB = 1_000_000
PIECE_BYTES = 4 << 20
"""Unit in which a mirror shares a large blob among its parents."""

WORD_OF_IMAGE = frozenset({"image-missing", "wrong-digest", "denied"})
"""Reasons that say something about the image, not about the host: no host is excluded for them."""
WORD_OF_HOST = frozenset({"disk-full", "unreachable"})
"""Reasons that are surely the host's own. For any other it is excluded only while the image reaches other hosts."""


class Way(StrEnum):
    """How an image reaches the hosts of a site."""

    DIRECT = "direct"  # every host from the registry
    MIRRORS = "mirrors"  # from a few mirrors, which form a tree
    PEERS = "peers"  # every pulling host runs a mirror: hosts serve each other


@dataclass(frozen=True, slots=True)
class Links:
    """Speeds that an estimate counts with, in bytes per second, and the time that each further mirror adds."""

    line_bytes_s: float = 1250 * MB
    """Between the registry and the site: 10 Gbit/s."""
    host_bytes_s: float = 300 * MB
    """What one host sends or receives."""
    hop_s: float = 0.02
    """Question, answer and the first bytes from one mirror to the next."""


@dataclass(frozen=True, slots=True)
class WarmingSettings:
    """What a person decides about warming. Without a mirror image no mirrors are started: hosts pull directly."""

    mirror_image: str = ""
    ratio: float = 0.05
    """Mirrors for each host that needs an image."""
    max_mirrors: int = 50
    """Of one site, unless hosts serve each other."""
    peers: bool = True
    """Hosts may serve each other where the estimate says that it is faster."""
    mirror_start_s: float = 3.0
    """Expected, from the order to the first answer."""
    mirror_answer_s: float = 60.0
    """A mirror that does not answer for so long after its start, or after it was lost, is given up."""
    mirror_wait_s: float = 60.0
    """A host that got no mirror for so long pulls directly."""
    mirror_linger_s: float = 600.0
    """A mirror from which nobody has pulled for so long is stopped."""
    mirror_port: int = 5050
    mirror_capacity_bytes: int = 20 << 30
    pulls_per_mirror: int = 4
    """Hosts that pull from one mirror at the same time; more would only slow each other down."""
    direct_hosts: int = 4
    """Up to so many hosts pull directly: to start a mirror for them costs more than it saves."""
    direct_pulls: int = 16
    """Hosts of a site that pull from the registry at the same time."""
    attempts: int = 5
    """Failed pulls after which a host is excluded, if the reason is the host's."""
    excluded_s: float = 900.0
    """A host stays excluded for so long; then it is tried again."""
    max_fan_out: int = 8
    links: Links = Links()


@dataclass(frozen=True, slots=True)
class WarmImage:
    """An image by digest, as engines name it (`name@sha256:…`), and what a host without any of it receives."""

    reference: str
    size_bytes: int
    layers: tuple[int, ...] = ()
    """Bytes of each layer."""
    mirrored: bool = True
    """Mirrors can bring it; another registry's images come directly."""


@dataclass(frozen=True, slots=True)
class WarmHost:
    """A host of the site. `ready`: its engine can be asked now."""

    id: str
    address: str
    ready: bool
    rack: str = ""
    free_cpu_millis: int = 0
    needs: tuple[str, ...] = ()
    """References of the images that instances there wait for or run."""


@dataclass(frozen=True, slots=True)
class Stripes:
    """Where a mirror takes from: for each stripe its parent, then that one's own parent, and so on; ids of mirrors.

    An empty tuple means: from the registry. Whoever stands there is an ancestor, so nobody ever waits for itself.
    """

    upward: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Mirror:
    """One mirror in the ledger."""

    id: str
    site: str
    host_id: str
    state: MirrorState
    since: float
    address: str = ""
    port: int = 0
    stripes: Stripes = Stripes()
    attempts: int = 0
    not_before: float = 0.0
    reason: str = ""
    version: int = 0

    @property
    def subject(self) -> str:
        return f"mirror/{self.id}"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostImage:
    """One image on one host in the ledger."""

    host_id: str
    image: str
    state: HostImageState
    since: float
    """When it entered its state."""
    wanted_at: float = 0.0
    source: str = ""
    """The mirror that it is pulled from; "registry": directly."""
    attempts: int = 0
    not_before: float = 0.0
    reason: str = ""
    words: str = ""
    moved_bytes: int = 0
    version: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.host_id, self.image


def as_pulled(image: str) -> str:
    """Return an image as hosts are told to pull it and list it: `name@sha256:…`; "" if it is not pinned."""
    try:
        ref = ImageRef.parse(image)
    except ValueError:
        return ""
    return str(replace(ref, tag="")) if ref.pinned else ""


def pinned_digest(reference: str) -> str:
    """Return the digest that a reference names; "" if it names none."""
    return reference.partition("@")[2]


REGISTRY = "registry"
"""Source of a host that pulls directly."""


@dataclass(frozen=True, slots=True)
class WarmingView:
    """Everything that `decide_warming` looks at: one site at one moment."""

    now: float
    site: str
    settings: WarmingSettings
    images: Mapping[str, WarmImage]
    """By reference; one that is not here has an unknown size."""
    hosts: tuple[WarmHost, ...]
    mirrors: tuple[Mirror, ...]
    """Those of the site that are not gone."""
    rows: tuple[HostImage, ...]
    answering: frozenset[str]
    """Mirrors that answered when they were last asked."""
    silent: frozenset[str]
    """Mirrors that did not, for longer than a moment."""
    flowing: frozenset[tuple[str, str]]
    """(mirror, image) of which the mirror has the manifest and all that it names is there or arriving."""
    warming: frozenset[tuple[str, str]]
    """(mirror, image) that the mirror was told and that did not fail."""
    present: Mapping[str, frozenset[str]]
    """What engines listed, by host; a host that is not here was not listed."""
    pulling: frozenset[tuple[str, str]]
    """(host, image) that this controller has under way."""
    stopped: frozenset[str] = frozenset()
    """Mirrors that are leaving and whose container is gone."""
    avoid: frozenset[str] = frozenset()
    """Hosts on which a mirror failed to start a while ago."""
    last_mirror: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one way costs: seconds until the last host has the image, and bytes over the line between sites."""

    way: Way
    seconds: float
    line_bytes: int
    mirrors: int = 0
    stripes: int = 1


@dataclass(frozen=True, slots=True)
class MirrorStep:
    """Put `mirror` (a new row where `before` is None) over what there was."""

    before: Mirror | None
    mirror: Mirror
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class HostImageStep:
    """Put `row` over what there was; None: it is dropped."""

    before: HostImage | None
    row: HostImage | None
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Pull:
    """Have the host pull the image from `source` (a mirror's id or the registry)."""

    host_id: str
    image: str
    source: str


@dataclass(frozen=True, slots=True)
class PlannedWarming:
    """Part of a plan: an image that must reach hosts of a site, by which way, at what cost."""

    image: str
    site: str
    hosts: tuple[str, ...]
    way: Way
    mirrors_to_add: int
    size_bytes: int
    line_bytes: int
    seconds: float

    @property
    def words(self) -> str:
        """Return it in one sentence."""
        many = "1 host" if len(self.hosts) == 1 else f"{len(self.hosts):,} hosts"
        where = f" of {self.site}" if self.site else ""
        ways = {
            Way.DIRECT: "straight from the registry",
            Way.MIRRORS: f"by mirrors ({self.mirrors_to_add} more)",
            Way.PEERS: f"by hosts serving each other ({self.mirrors_to_add} more mirrors)",
        }
        size = f"{self.size_bytes / MB:,.0f} MB" if self.size_bytes else "of unknown size"
        line = f"{self.line_bytes / MB:,.0f} MB over the line, about {self.seconds:.0f} s" if self.size_bytes else ""
        return f"{self.image} ({size}) to {many}{where} {ways[self.way]}" + (f": {line}" if line else "")


@dataclass(frozen=True, slots=True)
class WarmingDecision:
    """What changes now at one site: rows first, then calls."""

    way: Way
    mirrors: tuple[MirrorStep, ...] = ()
    rows: tuple[HostImageStep, ...] = ()
    warm: tuple[tuple[str, str], ...] = ()
    """(mirror, image) to be told."""
    pulls: tuple[Pull, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
