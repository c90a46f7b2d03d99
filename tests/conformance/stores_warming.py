"""Cases of images on hosts and of mirrors: what goes in comes out, steps are guarded, needs follow instances."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection
from stores import Rig, case, make_host, make_instance, make_spec

from dcp.images.warming.model import HostImage, Mirror, Stripes
from dcp.images.warming.states import HostImageState, MirrorState
from dcp.kernel.errors import Stale
from dcp.kernel.states import IllegalTransition
from dcp.orchestration.services.states import InstanceState
from dcp.store import applications, hosts, instances, warming

IMAGE = "registry.example/shop/feed@sha256:" + "a" * 64
ROW = HostImage(
    "h1", IMAGE, HostImageState.WANTED, 1.5, 1.25, "mirror-1", 2, 9.5, "disk-full", "no space", 3_000_000_000, 0
)
MIRROR = Mirror(
    "mirror-1",
    "east",
    "h1",
    MirrorState.STARTING,
    1.5,
    "10.0.0.1",
    5050,
    Stripes((("mirror-2", "mirror-3"), ())),
    attempts=1,
    not_before=3.5,
    reason="starting",
)


@case
async def an_image_on_a_host_comes_back_as_it_went(rig: Rig) -> None:
    await rig.database.write(lambda connection: warming.put(connection, None, ROW))
    assert await rig.database.read(lambda connection: warming.rows_of(connection, ["h1", "h2"])) == (ROW,)
    assert await rig.database.read(lambda connection: warming.rows_of(connection, ["h2"])) == ()
    assert await rig.database.read(warming.all_rows) == (ROW,)
    assert await rig.database.read(lambda connection: warming.find(connection, "h1", IMAGE)) == ROW
    assert await rig.database.read(lambda connection: warming.find(connection, "h2", IMAGE)) is None
    wanted = await rig.database.read(lambda connection: warming.in_state(connection, HostImageState.WANTED))
    assert wanted == {("h1", IMAGE)}


@case
async def of_two_changes_to_one_image_the_second_is_stale(rig: Rig) -> None:
    await rig.database.write(lambda connection: warming.put(connection, None, ROW))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: warming.put(connection, None, ROW))
    pulling = replace(ROW, state=HostImageState.PULLING)
    stored = await rig.database.write(lambda connection: warming.put(connection, ROW, pulling))
    assert stored == replace(pulling, version=1)
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: warming.put(connection, ROW, pulling))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: warming.put(connection, ROW, None))
    await rig.database.write(lambda connection: warming.put(connection, stored, None))
    assert await rig.database.read(warming.all_rows) == ()


@case
async def an_image_takes_no_step_that_the_table_forbids(rig: Rig) -> None:
    await rig.database.write(lambda connection: warming.put(connection, None, ROW))
    failed = replace(ROW, state=HostImageState.FAILED)
    with pytest.raises(IllegalTransition):
        await rig.database.write(lambda connection: warming.put(connection, ROW, failed))


@case
async def a_mirror_comes_back_until_it_is_gone(rig: Rig) -> None:
    await rig.database.write(lambda connection: warming.put_mirror(connection, None, MIRROR))
    assert await rig.database.read(lambda connection: warming.mirrors_of(connection, "east")) == (MIRROR,)
    assert await rig.database.read(lambda connection: warming.mirrors_of(connection, "west")) == ()
    ready = replace(MIRROR, state=MirrorState.READY)
    stored = await rig.database.write(lambda connection: warming.put_mirror(connection, MIRROR, ready))
    with pytest.raises(Stale):
        await rig.database.write(lambda connection: warming.put_mirror(connection, MIRROR, ready))
    with pytest.raises(IllegalTransition):
        starting = replace(stored, state=MirrorState.STARTING)
        await rig.database.write(lambda connection: warming.put_mirror(connection, stored, starting))
    gone = replace(stored, state=MirrorState.GONE, reason="never-answered", since=5.0)
    await rig.database.write(lambda connection: warming.put_mirror(connection, stored, gone))
    assert await rig.database.read(warming.mirrors_of) == ()
    avoid = await rig.database.read(lambda connection: warming.failed_since(connection, "east", 4.0))
    assert avoid == {"h1"}
    assert await rig.database.read(lambda connection: warming.failed_since(connection, "east", 6.0)) == frozenset()


@case
async def a_host_needs_the_pinned_images_of_its_instances_that_have_not_ended(rig: Rig) -> None:
    spec = make_spec("shop", "feed", "user")
    feed, user = spec.services
    image = IMAGE.replace("@", ":v1@")
    spec = replace(spec, services=(replace(feed, image=image), replace(user, image="registry.example/user:v1")))
    on = [
        replace(make_instance("feed-1"), host_id="h1"),
        replace(make_instance("user-2"), host_id="h1", service="user"),
    ]
    ended = replace(make_instance("feed-3"), host_id="h2", state=InstanceState.STOPPED, ended_at=4.0)

    def write(connection: Connection) -> None:
        applications.put(connection, spec, None, 1.0)
        hosts.add(connection, [make_host("h1"), make_host("h2")])
        instances.add(connection, [*on, ended])

    await rig.database.write(write)
    found = await rig.database.read(lambda connection: warming.needed(connection, ["h1", "h2", "h3"]))
    assert found == {"h1": (IMAGE,)}
