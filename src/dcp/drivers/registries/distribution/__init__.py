"""A registry that speaks the Docker Registry HTTP API V2, which became OCI's distribution API."""

from dcp.drivers.registries.distribution.connection import Credentials, RegistryAddress
from dcp.drivers.registries.distribution.registry import DistributionRegistry

__all__ = ["Credentials", "DistributionRegistry", "RegistryAddress"]
