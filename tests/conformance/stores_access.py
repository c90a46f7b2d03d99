"""Cases of accounts, projects, members, signing keys, and what the registries told."""

import pytest
from stores import Rig, case, make_host, make_instance, shared_case

from dcp.hosts.model import HostType, Resources
from dcp.hosts.states import HostState
from dcp.images.access.keys import SigningKey, decide_succession, signing_key
from dcp.images.access.model import Account, AccountKind, Grants, ImagePush, Member, Need, Project, Role
from dcp.kernel.errors import Stale
from dcp.orchestration.services.model import ApplicationSpec, ServiceSpec
from dcp.store import accounts, applications, hosts, instances, needs, pushes, signing_keys

ANN = Account("ann", AccountKind.PERSON, True, "", "scrypt$x", 10.5)
ROBOT = Account("robot.h1", AccountKind.HOST, False, "rack-1", "sha256$y", 11.0)
KEY = SigningKey("AAAA:BBBB", "-----BEGIN", "sealed", 1.0, 2.0)


@case
async def accounts_come_back_as_they_went_and_change_by_version(rig: Rig) -> None:
    await rig.database.write(lambda c: [accounts.add(c, one) for one in (ROBOT, ANN)])
    assert await rig.database.read(accounts.every) == (ANN, ROBOT)
    after = Account("other", AccountKind.PERSON, False, "", "scrypt$z", 10.5)
    changed = await rig.database.write(lambda c: accounts.change(c, ANN, after))
    assert changed == Account("ann", AccountKind.PERSON, False, "", "scrypt$z", 10.5, 1)
    assert await rig.database.read(lambda c: accounts.find(c, "ann")) == changed
    with pytest.raises(Stale):
        await rig.database.write(lambda c: accounts.change(c, ANN, after))
    with pytest.raises(Stale):
        await rig.database.write(lambda c: accounts.add(c, ANN))
    assert await rig.database.read(lambda c: accounts.find(c, "nobody")) is None


@case
async def an_account_leaves_with_its_memberships_and_a_project_with_its_members(rig: Rig) -> None:
    await rig.database.write(lambda c: accounts.add(c, ANN))
    shop, tools = Project("shop", False, 1.0), Project("shop/tools", True, 2.0)
    assert await rig.database.write(lambda c: [accounts.put_project(c, one) for one in (tools, shop)]) == [None, None]
    for project in ("shop", "shop/tools"):
        member = Member(project, "ann", Role.GUEST)
        assert await rig.database.write(lambda c, one=member: accounts.put_member(c, one)) is None
    raised = Member("shop", "ann", Role.DEVELOPER)
    assert await rig.database.write(lambda c: accounts.put_member(c, raised)) == Role.GUEST
    grants = await rig.database.read(lambda c: accounts.grants_of(c, "ann", {"shop", "shop/tools", "shop/tools/x"}))
    assert grants == Grants((shop, tools), {"shop": Role.DEVELOPER, "shop/tools": Role.GUEST})
    assert await rig.database.read(lambda c: accounts.grants_of(c, "ann", {"shop/tools"})) == Grants(
        (tools,), {"shop/tools": Role.GUEST}
    )
    assert await rig.database.read(lambda c: accounts.grants_of(c, "", {"shop"})) == Grants((shop,))
    assert await rig.database.read(lambda c: accounts.grants_of(c, "ann", ())) == Grants()
    assert await rig.database.write(lambda c: accounts.put_project(c, Project("shop", True, 9.0))) == shop
    assert await rig.database.read(lambda c: accounts.find_project(c, "shop")) == Project("shop", True, 1.0)
    assert await rig.database.write(lambda c: accounts.remove_project(c, "shop/tools"))
    assert await rig.database.read(accounts.every_member) == (raised,)
    assert not await rig.database.write(lambda c: accounts.remove_member(c, "shop", "bob"))
    assert await rig.database.write(lambda c: accounts.remove(c, "ann"))
    assert not await rig.database.write(lambda c: accounts.remove(c, "ann"))
    assert await rig.database.read(accounts.every_member) == ()


