"""The one moment in which an instance comes to be.

A short shell script joins the cgroups, writes down who it is, and becomes the command. Two things make this
happen once, whoever is killed at whatever moment:

- The instance's lock is inherited by the script. If the controller dies, the lock stays taken until the script has
  either written the leader file or died, so that nobody can start a second one meanwhile.
- The leader file is made with noclobber (O_EXCL): even two scripts at once would leave one, the other exits before it
  becomes anything. A leader file without a complete line was left by a script that died before its command ran.

The controller is told through a pipe: the script's end closes when it becomes the command, or when it dies.
"""

import fcntl
import os
import re
import select
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dcp.drivers.runtimes.process.processes import INSTANCE_VARIABLE, OWNER_VARIABLE
from dcp.kernel.errors import Rejected
from dcp.orchestration.services.model import StartOrder

LAUNCH_BOUND_MS = 2500

_LOCK_FD, _PIPE_FD = 9, 8

# $1 working directory, $2 leader file, $3 boot id, $4 and $5 cgroup.procs files or empty, then the command.
# Field 22 of /proc/self/stat is the start time; `exec` keeps it, and the pid, group and session.
_SCRIPT = """
cd "$1" || exit 75
[ -z "$4" ] || echo $$ > "$4" || exit 76
[ -z "$5" ] || echo $$ > "$5" || exit 76
IFS=' ' read -r {skipped} dcp_start_ticks dcp_rest < /proc/self/stat || exit 77
set -C
echo "$$ $dcp_start_ticks $3" > "$2" || exit 78
shift 5
unset PWD OLDPWD SHLVL
exec "$@" {pipe}>&- {lock}>&-
""".format(skipped=" ".join(["dcp_rest"] * 21), pipe=_PIPE_FD, lock=_LOCK_FD)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The shell sets or drops these itself, and drops every name that is not an identifier (such as `discovery.type`).
_SHELL_NAMES = frozenset(
    {"IFS", "LINENO", "OLDPWD", "OPTARG", "OPTIND", "PPID", "PS1", "PS2", "PS4", "PWD", "SHLVL", "_"}
)
# What our process ignores would stay ignored over exec; Python ignores the first two, `nohup` and `&` the others.
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_INHERITED = ("PATH", "HOME", "LANG")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything needed to make the process. `join` holds at most two cgroup.procs files."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_dir: str
    leader_path: Path
    boot_id: str
    join: tuple[Path, ...]


def build_environment(order: StartOrder, port: int, owner: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the order's environment, what we add to it, and PATH, HOME and LANG where the order has none."""
    environment = {name: inherited[name] for name in _INHERITED if name in inherited}
    environment.setdefault("PATH", _DEFAULT_PATH)
    environment.update(order.environment)
    environment.update(
        {"PORT": str(port), INSTANCE_VARIABLE: order.instance_id, OWNER_VARIABLE: owner, "DCP_HOST": order.host_id}
    )
    return environment


def check_order(order: StartOrder, inherited: Mapping[str, str]) -> None:
    """Raise Rejected if the order can never run here: no such folder, command, signal, or an impossible variable."""
    if not order.command:
        raise Rejected(f"{order.instance_id}: the command is empty")
    if order.working_dir and not Path(order.working_dir).is_dir():
        raise Rejected(f"{order.instance_id}: working directory {order.working_dir} does not exist")
    for name, value in order.environment:
        if not name or "=" in name or "\0" in name + value:
            raise Rejected(f"{order.instance_id}: {name!r} cannot be an environment variable")
    if any("\0" in part for part in order.command):
        raise Rejected(f"{order.instance_id}: the command holds a NUL character")
    stop_signal(order)
    name = order.command[0]
    path = build_environment(order, 0, "", inherited)["PATH"]
    candidate = str(Path(order.working_dir or "/") / name) if "/" in name else name
    if shutil.which(candidate, path=path) is None:
        raise Rejected(f"{order.instance_id}: command {name!r} not found or not executable", hint=f"PATH is {path}")


def stop_signal(order: StartOrder) -> signal.Signals:
    """Return the signal that asks the instance to end: `SIGTERM`, `TERM` and `15` all mean the same."""
    text = order.stop_signal.upper()
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals["SIG" + text.removeprefix("SIG")]
    except (KeyError, ValueError):
        raise Rejected(f"{order.instance_id}: {order.stop_signal!r} is not a signal") from None


def spawn(launch: Launch, lock_descriptor: int, log_descriptor: int) -> int:
    """Make the process in a session of its own and wait until it became the command or died; return its pid.

    Blocks for a millisecond or two, LAUNCH_BOUND_MS at most. Whether it came to be is in the leader file.
    """
    plain, odd = _split_environment(launch.environment)
    command = ("/usr/bin/env", *odd, *launch.command) if odd else launch.command
    join = [str(path) for path in launch.join] + ["", ""]
    arguments = ["sh", "-c", _SCRIPT, "sh", launch.working_dir or "/", str(launch.leader_path), launch.boot_id]
    with ExitStack() as open_here:
        reader, writer = os.pipe()
        open_here.callback(os.close, reader)
        with ExitStack() as given:
            given.callback(os.close, writer)
            # Moved above the target numbers: a source that happens to be 8 or 9 would be overwritten by the other.
            lock, pipe, log = (_raise_descriptor(fd, given) for fd in (lock_descriptor, writer, log_descriptor))
            pid = os.posix_spawn(
                "/bin/sh",
                [*arguments, *join[:2], *command],
                plain,
                file_actions=[
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in _leaking_descriptors()),
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    (os.POSIX_SPAWN_DUP2, pipe, _PIPE_FD),
                    (os.POSIX_SPAWN_DUP2, lock, _LOCK_FD),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_RESET_SIGNALS,
            )
        _wait_for_hangup(reader)
    return pid


def _leaking_descriptors() -> list[int]:
    """Return what would be inherited: descriptors that our own starter left open for us, never one of Python's."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 (three times faster)
    return [number for number in numbers if number > 2 and _is_inheritable(number)]


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


def _raise_descriptor(descriptor: int, given: ExitStack) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOCK_FD + 1)
    given.callback(os.close, copy)
    return copy


def _wait_for_hangup(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll(LAUNCH_BOUND_MS)


def _split_environment(environment: Mapping[str, str]) -> tuple[dict[str, str], Sequence[str]]:
    """Return what the shell hands on by itself, and `NAME=VALUE` words for the rest."""
    plain = {name: value for name, value in environment.items() if _NAME.fullmatch(name) and name not in _SHELL_NAMES}
    return plain, [f"{name}={value}" for name, value in environment.items() if name not in plain]
