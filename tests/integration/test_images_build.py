"""`dcp images build` with a real engine, registry and controller: what is built is pushed by who may, reported in
bytes, kept in the history, and collected when nobody needs it.

All of it runs in a network namespace of its own, where 127.0.0.1 is nobody else's and engines need no certificate.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from registry_world import DCP, PASSWORD, RegistryWorld, require_program, until
from test_registry_docker import Docker, end_engine, start_engine

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]
NAMESPACE = f"dcpbld{os.getpid()}"
CONFIG = """
registry:
  name: NAME
  sites: [{name: a, url: "http://NAME"}]
  keep_s: 0
  deletes_per_s: 50
engine: {poll_s: 0.2, busy_poll_s: 0.05}
"""


@dataclass
class Builder:
    """A person at the command line, an engine beside it."""

    docker: Docker
    folder: Path

    @property
    def world(self) -> RegistryWorld:
        return self.docker.world

    def write(self, name: str, words: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(words)

    def build(self, source: str, tag: str, *words: str, who: str = "ann", fails: int = 0) -> str:
        engine = f"unix://{self.docker.folder}/docker.sock"
        command = ["images", "build", source, "--tag", tag, "--on", engine, *words]
        environment = {"DCP_STATE": str(self.world.state), "HOME": str(self.folder)}
        environment |= {"DCP_REGISTRY_USERNAME": who, "DCP_REGISTRY_PASSWORD": PASSWORD} if who else {}
        done = self.world.call([*DCP, *command, *([] if fails else ["--json"])], **environment)
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def built(self, source: str, tag: str, *words: str, **options: Any) -> Any:
        return json.loads(self.build(source, tag, *words, **options))


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    for program in ("docker", "dockerd", "ip", "nsenter", "git"):
        require_program(program)
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("needs root")
        pytest.skip("needs root: a network namespace and an engine")
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="dcp-bld-"))  # short: the names of sockets are bounded
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        undo.callback(subprocess.run, ["ip", "netns", "delete", NAMESPACE], check=True)
        prefix = (require_program("nsenter"), f"--net=/run/netns/{NAMESPACE}")
        subprocess.run([*prefix, "ip", "link", "set", "lo", "up"], check=True)
        world = RegistryWorld(tmp_path_factory.mktemp("build"), prefix, more=CONFIG)
        docker = Docker(world, folder)
        engine = start_engine(docker, prefix)
        undo.callback(end_engine, engine, folder)
        undo.callback(world.close)
        world.start()
        set_up(docker)
        yield Builder(docker, tmp_path_factory.mktemp("sources"))


def set_up(docker: Docker) -> None:
    for project in ("shop", "base"):
        docker.world.dcp("registry", "projects", "add", project)
    for name in ("ann", "eve"):
        docker.world.add_account(name)
    for project in ("shop", "base"):
        docker.world.dcp("registry", "members", "add", project, "ann", "developer")
    assert docker.log_in("ann")[0]
    docker.works("push", docker.image("base/os", "12"), who="ann")


def dockerfile(builder: Builder) -> str:
    return f"FROM {builder.world.name}/base/os:12\nCOPY . /app\n"


def test_a_rebuild_says_what_it_changes(builder: Builder):
    world = builder.world
    builder.write("web/Dockerfile", dockerfile(builder))
    builder.write("web/.dockerignore", "*.secret\n")
    builder.write("web/words", "one")
    builder.write("web/key.secret", "not for the image")
    first = builder.built(f"{builder.folder}/web", "shop/web:1", "--layer", "application")
    assert first["build"]["built_by"] == "ann"
    assert first["build"]["base"].startswith(f"{world.name}/base/os:12@sha256:")
    assert first["difference"]["base"] == "base/os:12"
    builder.write("web/words", "two" * 1000)
    second = builder.built(f"{builder.folder}/web", "shop/web:1")
    changed = second["difference"]
    assert (len(changed["shared"]), len(changed["added"])) == (1, 1)
    assert 0 < changed["move_bytes"] < changed["whole_bytes"]
    assert second["build"]["new_bytes"] == changed["added"][0]["size_bytes"]
    history = world.json("images", "history", "shop/web")
    assert [one["digest"] for one in history["builds"]] == [second["build"]["digest"], first["build"]["digest"]]
    assert [one["pushed_by"] for one in history["pushes"]] == ["ann", "ann"]
    log = world.dcp("images", "log", second["build"]["id"])
    assert "COPY . /app" in log and PASSWORD not in log
    old, new = (one["build"]["digest"] for one in (first, second))
    assert world.json("images", "diff", f"shop/web@{old}", f"shop/web@{new}")["move_bytes"] == changed["move_bytes"]
    base = world.json("images", "diff", "base/os:12", "shop/web:1")
    assert base["standing_on_old"] == [] and base["base"] == ""
    listed = {one["repository"]: one for one in world.json("images")["images"]}
    assert listed["shop/web"]["layer"] == "" and listed["shop/web"]["digest"] == new
    assert [site["state"] for site in listed["shop/web"]["sites"]] == ["present"]


def test_a_git_address_is_built_at_its_commit(builder: Builder):
    work = builder.folder / "project"
    builder.write("project/service/Dockerfile", dockerfile(builder))
    builder.write("project/service/words", "from git")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run(["git", *identity, *words], cwd=work, check=True)
    bare = builder.folder / "project.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=work, check=True, capture_output=True, text=True).stdout
    built = builder.built(f"{bare}#main:service", "shop/fromgit:1")
    assert built["build"]["source"] == f"{bare}#{commit[:12]}:service"


def test_who_may_not_push_is_denied_and_nothing_is_kept(builder: Builder):
    builder.write("denied/Dockerfile", dockerfile(builder))
    said = builder.build(f"{builder.folder}/denied", "shop/denied:1", who="eve", fails=1)
    assert "denied" in said
    assert (
        "nothing was ever pushed"
        in builder.world.call([*DCP, "images", "history", "shop/denied"], DCP_STATE=str(builder.world.state)).stderr
    )


@pytest.mark.parametrize(
    ("file", "tag", "words", "said"),
    [
        ("FROM scratch\nCOPY absent /\n", "shop/bad:1", [], "absent"),
        ("FROM scratch\n", "Shop/bad:1", [], "--tag"),
        ("FROM scratch\n", "other.example.com/bad:1", [], "not a name in"),
        ("FROM scratch\n", "shop/bad:1", ["--file", "Other"], "has no Other"),
        ("FROM scratch\n", "shop/bad:1", ["--build-arg", "x"], "NAME=VALUE"),
        ("FROM scratch\n", "shop/bad:1", ["--on", "unix:///absent.sock"], "cannot be reached"),
        ("FROM scratch\n", "shop/bad:1", ["--on", "local-1"], "no host with an engine"),
    ],
)
def test_what_cannot_be_built_says_why(builder: Builder, file: str, tag: str, words: list[str], said: str):
    builder.write("bad/Dockerfile", file)
    code = 2 if said in ("--tag", "not a name in", "has no Other", "NAME=VALUE", "no host with an engine") else 1
    assert said in builder.build(f"{builder.folder}/bad", tag, *words, fails=code)


def test_what_nobody_needs_is_collected_and_a_dry_run_says_the_same(builder: Builder):
    world = builder.world
    builder.write("gc/Dockerfile", dockerfile(builder))
    digests = []
    for words in ("one", "two"):
        builder.write("gc/words", words)
        digests.append(builder.built(f"{builder.folder}/gc", "shop/gc:latest")["build"]["digest"])
    dry = world.json("images", "gc", "--dry-run")
    assert world.json("images", "gc", "--dry-run") == dry
    assert digests[0] in {one["digest"] for one in dry["removals"]}
    assert digests[1] not in {one["digest"] for one in dry["removals"]}
    assert not any(one["repository"] == "base/os" for one in dry["removals"]), "a kept image stands on it"
    done = world.json("images", "gc")
    assert done["removals"] == dry["removals"] and done["freed_bytes"] == dry["freed_bytes"]
    until(lambda: not world.json("images", "gc", "--dry-run")["removals"], "all of it is removed", 30)
    assert not builder.docker("pull", f"{world.name}/shop/gc@{digests[0]}", who="ann")[0]
    assert builder.docker("pull", f"{world.name}/shop/gc@{digests[1]}", who="ann")[0]
