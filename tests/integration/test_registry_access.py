"""A real registry believes the tokens of a real controller: who may push, pull and delete, and who is told why not."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_world import PASSWORD, RegistryWorld, require_program, until

from dcp.images.access.model import AccountKind
from dcp.images.model import Site, SiteRole
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Denied
from dcp.settings.model import SiteSettings
from dcp.settings.read import parse_settings
from dcp.store.database import InlineDatabase
from dcp.wiring import make_registry, make_token_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("registry-access")]
COMPOSE = """
name: demo
services:
  web:
    image: {registry}/shop/feed:1
    command: [sleep, "600"]
    deploy: {{replicas: 1, resources: {{limits: {{cpus: "0.5", memory: 32M}}}}}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryWorld]:
    require_program("skopeo")
    made = RegistryWorld(tmp_path_factory.mktemp("registry"))
    try:
        made.start()
        for name in ("shop", "other"):
            made.dcp("registry", "projects", "add", name)
        made.dcp("registry", "projects", "add", "open", "--public")
        for name, role in (("ann", "developer"), ("bob", "guest"), ("eve", ""), ("amy", "admin")):
            made.add_account(name)
            if role:
                made.dcp("registry", "members", "add", "shop", name, role)
                made.dcp("registry", "members", "add", "open", name, role)
        made.add_account("root", "--platform-admin")
        for repository in ("shop/feed", "shop/user", "open/tool"):
            worked, said = made.push(repository, who="ann")
            assert worked, said
        yield made
    finally:
        made.close()


def test_a_developer_pushes_and_pulls_and_does_not_delete(world: RegistryWorld):
    assert world.push("shop/card", who="ann")[0] and world.pull("shop/card", who="ann")[0]
    worked, said = world.skopeo("inspect", world.image("shop/card"), who="ann")
    assert worked and json.loads(said)["RepoTags"] == ["1"]
    worked, said = world.skopeo("delete", world.image("shop/card"), who="ann")
    assert not worked, said
    why = world.json("registry", "why", "ann", "shop/card", "delete", fails=1)
    assert (why["allowed"], why["reason"]) == (False, "role-too-low")
    assert world.pull("shop/card", who="ann")[0], "it is still there"


def test_a_guest_pulls_and_is_told_that_pushing_is_denied(world: RegistryWorld):
    assert world.pull("shop/feed", who="bob")[0]
    worked, said = world.push("shop/feed", "2", who="bob")
    assert not worked and "denied" in said, said
    assert "role-too-low" in world.reasons_of("account/bob")
    words = world.dcp("registry", "why", "bob", "shop/feed", "push", fails=1)
    assert words.startswith("denied (role-too-low): bob is guest of project shop, and a guest may not push")
    assert "may not push shop/feed" in words, "and when it was asked for"


def test_an_admin_of_the_project_deletes(world: RegistryWorld):
    assert world.push("shop/gone", who="amy")[0]
    worked, said = world.skopeo("delete", world.image("shop/gone"), who="amy")
    assert worked, said
    assert not world.pull("shop/gone", who="amy")[0]


def test_a_stranger_and_nobody_are_denied_what_is_not_public(world: RegistryWorld):
    for who, subject, reason in (("eve", "account/eve", "not-a-member"), ("", "account/anonymous", "anonymous")):
        worked, said = world.pull("shop/feed", who=who)
        assert not worked and ("denied" in said or "unauthorized" in said), said
        assert reason in world.reasons_of(subject)
        assert world.pull("open/tool", who=who)[0], "of a public project"
        assert not world.push("open/tool", "2", who=who)[0]
    worked, said = world.push("nowhere/x", who="ann")
    assert not worked and "no-project" in world.reasons_of("account/ann"), said
    assert world.push("nowhere/x", who="root")[0], "a platform admin may"


