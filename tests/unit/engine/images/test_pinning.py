"""Applying pins digests; an image that no site has is refused with its path."""

import pytest

from dcp.drivers.registries.fake import FakeRegistry
from dcp.engine.images.pinning import SiteResolver, pin
from dcp.engine.images.sites import ImageSites
from dcp.hosts.model import Resources
from dcp.images.manifests import OCI_MANIFEST, digest_of
from dcp.images.model import ImageRef, Manifest, Site, SiteRole
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import InvalidInput, Unavailable
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec

NAME = "registry.example.com"
PUSHED = Manifest(digest_of(b"pushed"), OCI_MANIFEST, b"pushed")
HEARD = digest_of(b"heard")


def application(*images: str) -> ApplicationSpec:
    shape = Resources(100, 1 << 20)
    return ApplicationSpec("shop", tuple(ServiceSpec(f"s{n}", (), shape, image=i) for n, i in enumerate(images)))


@pytest.fixture
def east() -> FakeRegistry:
    return FakeRegistry(SystemClock(), "fake://east")


@pytest.fixture
def west() -> FakeRegistry:
    west = FakeRegistry(SystemClock(), "fake://west")
    west.put_image("shop/web", "1", PUSHED, {})
    return west


@pytest.fixture
def resolver(east: FakeRegistry, west: FakeRegistry) -> SiteResolver:
    async def heads(repository: str, tag: str) -> str | None:
        return HEARD if (repository, tag) == ("shop/known", "latest") else None

    sites = (Site("west", SiteRole.FOLLOWER, "fake://west", "east"), Site("east", SiteRole.MASTER, "fake://east"))
    return SiteResolver(ImageSites(NAME, sites, {"east": east, "west": west}), heads)


async def test_tags_become_digests_and_the_tag_stays_for_people(resolver: SiteResolver) -> None:
    spec = application(f"{NAME}/shop/web:1", f"{NAME}/shop/known", "busybox:1", "other.example.com/x:1", "")
    pinned = await pin(spec, NAME, resolver)
    assert [service.image for service in pinned.services] == [
        f"{NAME}/shop/web:1@{PUSHED.digest}",
        f"{NAME}/shop/known:latest@{HEARD}",
        "busybox:1",
        "other.example.com/x:1",
        "",
    ]
    again = application(f"{NAME}/shop/web:1@{PUSHED.digest}")
    assert await pin(again, NAME, resolver) == again


async def test_what_no_site_has_is_refused_all_at_once(resolver: SiteResolver) -> None:
    missing = f"{NAME}/shop/web@{digest_of(b'never')}"
    with pytest.raises(InvalidInput) as caught:
        await pin(application(f"{NAME}/shop/web:2", f"{NAME}/shop/web:1", f"{NAME}/Shop", missing), NAME, resolver)
    assert [problem.path for problem in caught.value.problems] == [
        "services.s0.image",
        "services.s2.image",
        "services.s3.image",
    ]
    assert "no site has" in caught.value.problems[0].message
    assert "push it first" in caught.value.problems[0].hint


async def test_while_a_site_is_silent_nothing_is_said_to_be_missing(resolver: SiteResolver, east: FakeRegistry) -> None:
    east.away = True
    assert await resolver.resolve(ImageRef.parse(f"{NAME}/shop/web:1")) == PUSHED.digest
    with pytest.raises(Unavailable, match="cannot be known"):
        await resolver.resolve(ImageRef.parse(f"{NAME}/shop/web:2"))
