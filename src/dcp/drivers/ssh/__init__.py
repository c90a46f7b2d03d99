"""Machines over SSH, by the OpenSSH client: which key, which host keys, and a look at what a machine is."""

from dcp.drivers.ssh.access import SshAccess
from dcp.drivers.ssh.fake import FakeLooker
from dcp.drivers.ssh.looker import SshLooker

__all__ = ["FakeLooker", "SshAccess", "SshLooker"]
