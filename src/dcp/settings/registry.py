"""The `registry` part of `dcp.yaml`: the one registry name, the sites that answer to it, and how images are copied."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcp.images.model import ImageRef, Site, SiteRole, is_tag
from dcp.images.replication.model import ImageLimits

_LIMITS = ImageLimits()
_BYTES_PER_MBIT = 1e6 / 8
Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
SiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteForm(_Form):
    """One site's registry, as dcp itself reaches it."""

    name: SiteName
    kind: Literal["distribution", "harbor"] = "distribution"
    url: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+/?$")]
    role: SiteRole = SiteRole.MASTER
    follows: str = ""
    username: str = ""
    password_file: str = ""
    ca: str = ""

    @model_validator(mode="after")
    def _role_fits(self) -> "SiteForm":
        if self.role == SiteRole.MASTER and self.follows:
            raise ValueError(f"{self.name} is a master and follows nobody; leave `follows` out or make it a follower")
        if bool(self.username) != bool(self.password_file):
            raise ValueError(f"{self.name} needs username and password_file together, or neither")
        return self


class RegistryForm(_Form):
    """The registry; without a name there is none."""

    name: str = ""
    sites: list[SiteForm] = Field(default_factory=list)
    rate_limit_mbit: Annotated[float, Field(gt=0, le=1e6)] | None = None
    parallel_copies: Annotated[int, Field(ge=1, le=64)] = _LIMITS.parallel_copies
    compare_s: Seconds = _LIMITS.compare_s
    keep_s: Annotated[float, Field(ge=0, le=100 * 366 * 86400)] = _LIMITS.keep_s
    keep_revisions: Annotated[int, Field(ge=0, le=10_000)] = _LIMITS.keep_revisions
    protected_tags: list[str] = Field(default_factory=lambda: list(_LIMITS.protected_tags))
    deletes_per_s: Annotated[float, Field(gt=0, le=1000)] = _LIMITS.deletes_per_s

    @model_validator(mode="after")
    def _sites_fit_together(self) -> "RegistryForm":
        names = [site.name for site in self.sites]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there are two sites called {name}")
        _check_name(self.name, bool(self.sites))
        for site in self.sites:
            if site.role == SiteRole.FOLLOWER and site.follows not in set(names) - {site.name}:
                raise ValueError(f"{site.name} is a follower: `follows` must name another site, not {site.follows!r}")
        if self.sites and all(site.role == SiteRole.FOLLOWER for site in self.sites):
            raise ValueError("one site at least must be a master: followers take no pushes")
        for tag in self.protected_tags:
            if not is_tag(tag.replace("*", "x")):
                raise ValueError(f"{tag!r} is not a tag or a pattern such as v*")
        return self

    def limits(self) -> ImageLimits:
        """Return what the engine is told of it."""
        rate = self.rate_limit_mbit
        return ImageLimits(
            rate_bytes_per_s=None if rate is None else rate * _BYTES_PER_MBIT,
            parallel_copies=self.parallel_copies,
            compare_s=self.compare_s,
            keep_s=self.keep_s,
            keep_revisions=self.keep_revisions,
            protected_tags=tuple(self.protected_tags),
            deletes_per_s=self.deletes_per_s,
        )


def site_of(form: SiteForm) -> Site:
    """Return the site as the layers know it."""
    return Site(form.name, form.role, form.url.rstrip("/"), form.follows)


def _check_name(name: str, needed: bool) -> None:
    if needed and not name:
        raise ValueError("the sites need one name for their images, such as name: registry.example.com:5000")
    if not name:
        return
    try:
        found = ImageRef.parse(f"{name}/x").registry
    except ValueError:
        found = ""
    if found != name:
        raise ValueError(f"{name!r} is not the name of a registry such as registry.example.com:5000")
