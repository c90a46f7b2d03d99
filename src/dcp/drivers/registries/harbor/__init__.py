"""Harbor: content over the registry API, the catalogue over Harbor's own REST API (2.x)."""

from dcp.drivers.registries.harbor.registry import HarborRegistry

__all__ = ["HarborRegistry"]
