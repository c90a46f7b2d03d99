"""Remove every trace of a lab, whatever state it is in.

Works from the name and the directory alone; the journal and the files that hold namespaces add to that. Each step is
content with what is already gone, so that a `down` that was killed is finished by the next.
"""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable
from dcp.lab import cgroups, network, rooms
from dcp.lab.commands import Commands
from dcp.lab.journal import JOURNAL, SPEC, Entry, Journal, load_spec
from dcp.lab.processes import Marks, find, kill_all, namespace_inodes
from dcp.lab.spec import NAME
from dcp.lab.topology import RUNTIME_PARENT, Topology, cgroup_of, runtime_folder

LOCK = "lock"
OURS = ("hosts", "registries", "tls", "tls.new", "images", "dcp.yaml", JOURNAL, SPEC, LOCK)
"""What a lab keeps in its directory; nothing else there is removed."""
FOLDER_MADE = "folder"
NETNS_MADE = "namespaces-folder"
_NEW_FILE = re.compile(r"\.(.+)\.new")


def name_of(directory: Path) -> str | None:
    """Return the name of the lab in `directory`: from its file, its journal, or what the machine knows."""
    if spec := load_spec(directory):
        return spec.name
    written = [entry.name for entry in Journal(directory).read() if entry.kind == "lab" and NAME.fullmatch(entry.name)]
    return written[-1] if written else rooms.find_name(directory)


async def remove_lab(name: str, directory: Path, commands: Commands, clock: Clock) -> None:
    """Remove every trace of the lab. Raises Unavailable if something does not go; run it again then."""
    await kill_all(marks_of(name), clock)
    await network.remove_network(name, commands)
    await rooms.remove_rooms(name, commands)
    # Asked anew: numbers of namespaces that were let go are given to others at once.
    await kill_all(marks_of(name), clock)
    await cgroups.remove(cgroup_of(name), clock)
    await _unmount_below(directory, commands)
    left = [trace async for trace in traces(name, directory, commands)]
    if left:
        raise Unavailable(f"lab {name}: still there: {', '.join(left[:8])}", hint="run dcp lab down again")
    journal = Journal(directory).read()
    if not holds_lab(directory):
        return forget(directory)
    if Entry(NETNS_MADE, str(network.NETNS)) in journal:
        await _give_back_namespaces_folder(commands)
    return _remove_files(directory, Entry(FOLDER_MADE, str(directory)) in journal)


def holds_lab(directory: Path) -> bool:
    """Return whether a lab's files are in `directory`; somebody else's `hosts` or `images` do not make it one."""
    return (directory / SPEC).exists() or (directory / JOURNAL).exists()


def forget(directory: Path) -> None:
    """Undo taking a directory in which no lab was begun."""
    made = Entry(FOLDER_MADE, str(directory)) in Journal(directory).read()
    if made:
        (directory / JOURNAL).unlink(missing_ok=True)
    (directory / LOCK).unlink(missing_ok=True)
    if made:
        with suppress(OSError):
            directory.rmdir()


def planned(topology: Topology) -> tuple[Entry, ...]:
    """Return everything that `up` will make outside the lab's directory."""
    entries = [Entry("rule", f"{network.RULE}{topology.name}"), Entry("cgroup", topology.cgroup)]
    entries.append(Entry("mount", str(topology.runtime)))
    entries += [Entry("link", site.bridge) for site in topology.sites]
    nodes = [host.namespace for host in topology.hosts] + [registry.namespace for registry in topology.registries]
    entries += [Entry(kind, name) for name in nodes for kind in ("namespace", "link")]
    return tuple(entries)


def marks_of(name: str) -> Marks:
    """Return what every process of the lab carries one of."""
    held = [*network.namespaces(name), *rooms.held_files(name)]
    return Marks(namespace_inodes(held), cgroup_of(name), name)


async def traces(name: str, directory: Path, commands: Commands) -> AsyncIterator[str]:
    """Yield everything of the lab that is on the machine now, except the files in its directory."""
    for process in find(marks_of(name)):
        yield f"process {process.pid} ({process.name})"
    for link in sorted(await network.links(name, commands)):
        yield f"link {link}"
    for namespace in network.namespaces(name):
        yield f"namespace {namespace.name}"
    for rule in await network.rules(name, commands):
        yield f"rule {rule}"
    for folder in cgroups.present(cgroup_of(name)):
        yield f"control group {folder}"
    for place in (*_mounts_below(runtime_folder(name)), *_mounts_of_data(directory)):
        yield f"mount {place}"


def _remove_files(directory: Path, made: bool) -> None:
    for entry in list(directory.iterdir()) if directory.is_dir() else []:
        half_written = _NEW_FILE.fullmatch(entry.name)
        if entry.name not in OURS and not (half_written and half_written[1] in OURS):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, onerror=_unless_gone)
        else:
            entry.unlink(missing_ok=True)
    if made:
        with suppress(OSError):
            directory.rmdir()
    with suppress(OSError):
        RUNTIME_PARENT.rmdir()


def _unless_gone(_call: object, _path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    """Go on where a program that is just ending has removed something of its own first."""
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


async def _give_back_namespaces_folder(commands: Commands) -> None:
    """`ip netns add` mounts its folder on itself the first time; take that back if no namespace is left in it."""
    folder = network.NETNS
    if folder.is_mount() and not any(folder.iterdir()):
        await commands.succeeds("umount", str(folder))
    with suppress(OSError):
        folder.rmdir()


async def _unmount_below(directory: Path, commands: Commands) -> None:
    for place in sorted(_mounts_of_data(directory), reverse=True):
        await commands.succeeds("umount", "--lazy", place)


def _mounts_of_data(directory: Path) -> Iterator[str]:
    # The directory itself may be a disk that somebody mounted there.
    for name in ("hosts", "registries"):
        yield from _mounts_below(directory / name)


def _mounts_below(folder: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split(" ")[4].encode().decode("unicode_escape")
        if place == str(folder) or place.startswith(f"{folder}/"):
            yield place
