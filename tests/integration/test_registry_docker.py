"""`docker login`, `push` and `pull` against a registry that believes tokens of dcp; engine, registry, controller real.

All of it runs in a network namespace of its own, where 127.0.0.1 is nobody else's and engines need no certificate.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from registry_world import PASSWORD, RegistryWorld, require_program, tar_of, until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]
NAMESPACE = f"dcpacc{os.getpid()}"


@dataclass
class Docker:
    """The command line of an engine; each person has a home of their own."""

    world: RegistryWorld
    folder: Path

    def __call__(self, *words: str, who: str = "nobody", stdin: str = "") -> tuple[bool, str]:
        command = [require_program("docker"), "-H", f"unix://{self.folder}/docker.sock", *words]
        done = self.world.call(command, stdin, DOCKER_CONFIG=str(self.folder / who))
        return done.returncode == 0, done.stdout + done.stderr

    def works(self, *words: str, who: str = "nobody", stdin: str = "") -> str:
        worked, said = self(*words, who=who, stdin=stdin)
        assert worked, (words, said)
        return said

    def log_in(self, who: str, password: str = PASSWORD, name: str = "") -> tuple[bool, str]:
        return self("login", "-u", name or who, "--password-stdin", self.world.name, who=who, stdin=password)

    def image(self, repository: str, tag: str = "1") -> str:
        """Make an image that nobody else has made, and return its name."""
        (self.folder / "image.tar").write_bytes(tar_of({"words": f"{repository}:{tag}".encode()}))
        name = f"{self.world.name}/{repository}:{tag}"
        self.works("import", str(self.folder / "image.tar"), name)
        return name


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    for program in ("docker", "dockerd", "ip", "nsenter"):
        require_program(program)
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("needs root")
        pytest.skip("needs root: a network namespace and an engine")
    folder = Path(tempfile.mkdtemp(prefix="dcp-acc-"))  # short: the names of sockets are bounded
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    prefix = (require_program("nsenter"), f"--net=/run/netns/{NAMESPACE}")
    world = RegistryWorld(tmp_path_factory.mktemp("docker"), prefix)
    engine: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run([*prefix, "ip", "link", "set", "lo", "up"], check=True)
        made = Docker(world, folder)
        engine = start_engine(made, prefix)
        world.start()
        yield made
    finally:
        world.close()
        end_engine(engine, folder)
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def start_engine(docker: Docker, prefix: tuple[str, ...]) -> subprocess.Popen[bytes]:
    folder = docker.folder
    places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    options = ["-H", f"unix://{folder}/docker.sock", "--bip", "172.31.7.1/24", "--storage-driver", "vfs"]
    with (folder / "log").open("wb") as log:
        command = [*prefix, require_program("dockerd"), *places, *options]
        engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        assert engine.poll() is None, (folder / "log").read_text()[-2000:]
        return docker("version")[0]

    try:
        until(answers, "the engine answers", 60)
    except BaseException:
        end_engine(engine, folder)
        raise
    return engine


def end_engine(engine: subprocess.Popen[bytes] | None, folder: Path) -> None:
    """End the engine and what it has mounted and started."""
    if engine is None:
        return
    if engine.poll() is None:
        engine.send_signal(signal.SIGTERM)
    try:
        engine.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(engine.pid, signal.SIGKILL)  # its containerd is of the same group
        engine.wait(10)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", line.split()[1]], check=False)


@pytest.fixture(scope="module")
def people(docker: Docker) -> Docker:
    world = docker.world
    world.dcp("registry", "projects", "add", "shop")
    world.dcp("registry", "projects", "add", "open", "--public")
    for name, role in (("ann", "developer"), ("bob", "guest"), ("eve", "")):
        world.add_account(name)
        if role:
            world.dcp("registry", "members", "add", "shop", name, role)
        worked, said = docker.log_in(name)
        assert worked and "Login Succeeded" in said, said
    return docker


def test_a_developer_pushes_and_a_guest_pulls(people: Docker):
    name = people.image("shop/feed")
    people.works("push", name, who="ann")
    people.works("rmi", name)
    assert "Downloaded newer image" in people.works("pull", name, who="bob")
    worked, said = people("push", people.image("shop/feed", "2"), who="bob")
    assert not worked and "denied: requested access to the resource is denied" in said, said
    words = people.world.dcp("registry", "why", "bob", "shop/feed", "push", fails=1)
    assert "bob is guest of project shop, and a guest may not push" in words


def test_a_stranger_and_nobody_get_a_clear_denial(people: Docker):
    name = people.image("shop/private")
    people.works("push", name, who="ann")
    for who, reason in (("eve", "not-a-member"), ("nobody", "anonymous")):
        worked, said = people("pull", name, who=who)
        assert not worked and "denied" in said, said
        account = who if who == "eve" else "anonymous"
        assert people.world.json("registry", "why", account, "shop/private", "pull", fails=1)["reason"] == reason


def test_a_log_in_keeps_no_password_and_ends_with_it(people: Docker):
    world = people.world
    world.add_account("tom")
    world.dcp("registry", "members", "add", "shop", "tom", "developer")
    assert people.log_in("tom")[0]
    kept = json.loads((people.folder / "tom" / "config.json").read_text())["auths"][world.name]
    assert kept["identitytoken"] and PASSWORD not in json.dumps(kept)
    name = people.image("shop/toms")
    people.works("push", name, who="tom")
    world.dcp("registry", "accounts", "passwd", "tom", stdin="quite another password")
    worked, said = people("push", people.image("shop/toms", "2"), who="tom")
    assert not worked and ("unauthorized" in said or "log-in has ended" in said), said
    assert people.log_in("tom", "quite another password")[0]
    people.works("push", people.image("shop/toms", "2"), who="tom")


def test_a_wrong_password_is_no_log_in(people: Docker):
    worked, said = people.log_in("wrong", "not the password", name="ann")
    assert not worked and "wrong name or password" in said, said


def test_a_robot_logs_in_with_its_secret(people: Docker):
    world = people.world
    secret = world.dcp("registry", "robots", "add", "robot.copy", "replication").strip()
    assert people.log_in("robot", secret, name="robot.copy")[0]
    name = people.image("anywhere/at/all")
    people.works("push", name, who="robot")
    idle = world.dcp("registry", "robots", "add", "robot.idle", "host", "--of", "local-9").strip()
    assert people.log_in("idle", idle, name="robot.idle")[0]
    worked, said = people("pull", name, who="idle")
    assert not worked and "denied" in said, said
