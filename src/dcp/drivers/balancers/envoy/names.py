"""How a service is called inside Envoy: one name for its cluster, its statistics and its file.

Percent-encoding, as it is reversible and can be read; the dot is encoded as well, since it separates the parts of a
statistic's name.
"""

from urllib.parse import quote, unquote

from dcp.orchestration.services.model import ServiceKey

SEPARATOR = "%2F"


def encode(service: ServiceKey) -> str:
    """Return the name: only letters, digits and `_-~%`."""
    return quote(str(service), safe="").replace(".", "%2E")


def decode(name: str) -> ServiceKey:
    """Return the service that `encode` made the name from."""
    return ServiceKey.parse(unquote(name))
