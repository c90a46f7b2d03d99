"""The warming part of a plan: which images must reach which hosts before the planned instances can start."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dcp.hosts.model import Host
from dcp.images.warming.decide import plan_warming
from dcp.images.warming.model import PlannedWarming, WarmImage, WarmingSettings, as_pulled
from dcp.orchestration.services.model import ApplicationSpec, Instance

EXCLUDED = "image-unavailable"
"""Why an instance leaves a host that cannot get its image."""


@dataclass(frozen=True, slots=True)
class WarmingSnapshot:
    """What a plan must know of images. Times and speeds are those of the settings."""

    settings: WarmingSettings
    present: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Hosts that have an image, by reference."""
    excluded: frozenset[tuple[str, str]] = frozenset()
    """(host, image) that failed too often there."""
    images: Mapping[str, WarmImage] = field(default_factory=dict)
    """By reference."""
    standing: Mapping[str, int] = field(default_factory=dict)
    """Mirrors that are ready, by site."""

    def images_by_host(self) -> dict[str, frozenset[str]]:
        """Return what each host has."""
        found: dict[str, set[str]] = {}
        for image, hosts in self.present.items():
            for host_id in hosts:
                found.setdefault(host_id, set()).add(image)
        return {host_id: frozenset(images) for host_id, images in found.items()}

    def excluded_from(self, image: str) -> frozenset[str]:
        """Return the hosts that cannot get an image."""
        return frozenset(host_id for host_id, one in self.excluded if one == image)


def plan_warmings(
    snapshot: WarmingSnapshot | None,
    spec: ApplicationSpec,
    planned: Iterable[Instance],
    hosts: Iterable[Host],
) -> tuple[PlannedWarming, ...]:
    """Return, for each image and site, what reaching the hosts of the planned instances takes."""
    if snapshot is None:
        return ()
    sites = {host.id: host.site for host in hosts}
    lacking: dict[tuple[str, str], set[str]] = {}
    for instance in planned:
        image = as_pulled(spec.service(instance.service).image)
        if image and instance.host_id not in snapshot.present.get(image, frozenset()):
            lacking.setdefault((image, sites.get(instance.host_id, "")), set()).add(instance.host_id)
    return tuple(
        plan_warming(
            snapshot.images.get(image, WarmImage(image, 0)),
            site,
            tuple(sorted(ids)),
            snapshot.standing.get(site, 0),
            snapshot.settings,
        )
        for (image, site), ids in sorted(lacking.items())
    )


def stranded(
    snapshot: WarmingSnapshot | None, spec: ApplicationSpec, instances: Iterable[Instance]
) -> tuple[tuple[Instance, str], ...]:
    """Return the instances that wait on a host that cannot get their image, and why they leave."""
    if snapshot is None or not snapshot.excluded:
        return ()
    images = {service.name: as_pulled(service.image) for service in spec.services}
    return tuple(
        (one, f"{one.host_id} cannot get {images[one.service]}: another host is tried")
        for one in instances
        if (one.host_id, images.get(one.service, "")) in snapshot.excluded
    )
