"""Bare Debian machines: a tree made by debootstrap, and for each machine namespaces of its own with its own sshd.

A machine is one process: everything in it ends with it, and it ends with the process that runs the test. Its root is
an overlay that is mounted inside its mount namespace, so nothing is left to unmount, whatever happens. The packages
that the role installs lie in the tree's own cache of packages: machines have no way out.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

CACHE = Path(os.environ.get("DCP_TEST_CACHE", "/var/tmp/dcp-tests"))
TREE = CACHE / "debian-1"
INCLUDED = "openssh-server,python3,python3-apt,iproute2,procps"
INSTALLED_LATER = ("docker.io", "chrony", "prometheus-node-exporter", "iptables", "ca-certificates")
ADDRESSES_EACH = 250
"""In the last part of an address."""
_BOOT = """
folder=$1; tree=$2; name=$3
mount --make-rprivate /
mount -t overlay -o lowerdir=$tree,upperdir=$folder/upper,workdir=$folder/work root $folder/root
cd $folder/root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 run run
mkdir -p run/sshd run/lock var/lib/docker
mount --bind $folder/docker var/lib/docker
hostname $name
n=0
until ip -4 address show eth0 2>/dev/null | grep -q inet; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.05; done
mkdir -p .old
pivot_root . .old
exec chroot . sh -c 'umount -l /.old; rmdir /.old 2>/dev/null; /usr/sbin/sshd -e; while :; do sleep 1000 & wait; done'
"""


@dataclass
class Machine:
    """One bare machine."""

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    pid: int
    """Its first process, as this machine sees it."""

    def run(self, *argv: str) -> str:
        """Return what a program says inside."""
        command = ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "-r", "-w", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{argv} on {self.name}: {done.stdout}{done.stderr}"
        return done.stdout


@dataclass
class Machines:
    """Starts machines on a bridge of their own and ends them."""

    folder: Path
    bridge: str = "dcpinit"
    network: str = "10.77"
    made: list[Machine] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.folder / "key"

    def open(self) -> None:
        """Make the bridge and a key; what a run that was killed left is removed first."""
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.network}.0.1/16", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))

    def start(self, number: int) -> Machine:
        """Return a bare machine once its sshd answers."""
        third, last = divmod(number, ADDRESSES_EACH)
        name, address = f"bare{number}", f"{self.network}.{third + 1}.{last}"
        folder = self.folder / name
        for part in ("upper/root/.ssh", "work", "root", "docker"):
            (folder / part).mkdir(parents=True)
        (folder / "upper/root").chmod(0o700)
        shutil.copy(f"{self.key}.pub", folder / "upper/root/.ssh/authorized_keys")
        with (folder / "log").open("wb") as log:
            process = self._spawn(folder, name, log)

        pid = int(_wait_for(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()))
        machine = Machine(name, address, folder, process, pid)
        self.made.append(machine)
        link = f"{self.bridge[:8]}{number}"
        _wait_for(lambda: Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink())
        subprocess.run(["ip", "link", "delete", link], capture_output=True)  # of a namespace that is still ending
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _run("ip", "link", "set", link, "master", self.bridge, "up")
        inside = ("nsenter", "-t", str(pid), "-n", "ip")
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "address", "add", f"{address}/16", "dev", "eth0")
        _wait_for(lambda: self._answers(machine))
        return machine

    def _spawn(self, folder: Path, name: str, log: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--net"),
                *("sh", "-euc", _BOOT, "sh", str(folder), str(TREE), name),
            ],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )

    def stop(self, machine: Machine) -> None:
        """End a machine and everything in it."""
        machine.process.kill()
        machine.process.wait(10)
        _wait_for(lambda: not Path(f"/proc/{machine.pid}").exists())

    def close(self) -> None:
        """End all of it."""
        for machine in self.made:
            if machine.process.poll() is None:
                self.stop(machine)
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)

    def _answers(self, machine: Machine) -> bool:
        assert machine.process.poll() is None, (machine.folder / "log").read_text()
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=2")
        command = ["ssh", "-i", str(self.key), *options, "-o", "BatchMode=yes", f"root@{machine.address}", "true"]
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0


def make_tree() -> None:
    """Make the tree once for all runs on this machine; it takes about a minute and 450 MB."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if TREE.exists():
            return
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as made:
            tree = Path(made, "tree")
            release = _release()
            _run("debootstrap", "--variant=minbase", f"--include={INCLUDED}", release, str(tree), _mirror())
            for one in Path("/etc/apt/apt.conf.d").glob("99*"):
                shutil.copy(one, tree / "etc/apt/apt.conf.d" / one.name)
            shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
            fetch = "apt-get update -qq && apt-get install -y -qq --no-install-recommends --download-only "
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
            subprocess.run(
                ["chroot", str(tree), "sh", "-euc", fetch + " ".join(INSTALLED_LATER)],
                env=environment,
                check=True,
                capture_output=True,
                timeout=300,
            )
            (tree / "etc/resolv.conf").write_text("")
            tree.rename(TREE)


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME="))


def _mirror() -> str:
    """Return the mirror that this machine itself is configured with."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=True
    )
    return next(line for line in listed.stdout.split() if line.rstrip("/").endswith("/debian"))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def _wait_for(question, timeout_s: float = 20.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
    return answer
