"""Source `aliyun`: Elastic Compute Service of Aliyun (Alibaba Cloud)."""

from dcp.drivers.clouds.accounts import AliyunAccount
from dcp.drivers.clouds.aliyun.api import Ecs
from dcp.drivers.clouds.aliyun.source import AliyunSource, AliyunStoppingSource
from dcp.drivers.clouds.template import Template
from dcp.kernel.clock import Clock

__all__ = ["AliyunSource", "AliyunStoppingSource", "make"]


def make(template: Template, account: AliyunAccount, clock: Clock) -> AliyunSource:
    """Return the source. Raises InvalidInput for credentials that cannot be read."""
    kind = AliyunStoppingSource if account.stopping else AliyunSource
    return kind(template, Ecs(template.name, account), clock)
