"""Who owns a state directory, and how clients find the controller that does."""

import json
import os
import stat
import subprocess
import sys

import pytest

from dcp.api.client import Client
from dcp.api.state_directory import Listening, default_state, found_server, living, take
from dcp.kernel.errors import Denied, InvalidInput, Unavailable


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_alone_means_nobody_else(tmp_path):
    first = take(tmp_path / "state", alone=True)
    for alone in (True, False):
        with pytest.raises(Unavailable, match=f"in use by controller pid {os.getpid()}"):
            take(tmp_path / "state", alone=alone)
    first.close()
    take(tmp_path / "state", alone=True).close()


def test_those_who_share_keep_out_who_wants_it_alone(tmp_path):
    first, second = take(tmp_path, alone=False), take(tmp_path, alone=False)
    first.announce(Listening("http://x:1", os.getpid()))
    with pytest.raises(Unavailable, match=f"pid {os.getpid()}"):
        take(tmp_path, alone=True)
    first.close()
    second.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be used"):
        take(tmp_path / "file" / "state", alone=True)


def test_the_token_is_made_once_and_is_private(tmp_path):
    state = take(tmp_path / "state", alone=True)
    token = state.token()
    assert len(token) == 64
    assert state.token() == token
    assert stat.S_IMODE((state.path / "token").stat().st_mode) == 0o600
    assert [path.name for path in state.path.iterdir() if path.name.startswith(".token")] == []
    state.close()


def test_the_newest_controller_is_found_and_after_it_the_other_one(tmp_path):
    state = take(tmp_path, alone=False)
    older, newer = Listening("http://x:1", os.getppid()), Listening("http://x:2", os.getpid())
    state.announce(older)
    state.announce(newer)
    assert found_server(tmp_path) == newer
    state.withdraw(newer)
    assert found_server(tmp_path) == older
    state.withdraw(older)
    assert found_server(tmp_path) is None
    assert list(tmp_path.glob("controllers/*")) == []
    state.close()


def test_a_controller_that_was_killed_is_passed_over_and_swept_up(tmp_path, dead_pid):
    state = take(tmp_path, alone=False)
    dead, alive = Listening("http://x:1", dead_pid), Listening("http://x:2", os.getpid())
    state.announce(dead)
    assert found_server(tmp_path) == dead  # better than nothing: the pid may be one of another container
    state.announce(alive)
    assert found_server(tmp_path) == alive
    assert [path.stem for path in tmp_path.glob("controllers/*.json")] == [str(os.getpid())]
    (tmp_path / "server.json").write_text(json.dumps({"url": "http://x:1", "pid": dead_pid}))
    assert found_server(tmp_path) == alive
    assert living(tmp_path) == (alive,)
    state.close()


def test_where_the_state_is_by_default(monkeypatch):
    monkeypatch.setenv("DCP_STATE", "/here")
    assert str(default_state()) == "/here"
    monkeypatch.delenv("DCP_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/there")
    assert str(default_state()) == "/there/dcp"


def test_a_client_says_what_it_misses(tmp_path, monkeypatch):
    for name in ("DCP_SERVER", "DCP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable, match=r"no controller is known.*dcp serve"):
        Client.found(tmp_path)
    with pytest.raises(Denied, match="there is no token"):
        Client.found(tmp_path, server="http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="not an address"):
        Client("127.0.0.1:9", "x")
    refused = pytest.raises(Unavailable, match=r"no controller at http://127.0.0.1:9.*dcp serve")
    with Client.found(tmp_path, server="http://127.0.0.1:9", token="x") as api, refused:
        api.status()
