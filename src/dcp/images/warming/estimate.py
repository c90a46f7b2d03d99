"""How long each way takes and what it sends over the line: simple sums over link speeds, checked by the simulator."""

import math

from dcp.images.warming.model import PIECE_BYTES, Estimate, Links, WarmingSettings, Way
from dcp.images.warming.tree import depth_of

UNKNOWN_SIZE_BYTES = 300_000_000
"""What an image of unknown size is counted as when a way is chosen."""
CLEARLY = 0.8
"""Hosts serve each other only if that takes at most this share of the time with few mirrors: it costs more to run."""


def estimate_direct(size_bytes: int, hosts: int, links: Links) -> Estimate:
    """Every host from the registry, all over the line."""
    together = min(links.line_bytes_s, hosts * links.host_bytes_s)
    return Estimate(Way.DIRECT, hosts * size_bytes / together if hosts else 0.0, hosts * size_bytes)


def estimate_mirrors(size_bytes: int, hosts: int, mirrors: int, new: int, settings: WarmingSettings) -> Estimate:
    """From `mirrors` mirrors, `new` of which have to be started first. They share what they send among all readers."""
    links = settings.links
    stripes = best_stripes(size_bytes, mirrors, settings)
    readers = hosts + mirrors - 1  # of which mirrors themselves are some
    sending_s = size_bytes * max(readers / mirrors, 1.0) / links.host_bytes_s
    first_s = size_bytes / min(links.line_bytes_s, links.host_bytes_s)
    seconds = max(first_s, sending_s) + (depth_of(mirrors, stripes) + 1) * links.hop_s
    return Estimate(
        Way.MIRRORS, seconds + (settings.mirror_start_s if new else 0.0), size_bytes if mirrors else 0, mirrors, stripes
    )


def estimate_peers(size_bytes: int, hosts: int, new: int, settings: WarmingSettings) -> Estimate:
    """Every host runs a mirror; `new` of them have to be started first."""
    links = settings.links
    stripes = best_stripes(size_bytes, hosts, settings)
    seconds = _through_tree_s(size_bytes, hosts, stripes, links)
    return Estimate(Way.PEERS, seconds + (settings.mirror_start_s if new else 0.0), size_bytes, hosts, stripes)


def choose_way(size_bytes: int, hosts: int, standing: int, settings: WarmingSettings) -> Estimate:
    """Return the estimate of the way to take for an image that `hosts` hosts lack; `standing` mirrors are ready.

    A few hosts pull directly. For more the line is used once, whatever that costs in time beside direct pulls.
    """
    size = size_bytes or UNKNOWN_SIZE_BYTES
    direct = estimate_direct(size, hosts, settings.links)
    if not settings.mirror_image or (not standing and hosts <= settings.direct_hosts):
        return direct
    count = max(min(wanted_mirrors(hosts, settings), hosts), standing, 1)
    few = estimate_mirrors(size, hosts, count, max(0, count - standing), settings)
    if settings.peers and hosts > settings.direct_hosts:
        peers = estimate_peers(size, hosts, max(0, hosts - standing), settings)
        if peers.seconds < CLEARLY * few.seconds:
            return peers
    return few


def wanted_mirrors(hosts: int, settings: WarmingSettings) -> int:
    """Return how many mirrors `hosts` hosts get by the ratio: at least one."""
    return max(1, min(settings.max_mirrors, math.ceil(settings.ratio * hosts - 1e-9)))


def best_stripes(size_bytes: int, mirrors: int, settings: WarmingSettings) -> int:
    """Return the number of stripes with which `mirrors` mirrors have all of it soonest."""
    most = min(settings.max_fan_out, mirrors, max(1, size_bytes // (2 * PIECE_BYTES)))
    return min(
        range(1, max(1, most) + 1),
        key=lambda count: (_through_tree_s(size_bytes, mirrors, count, settings.links), count),
    )


def _through_tree_s(size_bytes: int, mirrors: int, stripes: int, links: Links) -> float:
    rate = min(links.line_bytes_s, links.host_bytes_s)
    last_pieces_s = (stripes - 1) * PIECE_BYTES / rate
    return size_bytes / rate + depth_of(mirrors, stripes) * links.hop_s + last_pieces_s
