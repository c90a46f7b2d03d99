"""The form of `spares` in `dcp.yaml`: when more hosts are asked for than are wanted."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dcp.hosts.boots import SpareSettings

_DEFAULT = SpareSettings()


def _rising(value: dict[float, float]) -> dict[float, float]:
    points = sorted(value.items())
    if len(points) < 2 or points[0][0] != 0 or points[-1][0] != 1:
        raise ValueError("must tell the seconds from share 0 to share 1, such as {0: 40, 0.5: 90, 1: 600}")
    if any(later_s < earlier_s for (_, earlier_s), (_, later_s) in pairwise(points)):
        raise ValueError("seconds fall where the share rises")
    if points[0][1] < 0 or points[-1][1] > 86400:
        raise ValueError("seconds must lie between 0 and 86400")
    return dict(points)


QuantileMap = Annotated[dict[float, Annotated[float, Field(allow_inf_nan=False)]], AfterValidator(_rising)]
"""Share of all (0 to 1) to the seconds that this share takes at most."""


class SparesForm(BaseModel):
    """What is expected of hosts that are asked for, and how sure enough of them should be ready in time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deadline_s: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = _DEFAULT.deadline_s
    confidence: Annotated[float, Field(gt=0, lt=1)] = _DEFAULT.confidence
    max_share: Annotated[float, Field(ge=0, le=1)] = _DEFAULT.max_share
    expected_boot_s: QuantileMap | None = None
    expected_failures: Annotated[float, Field(ge=0, lt=1)] = _DEFAULT.expected_failures
    trust_hosts: Annotated[float, Field(ge=0, le=1_000_000)] = _DEFAULT.trust_hosts

    def settings(self) -> SpareSettings:
        """Return the frozen value."""
        told = self.model_dump(exclude={"expected_boot_s"})
        return SpareSettings(**told, expected_boot=tuple((self.expected_boot_s or {}).items()))
