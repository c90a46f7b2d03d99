"""The part of `dcp.yaml` that says how images reach hosts."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dcp.images.warming.model import Links, WarmingSettings
from dcp.kernel.units import parse_bytes

_DEFAULT = WarmingSettings()
_BYTES_PER_MBIT = 125_000.0

Mbit = Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]


def _size(value: object) -> int:
    found = parse_bytes(value) if isinstance(value, str | int) else 0
    if found <= 0:
        raise ValueError("not a size above 0 such as 20G")
    return found


class WarmingForm(BaseModel):
    """Mirrors and pulls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mirror_image: str = _DEFAULT.mirror_image
    mirror_command: list[str] = Field(default_factory=lambda: ["dcp", "mirror"])
    ratio: Annotated[float, Field(gt=0, le=1)] = _DEFAULT.ratio
    max_mirrors: Annotated[int, Field(ge=1, le=10_000)] = _DEFAULT.max_mirrors
    peers: bool = _DEFAULT.peers
    mirror_port: Annotated[int, Field(ge=1, le=65535)] = _DEFAULT.mirror_port
    mirror_capacity: Annotated[int, BeforeValidator(_size)] = _DEFAULT.mirror_capacity_bytes
    mirror_linger_s: Seconds = _DEFAULT.mirror_linger_s
    mirror_wait_s: Seconds = _DEFAULT.mirror_wait_s
    pulls_per_mirror: Annotated[int, Field(ge=1, le=1000)] = _DEFAULT.pulls_per_mirror
    direct_hosts: Annotated[int, Field(ge=0, le=100_000)] = _DEFAULT.direct_hosts
    direct_pulls: Annotated[int, Field(ge=1, le=1000)] = _DEFAULT.direct_pulls
    attempts: Annotated[int, Field(ge=1, le=100)] = _DEFAULT.attempts
    line_mbit: Mbit = _DEFAULT.links.line_bytes_s / _BYTES_PER_MBIT
    host_mbit: Mbit = _DEFAULT.links.host_bytes_s / _BYTES_PER_MBIT

    def settings(self) -> WarmingSettings:
        """Return the frozen value."""
        return WarmingSettings(
            mirror_image=self.mirror_image,
            ratio=self.ratio,
            max_mirrors=self.max_mirrors,
            peers=self.peers,
            mirror_port=self.mirror_port,
            mirror_capacity_bytes=self.mirror_capacity,
            mirror_linger_s=self.mirror_linger_s,
            mirror_wait_s=self.mirror_wait_s,
            pulls_per_mirror=self.pulls_per_mirror,
            direct_hosts=self.direct_hosts,
            direct_pulls=self.direct_pulls,
            attempts=self.attempts,
            links=Links(self.line_mbit * _BYTES_PER_MBIT, self.host_mbit * _BYTES_PER_MBIT),
        )
