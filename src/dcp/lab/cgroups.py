"""Control groups of a lab: one for each host with its limits, one below it for the engine, beside its containers."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable

PERIOD_US = 100_000
ENGINE = "engine"
_TRIES = 50


def hierarchies() -> tuple[Path, ...]:
    """Return where control groups are mounted: one place in version 2, several in version 1."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split(" ", 1)[0] in ("cgroup", "cgroup2"):
            found.append(Path(left.split(" ")[4]))
    return tuple(dict.fromkeys(found))


def make(cgroup: str, cpu_millis: int | None, memory_bytes: int | None) -> tuple[Path, ...]:
    """Make a host's group with its limits in every hierarchy; return the files through which its engine joins."""
    joins = []
    for mount in hierarchies():
        folder = mount / cgroup.lstrip("/")
        try:
            (folder / ENGINE).mkdir(parents=True, exist_ok=True)
        except OSError:
            # A hierarchy that cannot be written (read-only, or v1 without it) limits nothing and marks nothing.
            continue
        if (mount / "cgroup.controllers").exists():
            _pass_down(mount, folder)
        _limit(folder, cpu_millis, memory_bytes)
        if not (folder / "cpuset.cpus").exists() or _fill_cpuset(mount, folder / ENGINE):
            joins.append(folder / ENGINE / "cgroup.procs")
    if not joins:
        raise Unavailable(f"cannot make the control group {cgroup}", hint="mount /sys/fs/cgroup writable")
    return tuple(joins)


def present(cgroup: str) -> tuple[Path, ...]:
    """Return every group at or below `cgroup`, deepest first."""
    found: list[Path] = []
    for mount in hierarchies():
        found += _below(mount / cgroup.lstrip("/"))
    return tuple(found)


async def remove(cgroup: str, clock: Clock) -> None:
    """Remove the group and all below it. The kernel frees a group a moment after its last process."""
    for attempt in range(_TRIES):
        for folder in present(cgroup):
            with suppress(OSError):
                folder.rmdir()
        if not present(cgroup):
            return
        await clock.sleep(0.02 * (attempt + 1))


def _below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    with suppress(OSError):
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.is_symlink():
                yield from _below(child)
    yield folder


def _pass_down(mount: Path, folder: Path) -> None:
    """Let the host's group limit processor and memory (version 2 asks every level above it)."""
    for level in (mount, folder.parent):
        for controller in ("cpu", "memory", "pids"):
            with suppress(OSError):
                (level / "cgroup.subtree_control").write_text(f"+{controller}")


def _limit(folder: Path, cpu_millis: int | None, memory_bytes: int | None) -> None:
    quota = None if cpu_millis is None else cpu_millis * PERIOD_US // 1000
    for file, value in (
        ("cpu.cfs_period_us", str(PERIOD_US)),
        ("cpu.cfs_quota_us", "-1" if quota is None else str(quota)),
        ("cpu.max", f"max {PERIOD_US}" if quota is None else f"{quota} {PERIOD_US}"),
        ("memory.limit_in_bytes", "-1" if memory_bytes is None else str(memory_bytes)),
        ("memory.max", "max" if memory_bytes is None else str(memory_bytes)),
    ):
        if (folder / file).exists():
            (folder / file).write_text(value)


def _fill_cpuset(mount: Path, folder: Path) -> bool:
    """Give each new group the processors and memory nodes of the one above; without them nothing may join."""
    for level in (folder.parent.parent, folder.parent, folder):
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not (level / name).read_text().strip():
                with suppress(OSError):
                    (level / name).write_text((level.parent / name).read_text())
    return bool((folder / "cpuset.cpus").read_text().strip() and (folder / "cpuset.mems").read_text().strip())
