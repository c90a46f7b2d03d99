"""A lab that was killed while it was made, or broken afterwards: `down` leaves nothing, `up` mends."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dcp.kernel.errors import Conflict, Unavailable
from dcp.lab import down
from dcp.lab.commands import Commands
from dcp.lab.journal import JOURNAL, SPEC
from dcp.lab.lab import Lab, existing, remove
from dcp.lab.network import namespaces
from dcp.lab.spec import LabSpec
from lab_containers import container, engine, exec_in
from lab_fixture import free_octet, lab_name, require_lab

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]


class Place:
    """A name, network and directory for a lab, and all that is there of it."""

    def __init__(self, octet: int, directory: Path) -> None:
        self.octet = octet
        self.seconds = f"{900_000 + octet}.{os.getpid()}"
        """No other process on the machine sleeps for so long: recognises a container's process by its command line."""
        self.name = lab_name(octet)
        self.directory = directory
        self.spec = LabSpec(name=self.name, hosts=2, sites=2, octet=octet, registries=True)
        self.lab = Lab(self.spec, directory)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "dcp", "lab", *words, "--name", self.name, "--dir", str(self.directory)]

    def start_up(self) -> subprocess.Popen[bytes]:
        options = ["--hosts", "2", "--sites", "2", "--octet", str(self.octet), "--registries"]
        return self.start("up", *options)

    def start(self, verb: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.command(verb), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=90, check=False)

    def left(self) -> list[str]:
        """Everything on this machine that names the lab, its network or its directory, by the machine's own tools."""
        network = f"10.{self.octet}."
        found = [line for line in _said("ip", "-o", "link", "show") if f" {self.name}-" in line]
        found += [line for line in _said("ip", "netns", "list") if line.startswith(f"{self.name}-")]
        found += [line for line in _said("ip", "route", "show", "table", "all") if network in line]
        for table in ("filter", "nat", "mangle", "raw"):
            found += [line for line in _said("iptables-save", "-t", table) if network in line or self.name in line]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [line for line in mounts if f"{self.directory}/" in line or f"/{self.name}/" in line]
        groups = Path("/sys/fs/cgroup")
        found += [str(path) for pattern in ("", "*/") for path in groups.glob(f"{pattern}lab-{self.name}")]
        found += [line for line in _command_lines() if str(self.directory) in line or self.seconds in line]
        runtime = Path("/run/dcp-lab") / self.name
        files = [path for path in self.directory.parent.iterdir() if self.directory.name in path.name]
        return found + [str(path) for path in (*files, runtime) if path.exists()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    require_lab()
    with free_octet() as octet:
        made = Place(octet, tmp_path / "lab")
        try:
            assert made.left() == []
            yield made
        finally:
            asyncio.run(made.lab.down())


MOMENTS: dict[str, Callable[[Place], bool]] = {
    "its directory is there": lambda place: place.directory.exists(),
    "its first bridge is there": lambda place: Path("/sys/class/net", f"{place.name}-s1").exists(),
    "its first namespace is there": lambda place: bool(namespaces(place.name)),
    "its first engine starts": lambda place: any((place.directory / f"hosts/h{n}/engine.log").exists() for n in (1, 2)),
    "its first engine answers": lambda place: any(
        (place.directory / f"hosts/h{n}/docker.sock").exists() for n in (1, 2)
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_up_that_is_killed_leaves_nothing_that_down_does_not_remove(place: Place, moment: str):
    _kill_up_when(place, MOMENTS[moment])
    assert place.left() != []
    ended = place.run("down")
    assert ended.returncode == 0, ended.stderr
    assert place.left() == []


@pytest.mark.parametrize("moment", ["its first namespace is there", "its first engine starts"])
async def test_an_up_that_is_killed_is_mended_by_the_next(place: Place, moment: str):
    _kill_up_when(place, MOMENTS[moment])
    ended = place.run("up", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [host["engine"] for host in json.loads(ended.stdout)["hosts"]] == ["up", "up"]
    assert existing(place.directory).spec == place.spec
    # Once more changes nothing: the same engines.
    before = [place.lab.daemons(host.name) for host in place.lab.hosts]
    assert place.run("up").returncode == 0
    assert [place.lab.daemons(host.name) for host in place.lab.hosts] == before


async def test_down_ends_containers_whose_engines_were_killed(place: Place):
    await place.lab.up()
    await place.lab.make_images()
    sleep, network = ["sleep", place.seconds], {"h1": "host", "h2": "bridge"}
    async with container(place.lab, "h1", "lab/busybox", sleep, network="host"):
        for host in place.lab.hosts:
            body = {"Image": "lab/busybox", "Cmd": sleep, "HostConfig": {"NetworkMode": network[host.name]}}
            body["HostConfig"]["RestartPolicy"] = {"Name": "always"}
            made = await engine(place.lab, host.name, "POST", "/containers/create", body)
            await engine(place.lab, host.name, "POST", f"/containers/{made['Id']}/start")
    assert sum(place.seconds in line for line in _command_lines()) == 2
    await place.lab.kill_engine("h1")
    await place.lab.kill_engine("h2")
    assert sum(place.seconds in line for line in _command_lines()) == 2
    assert place.run("down").returncode == 0
    assert place.left() == []


@pytest.mark.parametrize("damage", ["torn settings", "no settings", "no settings, torn journal", "no directory"])
async def test_down_works_with_damaged_files(place: Place, damage: str):
    await place.lab.up()
    settings, journal = place.directory / SPEC, place.directory / JOURNAL
    if damage == "torn settings":
        settings.write_text(settings.read_text()[:20])
    elif damage != "no directory":
        settings.unlink()
    if damage.endswith("torn journal"):
        journal.write_text(journal.read_text()[:10])
    if damage == "no directory":
        place.directory.rename(place.directory.with_name("moved"))
    assert place.run("down").returncode == 0
    if damage.endswith("torn journal"):
        # Nothing says any more who made it.
        place.directory.rmdir()
    assert place.left() == []
    assert [trace async for trace in down.traces(place.name, place.directory, Commands(place.name))] == []


async def test_an_engine_that_does_not_start_is_told_with_its_words_and_the_rest_is_removed(place: Place):
    lab = Lab(replace(place.spec, engine_arguments=("--no-such-option",)), place.directory)
    with pytest.raises(Unavailable, match="its engine ended"):
        await lab.up()
    assert "no-such-option" in lab.host("h1").log.read_text()
    await lab.down()
    assert place.left() == []


async def test_a_down_that_is_killed_is_finished_by_the_next(place: Place):
    await place.lab.up()
    process = place.start("down")
    while place.lab.daemons("h1"):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert place.left() != []
    assert place.run("down").returncode == 0
    assert place.left() == []


async def test_what_a_host_has_is_a_bound_for_all_its_containers(place: Place):
    lab = Lab(replace(place.spec, registries=False, cpu_millis=250, memory_bytes=300 << 20), place.directory)
    await lab.up()
    await lab.make_images()
    burn = (
        "import time; t=time.monotonic(); c=time.process_time()\n"
        "while time.monotonic()-t<2: pass\n"
        "print('used', round((time.process_time()-c)/2, 3))"
    )
    async with container(lab, "h1", "lab/python", ["sleep", "60"]) as name:
        used = await exec_in(lab, "h1", name, f'python3 -c "{burn}"')
        assert float(used.split()[-1]) < 0.35
        grown = await exec_in(lab, "h1", name, "python3 -c 'x=bytearray(400<<20); print(\"grown\")'; echo code $?")
        assert "grown" not in grown and "code 137" in grown
    await lab.down()


def test_down_where_there_is_no_lab_says_so_and_makes_nothing(place: Place):
    ended = place.run("down")
    assert (ended.returncode, place.directory.exists()) == (2, False)
    assert "there is no lab" in ended.stderr


async def test_a_name_or_a_network_that_another_lab_has_is_refused(place: Place, tmp_path: Path):
    await place.lab.up()
    with_the_name = Lab(place.spec, tmp_path / "a")
    with_the_network = Lab(LabSpec(name="t-x", hosts=1, octet=place.octet), tmp_path / "b")
    for other in (with_the_name, with_the_network):
        with pytest.raises(Conflict, match=r"there is a lab|is taken"):
            await other.up()
        assert not other.directory.exists()
    with pytest.raises(Conflict, match="is called"):
        await remove(place.directory, "t-x")
    with pytest.raises(Conflict, match=r"the lab .* is in"):
        await remove(tmp_path / "a", place.name)
    assert all([await place.lab.engine_answers(host.name) for host in place.lab.hosts])


async def test_somebody_elses_directory_is_refused_and_left_alone(place: Place):
    (place.directory / "hosts").mkdir(parents=True)
    (place.directory / "hosts/mine").write_text("kept")
    assert place.run("up", "--octet", str(place.octet)).returncode == 1
    assert place.run("down").returncode == 2
    await place.lab.down()
    assert sorted(path.name for path in place.directory.rglob("*")) == ["hosts", "mine"]
    shutil.rmtree(place.directory)
    assert place.left() == []


def _kill_up_when(place: Place, reached: Callable[[Place], bool]) -> None:
    process = place.start_up()
    until = time.monotonic() + 30
    while not reached(place):
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def _said(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            yield f"{entry.name} {line}"
