"""What /proc says: who a pid really is, whether it still runs, and which processes belong to an instance.

A pid alone proves nothing, as numbers are used again. A leader is its pid, its start time in clock ticks and the boot
it was started in; no two processes share these three. Everything else that belongs to an instance is found by the
leader's group and session (while the leader's number cannot have been given away) and by the two variables that every
process inherits from it.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INSTANCE_VARIABLE = "DCP_INSTANCE"
OWNER_VARIABLE = "DCP_OWNER"

_PROC = Path("/proc")
_KERNEL_THREAD = 0x00200000
"""PF_KTHREAD in the flags of a process (linux/sched.h)."""
_LOOKS_AT_BLANK = 8


@dataclass(frozen=True, slots=True)
class Leader:
    """The first process of an instance; also the number of its group and session."""

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that matter here (proc(5))."""

    pid: int
    state: str
    flags: int
    group: int
    session: int
    threads: int
    start_ticks: int
    wait_status: int
    """As `waitpid` gives it; meaningful for a zombie only, and 0 where the kernel hides it from us."""

    @property
    def ended(self) -> bool:
        """A zombie has ended, unless other threads outlive its first one."""
        return self.state in "ZX" and self.threads <= 1

    @property
    def is_kernel_thread(self) -> bool:
        return self.flags & _KERNEL_THREAD != 0


@dataclass(frozen=True, slots=True)
class Kin:
    """How to recognise the processes of one instance. `leader` None: only by their environment."""

    instance_id: str
    leader: Leader | None


def boot_id() -> str:
    """Return the identifier of this boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def read_stat(pid: int) -> Stat | None:
    """Return what /proc says of `pid`, or None if there is no such process."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # The second field is the name in parentheses and may itself hold blanks and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(
        pid=pid,
        state=fields[0].decode(),
        flags=int(fields[6]),
        group=int(fields[2]),
        session=int(fields[3]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        wait_status=int(fields[49]),
    )


def find_leader(leader: Leader, boot: str) -> Stat | None:
    """Return the leader's own entry, zombie or not; None if it is gone or its number belongs to somebody else now."""
    if leader.boot_id != boot:
        return None
    stat = read_stat(leader.pid)
    return stat if stat is not None and stat.start_ticks == leader.start_ticks else None


def find_kin(owner: str, wanted: Sequence[Kin]) -> dict[str, list[Stat]]:
    """Return what still runs, by instance id, for every entry of `wanted`, in one pass over /proc."""
    found: dict[str, list[Stat]] = {kin.instance_id: [] for kin in wanted}
    by_number = {kin.leader.pid: kin.instance_id for kin in wanted if kin.leader is not None}
    for stat, instance_id in _scan(owner, by_number):
        if instance_id in found:
            found[instance_id].append(stat)
    return found


def find_owned(owner: str) -> tuple[int, ...]:
    """Return the pids of every running process that carries this owner in its environment, sorted."""
    return tuple(sorted(stat.pid for stat, _ in _scan(owner, {})))


def send_signal(stat: Stat, number: int) -> None:
    """Send a signal to exactly this process, never to one that got its number since. What is gone is success."""
    try:
        descriptor = os.pidfd_open(stat.pid)
    except ProcessLookupError:
        return
    try:
        now = read_stat(stat.pid)
        if now is not None and now.start_ticks == stat.start_ticks:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def send_group_signal(leader: Stat, number: int) -> None:
    """Send a signal to the leader's whole group. The leader, alive or zombie, was seen just now and pins the number."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def reap(zombie: Stat) -> int | None:
    """Return the exit code of an ended leader (128 + n when signal n ended it), and collect it if it is our child.

    Of somebody else's child only the code is read, where the kernel shows it; None where it does not.
    """
    try:
        pid, status = os.waitpid(zombie.pid, os.WNOHANG)
        if pid:
            return _exit_code(status)
    except ChildProcessError:
        pass
    try:
        visible = os.geteuid() in (0, (_PROC / str(zombie.pid)).stat().st_uid)
    except FileNotFoundError:
        return None
    return _exit_code(zombie.wait_status) if visible else None


def _exit_code(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _pids() -> Iterator[int]:
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


def _scan(owner: str, by_number: Mapping[int, str]) -> Iterator[tuple[Stat, str]]:
    """Yield every running process of this owner with its instance: by group or session number, else by environment."""
    blank: list[Stat] = []
    for pid in _pids():
        stat = read_stat(pid)
        if stat is None or stat.ended:
            continue
        instance_id = by_number.get(stat.group) or by_number.get(stat.session)
        if instance_id is None:
            environment = _environment(pid)
            if environment == [b""] and not stat.is_kernel_thread:
                blank.append(stat)
            instance_id = _instance_of(environment, owner)
        if instance_id is not None:
            yield stat, instance_id
    # In the middle of an exec the kernel shows no environment for a moment.
    for _ in range(_LOOKS_AT_BLANK):
        if blank:
            os.sched_yield()
        looked_at, blank = blank, []
        for stat in looked_at:
            environment = _environment(stat.pid)
            instance_id = _instance_of(environment, owner)
            if instance_id is not None:
                yield stat, instance_id
            elif environment == [b""]:
                blank.append(stat)


def _instance_of(environment: Sequence[bytes], owner: str) -> str | None:
    """Return the instance that a process of this owner belongs to, "" if it does not say; None: not this owner's."""
    if f"{OWNER_VARIABLE}={owner}".encode() not in environment:
        return None
    prefix = f"{INSTANCE_VARIABLE}=".encode()
    return next((entry[len(prefix) :].decode() for entry in environment if entry.startswith(prefix)), "")


def _environment(pid: int) -> list[bytes]:
    return _read(f"/proc/{pid}/environ").split(b"\0")


def _read(path: str) -> bytes:
    """Return a file of /proc, empty if its process is gone or another user's (which cannot be ours).

    By descriptor, as a pass over /proc reads thousands of these and file objects cost three times as much.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)
    except (ProcessLookupError, PermissionError):
        return b""
    finally:
        os.close(descriptor)
