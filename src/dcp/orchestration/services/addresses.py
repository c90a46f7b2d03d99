"""Addresses of a site's own network for instances with network mode `underlay`: each is one instance's only."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses, both ends included, that dcp may give to instances on hosts of `site` ("": hosts without one)."""

    site: str
    first: str
    last: str

    @property
    def size(self) -> int:
        return int(ipaddress.ip_address(self.last)) - int(ipaddress.ip_address(self.first)) + 1


def range_of(site: str, ranges: tuple[AddressRange, ...]) -> AddressRange | None:
    """Return the range of a site; None if there is none."""
    return next((one for one in ranges if one.site == site), None)


def free_address(chosen: AddressRange, taken: Collection[str], last_given: str) -> str | None:
    """Return the next address after `last_given` that is not `taken`, from the start again at the end; None: all are.

    In turn, so that one that was just given back is used again as late as can be: neighbours remember who had it.
    """
    first, size = ipaddress.ip_address(chosen.first), chosen.size
    begin = int(ipaddress.ip_address(last_given)) - int(first) + 1 if last_given else 0
    for step in range(size):
        address = str(first + (begin + step) % size)
        if address not in taken:
            return address
    return None
