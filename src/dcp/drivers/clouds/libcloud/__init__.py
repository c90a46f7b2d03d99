"""Source `libcloud`: the long tail of providers."""

from dcp.drivers.clouds.accounts import LibcloudAccount
from dcp.drivers.clouds.libcloud.source import LibcloudSource
from dcp.drivers.clouds.template import Template
from dcp.kernel.clock import Clock

__all__ = ["LibcloudSource", "make"]


def make(template: Template, account: LibcloudAccount, clock: Clock) -> LibcloudSource:
    """Return the source. Raises InvalidInput for credentials that cannot be read."""
    return LibcloudSource(template, account)
