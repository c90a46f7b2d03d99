"""How services and instances are called inside HAProxy, which allows letters, digits and `_.:-` in a name.

Both names are reversible and can be read. The address is a part of a server's name: an instance that comes back
elsewhere is another server, so that no server ever changes its address under requests.
"""

import re
from ipaddress import ip_address

from dcp.kernel.errors import Rejected
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Endpoint

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)


def proxy_name(service: ServiceKey) -> str:
    """Return the name of the service's section. Rejected: it has a character that HAProxy does not allow."""
    for part in (service.application, service.name):
        _check_plain(part, f"service {service}")
    return f"{service.application}:{service.name}"


def service_of(name: str) -> ServiceKey:
    """Return the service that `proxy_name` made the name from."""
    application, _, service = name.partition(":")
    return ServiceKey(application, service)


def is_service(name: str) -> bool:
    """Return whether `proxy_name` made the name; our other sections have no colon."""
    return ":" in name


def server_name(endpoint: Endpoint) -> str:
    """Return `instance:address:port`. Rejected: no IP address, or an id that HAProxy cannot have as a name."""
    _check_plain(endpoint.instance_id, f"instance {endpoint.instance_id}")
    check_address(endpoint.address, f"endpoint {endpoint.instance_id}")
    return f"{endpoint.instance_id}:{endpoint.address}:{endpoint.port}"


def place_of(name: str) -> tuple[str, int]:
    """Return address and port of the server that `server_name` named."""
    rest, _, port = name.rpartition(":")
    return rest.partition(":")[2], int(port)


def bind_text(address: str, port: int) -> str:
    """Return an address as HAProxy reads it: the last colon separates the port, also of an IPv6 address."""
    return f"ipv6@{address}:{port}" if ":" in address else f"{address}:{port}"


def check_address(address: str, subject: str) -> None:
    """Raise Rejected unless it is an IP address without a zone."""
    try:
        ip_address(address)
    except ValueError as error:
        raise Rejected(f"{subject}: {address!r} is not an IP address", hint="resolve names before") from error
    if "%" in address:
        raise Rejected(f"{subject}: {address!r} has a zone", hint="use an address that is not link-local")


def _check_plain(text: str, subject: str) -> None:
    if not _PLAIN.fullmatch(text):
        raise Rejected(f"{subject}: HAProxy cannot have {text!r} as a name", hint="use letters, digits, - _ .")
