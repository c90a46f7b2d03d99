"""The form of `clusters` in `dcp.yaml`: what each business line may have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcp.hosts.clusters import Cluster
from dcp.settings.values import Name

Cap = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Quota = Annotated[int, Field(ge=0, le=1_000_000)]


class ClusterForm(BaseModel):
    """One cluster. An empty name is for applications that name none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name | Annotated[str, Field(max_length=0)]
    max_hosts: Quota | None = None
    max_cloud_hosts: Quota | None = None
    hard_cap_usd_per_hour: Cap | None = None
    soft_cap_usd_per_hour: Cap | None = None
    hard_cap_usd_per_month: Cap | None = None
    headroom_hosts: Quota = 0
    headroom_percent: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0
    headroom_cloud: bool = False
    stopped_hosts: Quota = 0
    lends: bool = False
    claim_notice_s: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = Cluster("").claim_notice_s

    @model_validator(mode="after")
    def _caps_fit(self) -> "ClusterForm":
        hard, soft = self.hard_cap_usd_per_hour, self.soft_cap_usd_per_hour
        if hard is not None and soft is not None and soft > hard:
            raise ValueError(f"soft_cap_usd_per_hour is {soft:g}, above the hard cap of {hard:g}")
        return self

    def cluster(self) -> Cluster:
        """Return the frozen value."""
        return Cluster(**self.model_dump())