@case
async def keys_follow_each_other(rig: Rig) -> None:
    await rig.database.write(lambda c: signing_keys.add(c, KEY))
    new = SigningKey("CCCC", "-----BEGIN", "sealed too", 5.0, 100.0)
    before = await rig.database.read(signing_keys.every)
    await rig.database.write(lambda c: signing_keys.add(c, new, decide_succession(before, new, 300.0)))
    old, stored = await rig.database.read(signing_keys.every)
    assert (stored, old.trusted_until, old.sealed_key) == (new, 460.0, "sealed")
    assert signing_key((old, new), 99.0) == old
    assert await rig.database.write(lambda c: signing_keys.prune(c, 460.0)) == 0
    assert await rig.database.write(lambda c: signing_keys.prune(c, 461.0)) == 1
    assert await rig.database.read(signing_keys.every) == (new,)


@shared_case
async def of_two_controllers_that_make_the_same_key_one_is_stale(rig: Rig) -> None:
    await rig.database.write(lambda c: signing_keys.add(c, KEY))
    with pytest.raises(Stale):
        await rig.again().write(lambda c: signing_keys.add(c, KEY))


def _push(number: int, action: str = "push", **changes: object) -> ImagePush:
    values = {"tag": "1", "digest": "sha256:00", "actor": "ann", "media_type": "m", "size_bytes": 1 << 40}
    return ImagePush(f"n-{number}", "a", "shop/feed", action, float(number), **{**values, **changes})  # type: ignore[arg-type]


@case
async def a_notification_counts_once_and_is_followed_in_order(rig: Rig) -> None:
    first, second = _push(1), _push(2, "delete", tag="")
    assert await rig.database.write(lambda c: pushes.add(c, [first, second, first])) == (first, second)
    assert await rig.database.write(lambda c: pushes.add(c, [second])) == ()
    elsewhere = ImagePush("n-1", "b", "shop/user", "push", 3.0)
    assert await rig.database.write(lambda c: pushes.add(c, [elsewhere])) == (elsewhere,), "ids are the site's own"
    found = await rig.database.read(lambda c: pushes.after(c, 0, 2))
    assert [one.push for one in found] == [first, second]
    found = await rig.database.read(lambda c: pushes.after(c, found[-1].seq, 10))
    assert [one.push for one in found] == [elsewhere]
    newest = await rig.database.read(lambda c: pushes.newest(c, 1, "shop/feed"))
    assert [one.push for one in newest] == [second]
    assert await rig.database.write(lambda c: pushes.prune(c, 2.0)) == 1


@case
async def equal_pulls_are_one_row_with_the_last_time(rig: Rig) -> None:
    other = _push(4, "pull", actor="bob")
    pulls = [_push(1), _push(2, "pull"), _push(3, "pull"), other]
    assert await rig.database.write(lambda c: pushes.add(c, pulls)) == (_push(1),)
    found = await rig.database.read(lambda c: pushes.newest(c, 10))
    assert [one.push for one in found] == [_push(1), _push(3, "pull"), other]


@case
async def needs_are_of_live_instances_on_hosts_that_are_held(rig: Rig) -> None:
    images = {"feed": "shop/feed:1", "user": "hub.example:5000/shop/user:2", "none": ""}
    services = tuple(
        ServiceSpec(name, ("run",), Resources(250, 64 << 20), image=image) for name, image in images.items()
    )
    kind = HostType("t", Resources(1, 1), labels=(("site", "a"),))
    on_1 = [("feed-1", "feed", "h1"), ("user-1", "user", "h1"), ("none-1", "none", "h1")]
    placed = [*on_1, ("feed-2", "feed", "h2"), ("feed-3", "feed", "h3")]

    def fill(c) -> None:
        applications.put(c, ApplicationSpec("shop", services), None, 1.0)
        hosts.add(c, [make_host("h1", host_type=kind), make_host("h2", host_type=kind)])
        hosts.add(c, [make_host("h3", host_type=kind, state=HostState.RELEASED)])
        instances.add(c, [make_instance(one, service=service, host_id=host) for one, service, host in placed])
        instances.add(c, [make_instance("user-9", service="user", host_id="h2", ended_at=5.0)])

    await rig.database.write(fill)
    feed, user = Need("shop/feed", "h1", "a"), Need("shop/user", "h1", "a")
    assert await rig.database.read(lambda c: needs.of_host(c, "h1")) == (feed, user)
    assert await rig.database.read(lambda c: needs.of_host(c, "h1", "other.example")) == (feed,)
    assert await rig.database.read(lambda c: needs.of_host(c, "h3")) == (), "it was given back"
    assert await rig.database.read(lambda c: needs.of_host(c, "h9")) == ()
    assert await rig.database.read(lambda c: needs.of_site(c, "a")) == (feed, user, Need("shop/feed", "h2", "a"))
    assert await rig.database.read(lambda c: needs.of_site(c, "")) == ()