def test_a_right_counts_with_the_next_token_and_ends_with_it(world: RegistryWorld):
    assert not world.pull("other/x", who="eve")[0]
    world.dcp("registry", "members", "add", "other", "eve", "developer")
    assert world.push("other/x", who="eve")[0] and world.pull("other/x", who="eve")[0]
    world.dcp("registry", "members", "remove", "other", "eve")
    assert not world.pull("other/x", who="eve")[0]


def test_a_wrong_password_is_no_guest(world: RegistryWorld):
    worked, said = world.pull("open/tool", who="bob", password="wrong password")
    assert not worked and "unauthorized" in said.lower(), said
    assert "wrong-password" in world.reasons_of("account/bob")
    world.dcp("registry", "accounts", "passwd", "bob", stdin="another one entirely")
    assert not world.pull("shop/feed", who="bob")[0]
    assert world.pull("shop/feed", who="bob", password="another one entirely")[0]
    world.dcp("registry", "accounts", "passwd", "bob", stdin=PASSWORD)


def test_the_robot_of_a_host_pulls_exactly_what_runs_there(world: RegistryWorld, tmp_path: Path):
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(registry=world.name))
    world.dcp("apply", str(tmp_path / "compose.yaml"), "--yes")
    (instance,) = world.json("instances")["instances"]
    there = instance["host"]
    world.json("registry", "robots", "add", "robot.elsewhere", "host", "--of", "local-99")
    secret = world.dcp("registry", "robots", "add", "robot.there", "host", "--of", there).strip()
    other = world.dcp("registry", "robots", "renew", "robot.elsewhere").strip()
    assert world.pull("shop/feed", who="robot.there", password=secret)[0]
    for repository in ("shop/user", "open/tool", "other/x"):
        worked, said = world.pull(repository, who="robot.there", password=secret)
        assert not worked and "denied" in said, said
    assert not world.push("shop/feed", "9", who="robot.there", password=secret)[0]
    assert not world.pull("shop/feed", who="robot.elsewhere", password=other)[0]
    settings, clock, database = parse_settings("", "dcp.yaml"), SystemClock(), InlineDatabase()
    own = make_token_server(settings, world.state, database, clock).identities.own(AccountKind.HOST, there)
    database.close()
    assert world.pull("shop/feed", who=own.name, password=own.password)[0], "dcp's own account of that host"
    assert not world.pull("shop/user", who=own.name, password=own.password)[0]
    mirror = world.dcp("registry", "robots", "add", "robot.mirror", "mirror").strip()
    assert world.pull("shop/feed", who="robot.mirror", password=mirror)[0]
    assert not world.pull("shop/user", who="robot.mirror", password=mirror)[0]
    world.dcp("remove", "demo", "--yes")
    worked, said = world.pull("shop/feed", who="robot.there", password=secret)
    assert not worked and "not-needed-on-host" in world.reasons_of("account/robot.there"), said


def test_the_registry_tells_what_was_pushed_pulled_and_deleted(world: RegistryWorld):
    assert world.push("shop/told", who="amy")[0] and world.pull("shop/told", who="bob")[0]
    digest = json.loads(world.skopeo("inspect", world.image("shop/told"), who="amy")[1])["Digest"]
    assert world.skopeo("delete", world.image("shop/told"), who="amy")[0]

    def told() -> list[tuple[str, str]]:
        return [(one["action"], one["actor"]) for one in world.json("registry", "history", "shop/told")["history"]]

    until(lambda: {("push", "amy"), ("pull", "bob"), ("delete", "amy")} <= set(told()), "it is told")
    (push,) = [one for one in world.json("registry", "history", "shop/told")["history"] if one["action"] == "push"]
    assert (push["site"], push["repository"], push["tag"], push["digest"]) == ("a", "shop/told", "1", digest)
    assert push["size_bytes"] > 0 and abs(push["at"] - time.time()) < 60
    assert world.reasons_of("image/shop/told")[:2] == ["pushed", "deleted"]


