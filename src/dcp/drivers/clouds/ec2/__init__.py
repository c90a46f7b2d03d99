"""Source `ec2`: Amazon EC2, and clouds that speak its API."""

from dcp.drivers.clouds.accounts import Ec2Account
from dcp.drivers.clouds.ec2.api import Ec2, read_user_data
from dcp.drivers.clouds.ec2.source import Ec2Source
from dcp.drivers.clouds.ec2.stopping import Ec2StoppingSource
from dcp.drivers.clouds.template import Template
from dcp.kernel.clock import Clock

__all__ = ["Ec2Source", "Ec2StoppingSource", "make"]


def make(template: Template, account: Ec2Account, clock: Clock) -> Ec2Source:
    """Return the source. Raises InvalidInput for credentials or user data that cannot be read."""
    kind = Ec2StoppingSource if account.stopping else Ec2Source
    return kind(template, Ec2(template.name, account), clock, read_user_data(account.user_data_file, template.name))
