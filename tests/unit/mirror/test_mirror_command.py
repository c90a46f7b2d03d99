"""`dcp mirror` as a process: says where it listens, ends when told, refuses what cannot work."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def _mirror(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dcp", "mirror", "--json", "--listen", "127.0.0.1:0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    process = _mirror("--registry", "http://127.0.0.1:1", "--directory", str(tmp_path / "m"), "--name", "one")
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        answer = httpx.get(f"http://127.0.0.1:{said['port']}/mirror/health", trust_env=False)
        assert answer.json() == {"name": "one"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((), "--registry"),
        (("--registry", "registry:5000"), "--registry"),
        (("--parent", "x"), "--parent"),
        (("--registry", "http://r", "--capacity", "much"), "--capacity"),
        (("--registry", "http://r", "--listen", "5000"), "--listen"),
        (("--registry", "http://r", "--ca", "/nowhere"), "--ca"),
    ],
)
def test_a_wrong_option_is_refused_with_its_name(tmp_path: Path, arguments: tuple[str, ...], path: str) -> None:
    process = _mirror("--directory", str(tmp_path / "m"), *arguments)
    _out, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert path in said