def test_only_some_may_list_all_repositories(world: RegistryWorld):
    copier = world.dcp("registry", "robots", "add", "robot.copier", "replication").strip()
    for who, password, allowed in (("root", PASSWORD, True), ("robot.copier", copier, True), ("ann", PASSWORD, False)):
        token = token_of(world, "registry:catalog:*", who, password)
        status, said = world.get(f"http://{world.name}/v2/_catalog", f"Bearer {token}")
        assert (status, "shop/feed" in said) == ((200, True) if allowed else (401, False)), said
    for repository in ("shop/feed", "other/copied"):
        assert world.push(repository, "copied", who="robot.copier", password=copier)[0]


def token_of(world: RegistryWorld, scope: str, who: str, password: str) -> str:
    basic = base64.b64encode(f"{who}:{password}".encode()).decode()
    url = f"http://127.0.0.1:{world.port}/registry/token?scope={scope}"
    return json.loads(world.get(url, f"Basic {basic}")[1])["token"]


def test_a_controller_that_was_killed_goes_on_signing_with_the_same_key(world: RegistryWorld):
    before = world.dcp("registry", "certificate")
    token = token_of(world, "repository:shop/user:pull", "bob", PASSWORD)
    world.kill_controller()
    assert not world.pull("shop/feed", who="bob")[0], "nobody gives tokens now"
    status, _ = world.get(f"http://{world.name}/v2/shop/user/manifests/1", f"Bearer {token}")
    assert status == 200, "the registry believes a token that was given before"
    world.start_controller()
    assert world.dcp("registry", "certificate") == before
    assert world.pull("shop/feed", who="bob")[0]

    def told() -> list[str]:
        return [one["actor"] for one in world.json("registry", "history", "shop/user")["history"]]

    until(lambda: "bob" in told(), "what it served meanwhile is told when somebody hears it")


def test_a_new_key_signs_only_after_registries_had_time_to_learn_it(world: RegistryWorld):
    old = world.json("registry", "certificate")["keys"]
    key = world.json("registry", "rotate", "--after", "6s")
    assert world.pull("shop/feed", who="bob")[0], "the old key signs on"
    world.fetch_bundle()
    assert (world.folder / "dcp.pem").read_text().count("BEGIN CERTIFICATE") == 2
    world.kill_registry()
    world.start_registry()
    assert world.pull("shop/feed", who="bob")[0]
    until(lambda: time.time() > key["signs_from"], "the new key signs")
    assert world.pull("shop/feed", who="bob")[0]
    assert kid_of(world) == key["kid"] != old[0]["kid"]
    stolen = world.json("registry", "rotate", "--now")
    worked, _ = world.pull("shop/feed", who="bob")
    assert not worked and kid_of(world) == stolen["kid"], "a registry that does not know the key believes nothing of it"
    world.fetch_bundle()
    world.kill_registry()
    world.start_registry()
    assert world.pull("shop/feed", who="bob")[0]


def kid_of(world: RegistryWorld) -> str:
    header = token_of(world, "repository:shop/feed:pull", "bob", PASSWORD).partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]


async def test_dcp_reaches_its_registries_without_a_password_and_shows_none_to_others(world: RegistryWorld):
    site = Site("a", SiteRole.MASTER, f"http://{world.name}")
    for url, ours in ((f"http://127.0.0.1:{world.port}", True), ("", True), ("https://dcp.example.com", False)):
        settings = parse_settings(f"access: {{url: '{url}'}}", "dcp.yaml")
        clock, database = SystemClock(), InlineDatabase()
        registry = make_registry(SiteSettings(site), clock, make_token_server(settings, world.state, database, clock))
        try:
            if ours:
                assert await registry.resolve("shop/feed", "1")
                assert "shop/feed" in [name async for name in registry.repositories()]
            else:
                with pytest.raises(Denied):
                    await registry.resolve("shop/feed", "1")
        finally:
            await registry.aclose()
            database.close()
