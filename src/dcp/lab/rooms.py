"""A host's own view of the files: its mount and host name namespaces, held by files below the lab's runtime folder.

The host has its own /run (sockets and state of its engine) and its own /etc: hosts, Docker's configuration, the
certificates it trusts. What is written there never reaches the machine's. A namespace that a file holds outlives every
process, so an engine that was killed finds its containers' mounts again.
"""

from contextlib import suppress
from pathlib import Path

from dcp.kernel.errors import Unavailable
from dcp.lab.commands import Commands
from dcp.lab.journal import write_whole
from dcp.lab.network import NETNS, holds_namespace
from dcp.lab.topology import RUNTIME_PARENT, LabHost, Topology, runtime_folder

DIRECTORY_FILE = "directory"
READY = "/run/dcp-lab.ready"
_FURNISH = f"""
hostname "$1"
mount -t tmpfs -o mode=755 run /run
mkdir /run/lock /run/etc /run/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work etc /etc
rm -f /etc/hosts /etc/resolv.conf
mkdir -p /etc/docker
touch /etc/hosts /etc/resolv.conf
mount --bind "$2/etc/hosts" /etc/hosts
mount --bind "$2/etc/docker" /etc/docker
touch {READY}
"""
"""Run inside the new namespaces with the host's name and folder. `resolv.conf` stays empty: there is no name server."""


async def make_runtime_folder(topology: Topology, commands: Commands) -> None:
    """Make the folder that holds namespaces; it is a mount of its own, since such files must not be shared further."""
    folder = topology.runtime
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_mount():
        await commands.run("mount", "-t", "tmpfs", "-o", "mode=700,size=1m", f"dcp-lab-{topology.name}", str(folder))
    await commands.run("mount", "--make-private", str(folder))
    write_whole(folder / DIRECTORY_FILE, f"{topology.directory}\n")


async def make_room(host: LabHost, topology: Topology, commands: Commands) -> None:
    """Make the host's namespaces and what is in them."""
    (host.folder / "etc/docker").mkdir(parents=True, exist_ok=True)
    (host.folder / "etc/hosts").touch()
    mounts, hostname = topology.mount_file(host), topology.hostname_file(host)
    if holds_namespace(mounts) and holds_namespace(hostname) and await _is_ready(host, topology, commands):
        return
    for file in (mounts, hostname):
        await _drop(file, commands)
        file.touch()
    share = (f"--mount={mounts}", f"--uts={hostname}", "--propagation", "slave")
    script = ("sh", "-euc", _FURNISH, "sh", host.namespace, str(host.folder))
    await commands.run("unshare", *share, *script)
    if not await _is_ready(host, topology, commands):
        raise Unavailable(f"{host.name}: its namespaces are not complete")


def enter(host: LabHost, topology: Topology) -> tuple[str, ...]:
    """Return the program that runs what follows on the host."""
    return (
        "nsenter",
        f"--net={NETNS / host.namespace}",
        f"--mount={topology.mount_file(host)}",
        f"--uts={topology.hostname_file(host)}",
    )


def held_files(name: str) -> tuple[Path, ...]:
    """Return the files below the lab's runtime folder that may hold a namespace."""
    folder = runtime_folder(name)
    return tuple(sorted(one for one in folder.iterdir() if one.suffix in (".mnt", ".uts"))) if folder.is_dir() else ()


def find_directory(name: str) -> Path | None:
    """Return the directory of the lab of that name, if the machine knows one."""
    try:
        text = (runtime_folder(name) / DIRECTORY_FILE).read_text().strip()
    except OSError:
        return None
    return Path(text) if text else None


def find_name(directory: Path) -> str | None:
    """Return the name of the lab in `directory`, if the machine knows one."""
    known = RUNTIME_PARENT.iterdir() if RUNTIME_PARENT.is_dir() else iter(())
    return next((entry.name for entry in known if find_directory(entry.name) == directory), None)


async def remove_rooms(name: str, commands: Commands) -> None:
    """Let go of every namespace and remove the runtime folder."""
    folder = runtime_folder(name)
    for file in held_files(name):
        await _drop(file, commands)
    while folder.is_mount() and await commands.succeeds("umount", "--lazy", str(folder)):
        pass
    if folder.is_dir():
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
    with suppress(OSError):
        RUNTIME_PARENT.rmdir()


async def _is_ready(host: LabHost, topology: Topology, commands: Commands) -> bool:
    return await commands.succeeds("nsenter", f"--mount={topology.mount_file(host)}", "test", "-e", READY)


async def _drop(file: Path, commands: Commands) -> None:
    while holds_namespace(file) and await commands.succeeds("umount", "--lazy", str(file)):
        pass
    file.unlink(missing_ok=True)
