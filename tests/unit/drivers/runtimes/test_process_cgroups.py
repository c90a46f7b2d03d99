"""Control groups: which hierarchies are found, what is written, and what is said where limits are out of reach.

Version 2 is tested on a plain folder in place of a mount: the files and their values, not the kernel's answer.
"""

from pathlib import Path

import pytest

from dcp.drivers.runtimes.process.cgroups import Cgroups, Hierarchy, find_hierarchies
from dcp.hosts.model import Resources

LINE = "{id} 25 0:{id} / {mount} rw,relatime shared:9 - {kind} {kind} rw,{options}\n"
RESOURCES = Resources(cpu_millis=250, memory_bytes=64 << 20)


def mountinfo(*mounts: tuple[str, str, str]) -> str:
    lines = [LINE.format(id=30 + n, kind=kind, mount=mount, options=o) for n, (kind, mount, o) in enumerate(mounts)]
    return "29 1 0:29 / / rw - ext4 /dev/vda rw\n" + "".join(lines)


def test_version_1_has_a_mount_for_each_controller() -> None:
    text = mountinfo(("cgroup", "/c/cpu", "cpu"), ("cgroup", "/c/memory", "memory"), ("cgroup", "/c/pids", "pids"))
    assert find_hierarchies(text) == (
        Hierarchy(Path("/c/cpu"), 1, ("cpu",)),
        Hierarchy(Path("/c/memory"), 1, ("memory",)),
    )


def test_version_1_may_mount_cpu_together_with_accounting() -> None:
    text = mountinfo(("cgroup", "/c/cpu,cpuacct", "cpu,cpuacct"))
    assert find_hierarchies(text) == (Hierarchy(Path("/c/cpu,cpuacct"), 1, ("cpu",)),)


def test_hybrid_takes_from_version_2_what_version_1_left(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory io\n")
    text = mountinfo(("cgroup", "/c/cpu", "cpu"), ("cgroup2", str(tmp_path), "nsdelegate"))
    assert find_hierarchies(text) == (Hierarchy(Path("/c/cpu"), 1, ("cpu",)), Hierarchy(tmp_path, 2, ("memory",)))


def test_version_2_without_controllers_is_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("\n")
    assert find_hierarchies(mountinfo(("cgroup2", str(tmp_path), ""))) == ()


def test_version_2_delegates_downwards_and_writes_both_limits(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    cgroups = Cgroups("dcp", "me", [Hierarchy(tmp_path, 2, ("cpu", "memory"))])
    assert cgroups.abilities.cpu_limit
    assert cgroups.abilities.memory_limit
    assert cgroups.create("one", RESOURCES) == (tmp_path / "dcp/me/i-one/cgroup.procs",)
    written = {path.name: path.read_text() for path in (tmp_path / "dcp/me/i-one").iterdir()}
    assert written == {
        "cpu.max": "25000 100000",
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
    }
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory", "cpu was there already"
    assert (tmp_path / "dcp/me/cgroup.subtree_control").read_text() == "+memory"


def test_version_1_writes_quota_and_memory(tmp_path: Path) -> None:
    hierarchies = [Hierarchy(tmp_path / "cpu", 1, ("cpu",)), Hierarchy(tmp_path / "memory", 1, ("memory",))]
    for hierarchy in hierarchies:
        hierarchy.mount.mkdir()
    Cgroups("dcp", "me", hierarchies).create("one", RESOURCES)
    assert (tmp_path / "cpu/dcp/me/i-one/cpu.cfs_period_us").read_text() == "100000"
    assert (tmp_path / "cpu/dcp/me/i-one/cpu.cfs_quota_us").read_text() == "25000"
    assert (tmp_path / "memory/dcp/me/i-one/memory.limit_in_bytes").read_text() == str(64 << 20)


def test_no_limit_asked_for_is_none_written_and_a_tiny_share_is_raised(tmp_path: Path) -> None:
    cgroups = Cgroups("dcp", "me", [Hierarchy(tmp_path, 1, ("cpu", "memory"))])
    cgroups.create("free", Resources(0, 0))
    assert list((tmp_path / "dcp/me/i-free").iterdir()) == []
    cgroups.create("tiny", Resources(1, 0))
    assert (tmp_path / "dcp/me/i-tiny/cpu.cfs_quota_us").read_text() == "1000"


def test_what_a_crash_left_is_removed_and_what_is_known_stays(tmp_path: Path) -> None:
    cgroups = Cgroups("dcp", "me", [Hierarchy(tmp_path, 1, ("cpu",))])
    for name in ("i-known", "i-gone", "probe-999999999-1"):
        (tmp_path / "dcp/me" / name).mkdir(parents=True)
    cgroups.remove_others(lambda instance_id: instance_id == "known")
    left = {path.name for path in (tmp_path / "dcp/me").iterdir()}
    assert "i-known" in left
    assert not left & {"i-gone", "probe-999999999-1"}


def test_it_says_why_nothing_is_enforced() -> None:
    nowhere = Cgroups("dcp", "me", [])
    assert nowhere.abilities.why_not == "the controller is not mounted: limits are not enforced"
    assert not nowhere.abilities.cpu_limit
    switched_off = Cgroups("", "me", [])
    assert switched_off.abilities.why_not == "switched off by configuration: limits are not enforced"


def test_it_says_which_limit_is_missing(tmp_path: Path) -> None:
    only_cpu = Cgroups("dcp", "me", [Hierarchy(tmp_path, 1, ("cpu",))])
    assert only_cpu.abilities.cpu_limit
    assert not only_cpu.abilities.memory_limit
    assert only_cpu.abilities.why_not == "memory: the controller is not mounted: this limit is not enforced"


def test_no_write_access_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    abilities = Cgroups("dcp", "me", [Hierarchy(tmp_path, 2, ("cpu", "memory"))]).abilities
    assert abilities.why_not == "no cgroup write access: limits are not enforced"
