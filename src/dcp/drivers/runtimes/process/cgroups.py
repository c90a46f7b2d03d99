"""CPU and memory limits by control groups, where this machine allows them: version 1, hybrid and version 2.

Each instance gets `MOUNT/PARENT/OWNER/i-ID` in every hierarchy that has one of the two controllers; in version 1 that
is one mount each, in version 2 one for both. What works is found by trying it once, with a real process that joins,
because no flag tells: a mount may be read-only, a controller taken, a subtree not delegated.

The groups stand beside the controller's own group, not below it, so that stopping the controller with everything below
its group (as systemd does) leaves the instances alone.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dcp.hosts.model import Resources
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.ports import RuntimeAbilities

CONTROLLERS = ("cpu", "memory")
PERIOD_US = 100_000
MIN_QUOTA_US = 1_000
"""The kernel refuses a smaller quota: 10 thousandths of a processor at this period."""
_MKDIR_TRIES = 5


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy and which of our controllers it has."""

    mount: Path
    version: int
    controllers: tuple[str, ...]


def find_hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies that have a CPU or memory controller; reads `cgroup.controllers` of version 2."""
    found: list[Hierarchy] = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        mount = Path(left.split(" ")[4])
        if kind == "cgroup":
            offered = options.split(",")
        elif kind == "cgroup2":
            offered = _read(mount / "cgroup.controllers").split()
        else:
            continue
        taken = {name for hierarchy in found for name in hierarchy.controllers}
        ours = tuple(name for name in CONTROLLERS if name in offered and name not in taken)
        if ours:
            found.append(Hierarchy(mount, 1 if kind == "cgroup" else 2, ours))
    return tuple(found)


class Cgroups:
    """Makes and removes the groups of one state directory's instances. An empty `parent` switches limits off."""

    def __init__(self, parent: str, owner: str, hierarchies: Iterable[Hierarchy]) -> None:
        self._relative = Path(parent) / owner
        self._usable: list[Hierarchy] = []
        why = "the controller is not mounted" if parent else "switched off by configuration"
        missing: dict[str, str] = dict.fromkeys(CONTROLLERS, why)
        for hierarchy in hierarchies if parent else ():
            problem = self._try(hierarchy)
            for controller in hierarchy.controllers:
                if problem:
                    missing[controller] = problem
                else:
                    missing.pop(controller)
            if not problem:
                self._usable.append(hierarchy)
        self.abilities = _describe(missing)
        self.close()

    def create(self, instance_id: str, resources: Resources) -> tuple[Path, ...]:
        """Make the instance's groups with their limits; return the files a process joins through. Idempotent.

        A limit of 0 means none. DriverError: the kernel refused a value.
        """
        try:
            return tuple(self._create(h, f"i-{instance_id}", resources) for h in self._usable)
        except OSError as error:
            raise DriverError(f"{instance_id}: cannot limit it: {error}") from error

    def members(self, instance_id: str) -> set[int]:
        """Return the pids in the instance's groups; children are there whatever they did to leave."""
        pids: set[int] = set()
        for hierarchy in self._usable:
            try:
                text = (self._folder(hierarchy, f"i-{instance_id}") / "cgroup.procs").read_text()
            except (FileNotFoundError, OSError):
                continue
            pids.update(int(word) for word in text.split())
        return pids

    def remove(self, instance_id: str) -> None:
        """Drop the instance's groups. What is absent is success; a busy one is left for `remove_others`."""
        for hierarchy in self._usable:
            _rmdir(self._folder(hierarchy, f"i-{instance_id}"))

    def remove_others(self, is_known: Callable[[str], bool]) -> None:
        """Drop every empty group of ours whose instance is not known: what a crash left behind.

        Asked after the group was seen: whoever makes one has made its instance known before.
        """
        for hierarchy in self._usable:
            folder = hierarchy.mount / self._relative
            for name in _subfolders(folder):
                kind, _, rest = name.partition("-")
                maker = rest.partition("-")[0]
                if (kind == "i" and not is_known(rest)) or (kind == "probe" and not Path("/proc", maker).exists()):
                    _rmdir(folder / name)

    def close(self) -> None:
        """Drop our own folders if no instance is left in them."""
        for hierarchy in self._usable:
            folder = hierarchy.mount / self._relative
            while folder != hierarchy.mount and _rmdir(folder):
                folder = folder.parent

    def _try(self, hierarchy: Hierarchy) -> str:
        """Return "" if a process can be limited here, else why not."""
        # Named after us: another controller of this directory may be trying at the same moment.
        name = f"probe-{os.getpid()}-{id(self)}"
        try:
            procs = self._create(hierarchy, name, Resources(cpu_millis=1000, memory_bytes=64 << 20))
            # A process of its own, as moving ourselves and back could leave us in the wrong group.
            joined = subprocess.run(
                ["/bin/sh", "-c", 'echo $$ > "$1"', "sh", str(procs)], capture_output=True, text=True, timeout=5
            )
            return "" if joined.returncode == 0 else f"a process cannot join a group ({joined.stderr.strip()})"
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return "no cgroup write access"
            return f"cgroup version {hierarchy.version} refused: {error.strerror}"
        finally:
            _rmdir(self._folder(hierarchy, name))

    def _create(self, hierarchy: Hierarchy, name: str, resources: Resources) -> Path:
        folder = self._folder(hierarchy, name)
        for _ in range(_MKDIR_TRIES):
            try:
                folder.mkdir(exist_ok=True)
                break
            except FileNotFoundError:
                # At first use; or another controller found the parents empty and dropped them at this moment.
                self._prepare_parents(hierarchy)
        for file, value in _limits(hierarchy, resources).items():
            _write(folder / file, value)
        return folder / "cgroup.procs"

    def _prepare_parents(self, hierarchy: Hierarchy) -> None:
        folder = hierarchy.mount
        for part in self._relative.parts:
            if hierarchy.version == 2:
                _delegate(folder, hierarchy.controllers)
            folder = folder / part
            folder.mkdir(exist_ok=True, parents=True)
        if hierarchy.version == 2:
            _delegate(folder, hierarchy.controllers)

    def _folder(self, hierarchy: Hierarchy, name: str) -> Path:
        return hierarchy.mount / self._relative / name


