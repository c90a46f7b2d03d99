"""What the engine is told of images: the one registry name, the sites, and a driver for each site's registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dcp.images.model import ImageRef, Site
from dcp.images.ports import Catalogue, Registry
from dcp.images.replication.model import ImageLimits


class SiteRegistry(Registry, Catalogue, Protocol):
    """The registry of a site: content, and the list of it."""


@dataclass(frozen=True, slots=True)
class ImageSites:
    """Everything about registries that does not change while a controller runs."""

    name: str
    """The one registry name."""
    sites: tuple[Site, ...]
    registries: Mapping[str, SiteRegistry]
    """By the name of the site."""
    limits: ImageLimits = ImageLimits()
    accounts: frozenset[str] = frozenset()
    """Whom dcp itself copies as."""

    def site(self, name: str) -> Site | None:
        """Return the site called `name`."""
        return next((site for site in self.sites if site.name == name), None)

    def has(self, ref: ImageRef) -> bool:
        """Return whether an image is one of this registry's."""
        return ref.registry == self.name
