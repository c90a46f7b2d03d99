"""Source `openstack`: servers of Nova."""

from dcp.drivers.clouds.accounts import OpenStackAccount
from dcp.drivers.clouds.openstack.api import Nova
from dcp.drivers.clouds.openstack.source import OpenStackSource, OpenStackStoppingSource
from dcp.drivers.clouds.template import Template
from dcp.kernel.clock import Clock

__all__ = ["OpenStackSource", "OpenStackStoppingSource", "make"]


def make(template: Template, account: OpenStackAccount, clock: Clock) -> OpenStackSource:
    """Return the source."""
    nova = Nova(template.name, account)
    if account.switched_off:
        return OpenStackStoppingSource(template, nova, clock, account.switched_off)
    return OpenStackSource(template, nova, clock)