def _limits(hierarchy: Hierarchy, resources: Resources) -> dict[str, str]:
    """Return the files to write and their values. Swap would make a memory limit mean nothing, so there is none."""
    values: dict[str, str] = {}
    quota_us = max(MIN_QUOTA_US, resources.cpu_millis * PERIOD_US // 1000)
    if "cpu" in hierarchy.controllers and resources.cpu_millis:
        if hierarchy.version == 1:
            values |= {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
        else:
            values["cpu.max"] = f"{quota_us} {PERIOD_US}"
    if "memory" in hierarchy.controllers and resources.memory_bytes:
        if hierarchy.version == 1:
            values |= {"memory.limit_in_bytes": str(resources.memory_bytes), "memory.swappiness": "0"}
        else:
            values |= {"memory.max": str(resources.memory_bytes), "memory.swap.max": "0", "memory.oom.group": "1"}
    return values


# Files that a kernel without swap accounting does not have.
_OPTIONAL = frozenset({"memory.swappiness", "memory.swap.max", "memory.oom.group"})


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError:
        if path.name not in _OPTIONAL:
            raise


def _delegate(folder: Path, controllers: Iterable[str]) -> None:
    path = folder / "cgroup.subtree_control"
    present = _read(path).split()
    for controller in controllers:
        if controller not in present:
            path.write_text(f"+{controller}")


def _describe(missing: Mapping[str, str]) -> RuntimeAbilities:
    """Say what is missing and why, one sentence for a common reason."""
    cpu, memory = missing.get("cpu"), missing.get("memory")
    if cpu and cpu == memory:
        words = f"{cpu}: limits are not enforced"
    else:
        words = "; ".join(f"{name}: {why}: this limit is not enforced" for name, why in missing.items())
    return RuntimeAbilities(cpu_limit=cpu is None, memory_limit=memory is None, why_not=words)


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:
        return False
    return True
