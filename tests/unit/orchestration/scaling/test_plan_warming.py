"""A plan says which images must reach which hosts; instances leave hosts that cannot get theirs."""

from dataclasses import replace

from dcp.hosts.model import Host, HostType, Offer, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.images.warming.model import MB, WarmImage, WarmingSettings, Way
from dcp.orchestration.scaling.decide import ApplicationSnapshot, ServiceSnapshot, decide_application
from dcp.orchestration.scaling.model import Policy, ScalingState, Timing
from dcp.orchestration.scaling.plan import ApplicationPlan
from dcp.orchestration.scaling.warming import WarmingSnapshot
from dcp.orchestration.services.model import ApplicationSpec, Instance, ServiceSpec
from dcp.orchestration.services.states import InstanceState

IMAGE = "registry.example/shop/web@sha256:" + "a" * 64
SLICE = HostType("slice", Resources(1000, 1 << 30), labels=(("site", "east"),))
SETTINGS = WarmingSettings(mirror_image="mirror:1")


def plan(warming: WarmingSnapshot | None, *, hosts: int = 20, wanted: int = 20, at: str = "") -> ApplicationPlan:
    """A new service, or one with an instance that waits on `at`."""
    spec = ServiceSpec("web", (), Resources(600, 64 << 20), replicas=wanted, image=IMAGE.replace("@", ":v1@"))
    own: tuple[Instance, ...] = ()
    if at:
        own = (Instance("web-1", "shop", "web", at, 1, InstanceState.PLACED, "plan-1", 1.0, spec.resources),)
    return decide_application(
        ApplicationSnapshot(
            name="shop",
            spec=ApplicationSpec("shop", (spec,)),
            revision=1,
            removing=False,
            now=100.0,
            policy=Policy.GATED,
            timing=Timing(),
            seed=0,
            services=(ServiceSnapshot(spec, ScalingState(target=wanted), (), own, frozenset(), ()),),
            gone_services=(),
            hosts=tuple(
                Host(f"h{number}", "private", SourceKind.PRIVATE, SLICE, HostState.READY, 1.0)
                for number in range(1, hosts + 1)
            ),
            host_instances=own,
            offers=(Offer("private", SourceKind.PRIVATE, SLICE, 5),),
            last_instance=len(own),
            last_host=hosts,
            last_plan=1,
            warming=warming,
        )
    )


def test_a_scale_out_lists_image_site_hosts_mirrors_bytes_and_time() -> None:
    snapshot = WarmingSnapshot(SETTINGS, images={IMAGE: WarmImage(IMAGE, 1000 * MB)})
    (one,) = plan(snapshot).warming
    assert (one.image, one.site, len(one.hosts), one.way) == (IMAGE, "east", 20, Way.PEERS)
    assert (one.mirrors_to_add, one.line_bytes) == (20, 1000 * MB)
    assert one.seconds > 1000 / 300


def test_hosts_that_have_it_are_not_listed_and_come_first() -> None:
    snapshot = WarmingSnapshot(SETTINGS, present={IMAGE: frozenset({"h7", "h9"})})
    made = plan(snapshot, wanted=2)
    assert {planned.instance.host_id for planned in made.instances} == {"h7", "h9"}
    assert made.warming == ()


def test_hosts_that_are_still_to_come_are_in_the_plan() -> None:
    made = plan(WarmingSnapshot(SETTINGS), hosts=2, wanted=4)
    (one,) = made.warming
    assert len(made.hosts) == 2
    assert set(one.hosts) == {"h1", "h2", *(new.host.id for new in made.hosts)}


def test_without_images_nothing_of_this_exists() -> None:
    assert plan(None).warming == ()


def test_an_instance_leaves_a_host_that_cannot_get_its_image_and_none_is_placed_there() -> None:
    excluded = WarmingSnapshot(SETTINGS, excluded=frozenset({("h1", IMAGE)}))
    made = plan(excluded, hosts=2, wanted=1, at="h1")
    (removal,) = made.removals
    assert (removal.instance_id, removal.reason) == ("web-1", "image-unavailable")
    assert not plan(replace(excluded, excluded=frozenset()), hosts=2, wanted=1, at="h1").removals
    assert {one.instance.host_id for one in plan(excluded, hosts=2, wanted=2).instances}.isdisjoint({"h1"})
