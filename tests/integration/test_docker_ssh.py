"""An engine over SSH: a real sshd on a host of the lab, the OpenSSH client here, keys of their own."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dcp.drivers.runtimes.docker import DockerRuntimes, engine_probe
from dcp.hosts.model import Resources
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Unreachable
from dcp.lab.lab import Lab
from dcp.lab.rooms import enter
from dcp.orchestration.services.model import ServiceKey, StartOrder
from dcp.orchestration.services.ports import HostEngine
from dcp.settings.model import RuntimeSettings
from engine_proxy import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]
PORT = 2222


class Sshd:
    """One sshd on h1, and an `ssh` that knows its key and ours."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.host = lab.host("h1")
        self.url = f"ssh://root@{self.host.address}:{PORT}{self.host.socket}"
        self._lab = lab
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def prepare(self) -> None:
        for name in ("host", "user"):
            await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name))
        host_key = (self._folder / "host.pub").read_text().split()
        (self._folder / "known").write_text(f"[{self.host.address}]:{PORT} {host_key[0]} {host_key[1]}\n")
        (self._folder / "sshd_config").write_text(
            f"Port {PORT}\nListenAddress {self.host.address}\nHostKey {self._folder / 'host'}\nUsePAM no\n"
            f"AuthorizedKeysFile {self._folder / 'user.pub'}\nStrictModes no\nPidFile none\n"
            "PasswordAuthentication no\nPermitRootLogin yes\n"
        )
        (self._folder / "ssh_config").write_text(
            f"IdentityFile {self._folder / 'user'}\nUserKnownHostsFile {self._folder / 'known'}\nIdentitiesOnly yes\n"
        )
        wrapper = self._folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self._folder / "ssh_config"} "$@"\n')
        wrapper.chmod(0o755)
        await self._lab.run_on("h1", "mkdir", "-p", "/run/sshd")

    async def start(self) -> None:
        with (self._folder / "sshd.log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *enter(self.host, self._lab.topology),
                *("/usr/sbin/sshd", "-D", "-e", "-f", str(self._folder / "sshd_config")),
                stderr=log,
                start_new_session=True,
            )
        await wait_until(self._answers)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host.address, PORT)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self) -> None:
        """End the daemon and every connection of it."""
        if self._process is None:
            return
        for pid in (*children(self._process.pid), self._process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await self._process.wait()
        self._process = None


def children(pid: int) -> list[int]:
    found = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [one for child in found for one in (*children(child), child)]


async def run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv)
    assert await process.wait() == 0


@pytest.fixture
async def sshd(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sshd]:
    made = Sshd(lab, tmp_path)
    await made.prepare()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory with a path short enough for sockets, however deep the run's own directory is."""
    with tempfile.TemporaryDirectory(prefix="dcp-") as made:
        yield Path(made)


def order() -> StartOrder:
    command = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
    resources = Resources(cpu_millis=100, memory_bytes=64 << 20)
    return StartOrder("a", "h1", ServiceKey("shop", "cart"), command, resources, "lab/busybox:latest")


async def test_an_engine_over_ssh_is_found_again_after_its_sshd_was_away(sshd: Sshd, state: Path):
    settings = RuntimeSettings(kind="docker", owner="sshtest")
    runtimes = DockerRuntimes(settings, state, SystemClock())
    try:
        await runtimes.attach((HostEngine("h1", sshd.url, sshd.host.address),))
        runtime = runtimes.of("h1")
        seen = await runtime.start(order())
        assert seen.running and await engine_probe(settings)(sshd.url)
        await sshd.stop()
        await wait_until(lambda: not runtimes.engines()["h1"].answers)
        with pytest.raises(Unreachable):
            await runtime.observe("a")
        assert not await engine_probe(settings)(sshd.url)
        await sshd.start()
        await wait_until(lambda: runtimes.engines()["h1"].answers, 40.0)
        assert await runtime.observe("a") == seen
        await runtime.stop("a", 5.0)
        await runtime.forget("a")
        assert await runtime.list_all() == ()
    finally:
        await runtimes.aclose()
    assert list((state / "ssh").iterdir()) == [], "no socket is left"


async def test_a_host_whose_key_is_not_known_is_refused_with_words(sshd: Sshd, tmp_path: Path, state: Path):
    (tmp_path / "known").write_text("")
    runtimes = DockerRuntimes(RuntimeSettings(kind="docker", owner="sshtest"), state, SystemClock())
    try:
        await runtimes.attach((HostEngine("h1", sshd.url, sshd.host.address),))
        with pytest.raises(Unreachable, match="Host key verification failed"):
            await runtimes.of("h1").list_all()
    finally:
        await runtimes.aclose()
