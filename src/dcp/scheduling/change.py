"""The smallest changes that would let all of what is refused fit: so many hosts more, or so much less for each."""

import numpy as np

from dcp.hosts.model import Resources
from dcp.kernel.units import format_bytes, format_cpu
from dcp.scheduling.filters import Room, ever_for
from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import HOST, Ask
from dcp.scheduling.tally import Numbers

_UNITS = {"cpu": 10, "memory": 1 << 20, "disk": 1 << 20}
_LEAST_SHARE = 0.5
"""An instance with less than this share of what it asks for is another instance."""


def to_fit_all(fleet: Fleet, ask: Ask, room: Room, left: int) -> str:
    """Return in words what would let `left` more fit; "" where it is not a matter of room alone."""
    if depends_on_others(ask):
        return ""
    ways = [way for way in (_more_hosts(fleet, ask, left), _less_for_each(fleet, ask, room, left)) if way]
    if not ways:
        return ""
    return f"{'it' if left == 1 else f'all {left:,}'} would fit with {', or with '.join(ways)}"


def describe(resources: Resources) -> str:
    """Return resources in words: `0.5 CPU and 64 MiB`."""
    return join([amount_of(name, amount) for name, amount in resources.amounts().items() if amount]) or "nothing"


def amount_of(name: str, amount: int) -> str:
    """Return an amount of one resource in words: `0.5 CPU`, `64 MiB`, `1 GiB of disk`, `2 gpu`."""
    if name == "cpu":
        return format_cpu(amount)
    if name == "memory":
        return format_bytes(amount)
    return f"{format_bytes(amount)} of disk" if name == "disk" else f"{amount:,} {name}"


def join(words: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 2 else " and ".join(words)


def hosts_of(number: int) -> str:
    """Return `1 host`, `2 hosts`."""
    return "1 host" if number == 1 else f"{number:,} hosts"


def is_alone(ask: Ask) -> bool:
    """Return whether an instance wants no other of its service on its host."""
    return any(one.service == ask.service and one.within == HOST and not one.preferred for one in ask.apart)


def depends_on_others(ask: Ask) -> bool:
    """Return whether what stands on other hosts says where an instance may stand."""
    apart = any(one.within != HOST and not one.preferred for one in ask.apart)
    beside = any(not one.preferred for one in ask.beside)
    return apart or beside or any(one.max_skew is not None for one in ask.spread)


def _more_hosts(fleet: Fleet, ask: Ask, left: int) -> str:
    """Hosts like those that there are most of, among the ones that an instance may use and fits on empty."""
    ever = ever_for(fleet, ask)
    if not ever.any():
        return ""
    sizes, counts = np.unique(fleet.total[:, ever], axis=1, return_counts=True)
    needs = fleet.needs(ask.resources)
    most = [ask.max_per_host] if ask.max_per_host is not None else []
    most += [1] if ask.heavy or ask.host_ports or ask.empty_only or is_alone(ask) else []
    each = np.full(sizes.shape[1], min([left, *most]), dtype=np.int64)
    for row, need in needs:
        np.minimum(each, sizes[row] // need, out=each)
    if not each.any():
        return ""
    best = int(np.argmax(np.where(each > 0, counts, 0)))
    number = -(-left // int(each[best]))
    where = f" in site {' or '.join(sorted(ask.sites))}" if ask.sites else ""
    return f"{number:,} more {'host' if number == 1 else 'hosts'} of {_size(fleet, sizes[:, best])}{where}"


def _size(fleet: Fleet, column: Numbers) -> str:
    return join(
        [amount_of(name, amount) for name, amount in zip(fleet.resources, column.tolist(), strict=True) if amount]
    )


def _less_for_each(fleet: Fleet, ask: Ask, room: Room, left: int) -> str:
    """Look for the resource of which the smallest share has to be given up, if that alone is enough."""
    best: tuple[float, str] | None = None
    for name, _ in room.by_resource:
        need, row = ask.resources.amounts()[name], fleet.resources.index(name)
        others = Room(room.hosts, left, room.bounds, tuple(one for one in room.by_resource if one[0] != name)).fits()
        less = _least_less(others, fleet.free[row], need, _UNITS.get(name, 1), left)
        if less and (best is None or less / need < best[0]):
            best = (less / need, f"{amount_of(name, less)} less for each")
    return best[1] if best else ""


def _least_less(others: Numbers, free: Numbers, need: int, unit: int, left: int) -> int:
    """Return the fewest whole units by which `need` must shrink for `left` to fit; 0: half of it is not enough."""
    low, high = 0, int(need * _LEAST_SHARE) // unit
    if not high or int(np.minimum(others, np.maximum(free, 0) // (need - high * unit)).sum()) < left:
        return 0
    while low + 1 < high:
        middle = (low + high) // 2
        if int(np.minimum(others, np.maximum(free, 0) // (need - middle * unit)).sum()) >= left:
            high = middle
        else:
            low = middle
    return high * unit
