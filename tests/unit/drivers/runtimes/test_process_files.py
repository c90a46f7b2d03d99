"""What the process runtime keeps on disk: ports, logs, specs, and who is allowed to read them."""

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dcp.drivers.runtimes.process.directory import Ended, Spec, StateDirectory
from dcp.drivers.runtimes.process.logs import LogFiles
from dcp.drivers.runtimes.process.port_range import PortRange
from dcp.hosts.model import Resources
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.model import HealthCheck, ServiceKey, StartOrder

ORDER = StartOrder(
    instance_id="one",
    host_id="host-1",
    service=ServiceKey("shop", "feed"),
    command=("serve", "--fast"),
    resources=Resources(100, 1 << 20),
    environment=(("PASSWORD", "secret"),),
    health=HealthCheck(command=("test", "-e", "ok"), retries=2),
)

# Apart from the ports that the system gives out, from running fleets, and from another run of these tests.
BASE = 12000 + os.getpid() % 900 * 20


def everything_lives(port: int, instance_id: str) -> bool:
    return True


def reserve(ports: PortRange, instance_id: str, in_use: Callable[[int, str], bool] = everything_lives) -> int:
    with ports.lock() as lock:
        return ports.reserve(lock, instance_id, in_use)


def test_ports_are_given_in_turn_also_by_a_second_controller(tmp_path: Path) -> None:
    first, second = (PortRange(tmp_path, BASE, BASE + 9) for _ in range(2))
    assert [reserve(first, "a"), reserve(second, "b")] == [BASE, BASE + 1]
    first.release(BASE, "a")
    assert reserve(second, "c") == BASE + 2, "a port that was just freed is not used again at once"


def test_directories_that_know_nothing_of_each_other_begin_at_different_ports(tmp_path: Path) -> None:
    ours, theirs = (
        PortRange(tmp_path / "a", BASE + 30, BASE + 39, offset=7),
        PortRange(tmp_path / "b", BASE + 30, BASE + 39, offset=12),
    )
    assert [reserve(ours, name) for name in "abcd"] == [BASE + 37, BASE + 38, BASE + 39, BASE + 30]
    assert reserve(theirs, "a") == BASE + 32


def test_a_port_of_a_connection_that_just_ended_is_the_last_choice(tmp_path: Path) -> None:
    port = BASE + 1
    with socket.create_server(("127.0.0.1", port)) as listener:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()
        client.recv(1)
        client.close()
    ports = PortRange(tmp_path, port - 1, port)
    with ports.lock() as lock:
        os.pwrite(lock.descriptor, str(port).encode(), 0)
    assert [reserve(ports, "a"), reserve(ports, "b")] == [port - 1, port]


def test_a_port_that_something_listens_on_is_passed_over(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with pytest.raises(DriverError, match="no free port"):
            reserve(PortRange(tmp_path, taken, taken), "a")


def test_what_a_crash_reserved_is_taken_back_when_ports_run_out(tmp_path: Path) -> None:
    ports = PortRange(tmp_path, BASE + 10, BASE + 11)
    assert {reserve(ports, "dead"), reserve(ports, "alive")} == {BASE + 10, BASE + 11}
    assert reserve(ports, "new", lambda _, instance_id: instance_id == "alive") == BASE + 10


def test_only_the_holder_releases(tmp_path: Path) -> None:
    ports = PortRange(tmp_path, BASE + 12, BASE + 12)
    reserve(ports, "a")
    ports.release(BASE + 12, "b")
    with pytest.raises(DriverError):
        reserve(ports, "b")


def test_a_spec_comes_back_as_it_was_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    directory.path("one").mkdir()
    directory.write_spec(Spec(ORDER, BASE))
    assert StateDirectory(tmp_path).spec("one") == Spec(ORDER, BASE)
    assert stat.S_IMODE((tmp_path / "instances/one/spec.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "instances").stat().st_mode) == 0o700


def test_a_spec_made_anew_by_another_controller_is_seen(tmp_path: Path) -> None:
    ours, theirs = StateDirectory(tmp_path), StateDirectory(tmp_path)
    ours.path("one").mkdir()
    ours.write_spec(Spec(ORDER, BASE))
    assert ours.spec("one") is not None
    theirs.remove("one")
    assert ours.spec("one") is None
    theirs.path("one").mkdir()
    changed = Spec(replace(ORDER, command=("other",)), BASE + 1)
    theirs.write_spec(changed)
    assert ours.spec("one") == changed


@pytest.mark.parametrize("line", ["", "123", "123 456", "123 456 boot"])
def test_an_unfinished_leader_line_is_none(tmp_path: Path, line: str) -> None:
    directory = StateDirectory(tmp_path)
    directory.path("one").mkdir()
    directory.leader_path("one").write_text(line)
    assert directory.leader("one") is None


@pytest.mark.parametrize("name", ["../one", "a/b", "", ".hidden", "a\nb"])
def test_ids_that_cannot_be_file_names_are_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected, match="file name"):
        StateDirectory(tmp_path).path(name)


def test_a_lock_on_a_dropped_folder_protects_nothing(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    lock = directory.try_lock("one", create=True)
    assert lock is not None
    assert directory.try_lock("one") is None
    directory.remove("one")
    assert directory.try_lock("one") is None, "unknown"
    again = directory.try_lock("one", create=True)
    assert again is not None, "the old lock belongs to the dropped folder"
    lock.release()
    assert directory.try_lock("one") is None
    again.release()


def test_everybody_agrees_on_the_owner(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path).owner == StateDirectory(tmp_path).owner
    assert StateDirectory(tmp_path / "other").owner != StateDirectory(tmp_path).owner


def test_an_end_is_remembered(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    directory.path("one").mkdir()
    assert directory.ended("one") is None
    directory.write_ended("one", Ended(None))
    directory.write_ended("one", Ended(137))
    assert StateDirectory(tmp_path).ended("one") == Ended(137)


def write(logs: LogFiles, text: str, instance_id: str = "one") -> None:
    descriptor = logs.open(instance_id)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_a_tail_is_read_over_block_ends_and_the_trimmed_file(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    write(logs, "".join(f"line {n} {'x' * 100}\n" for n in range(3000)))
    assert [line.split()[1] for line in logs.tail("one", 2000)] == [str(n) for n in range(1000, 3000)]
    logs.trim("one")
    write(logs, "newest\nunfinished")
    tail = logs.tail("one", 4)
    assert [line.split()[0:2] for line in tail] == [["line", "2998"], ["line", "2999"], ["newest"], ["unfinished"]]


def test_a_writer_goes_on_after_the_trim_and_one_old_file_is_kept(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, max_bytes=100)
    writer = logs.open("one")
    for turn in range(3):
        os.write(writer, f"turn {turn} {'x' * 200}\n".encode())
        assert logs.is_too_long("one")
        logs.trim("one")
        assert not logs.is_too_long("one")
    os.write(writer, b"end\n")
    os.close(writer)
    assert [line.split()[0] for line in logs.tail("one", 10)] == ["turn", "end"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "one.log", "one.log.1"]


def test_of_forgotten_logs_the_newest_are_kept(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, max_old=2)
    for n in range(4):
        write(logs, f"from {n}\n", f"i-{n}")
        os.utime(tmp_path / f"i-{n}.log", (n, n))
        logs.retire(f"i-{n}")
    assert [logs.tail(f"i-{n}", 1) for n in range(4)] == [(), (), ("from 2",), ("from 3",)]
