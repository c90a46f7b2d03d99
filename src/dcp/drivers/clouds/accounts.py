"""What each kind of cloud account is told beside its template. No vendor's library is loaded for these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LibcloudAccount:
    """Which provider, what its driver is made with, and further arguments for each machine."""

    provider: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Nothing secret."""
    options: Mapping[str, Any] = field(default_factory=dict)
    credentials_file: str = ""
    """A YAML mapping of further arguments of the driver: keys and secrets. Below `create`: options."""
    listing_is_complete: bool = False
    """Somebody vouches for a provider of which it is not known."""


@dataclass(frozen=True, slots=True)
class OpenStackAccount:
    """One project of one region. Empty `cloud`: what the environment says (`OS_AUTH_URL` and the others)."""

    cloud: str = ""
    """An entry of `clouds.yaml`."""
    clouds_file: str = ""
    """Where that file is; empty: in the usual places."""
    region: str = ""
    switched_off: str = ""
    """What switching a host off means: `shelve` or `stop`; empty: hosts are not switched off."""


@dataclass(frozen=True, slots=True)
class AliyunAccount:
    """One region of one account."""

    region: str
    credentials_file: str
    """A YAML mapping of `access_key_id` and `access_key_secret`; dcp looks for them nowhere else."""
    system_disk: str = ""
    """Category of the system disk; empty: the cloud's default."""
    system_disk_gib: int | None = None
    public_bandwidth_mbit: int = 0
    """Above 0 every machine gets a public address."""
    stopping: bool = False
    """Whether hosts may be switched off and kept, in economical mode."""
    endpoint: str = ""
    """Where the API answers; empty: the region's own address."""


@dataclass(frozen=True, slots=True)
class Ec2Account:
    """One region of one account. Credentials come from the SDK's default chain unless a profile or file is named."""

    region: str
    profile: str = ""
    credentials_file: str = ""
    """A YAML mapping of `aws_access_key_id`, `aws_secret_access_key` and perhaps `aws_session_token`."""
    instance_profile: str = ""
    """The IAM role of the machines, by the name of its instance profile."""
    user_data_file: str = ""
    """What machines are told at their first boot."""
    stopping: bool = False
    """Whether hosts may be switched off and kept."""
    endpoint: str = ""
    """Where the API answers; empty: the region's own address."""


Account = LibcloudAccount | OpenStackAccount | AliyunAccount | Ec2Account
