"""A moto server as a process of its own: EC2's API over HTTP, with its state in memory."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

STARTS_WITHIN_S = 30.0


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Start one, give its URL, end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        give_up_at = time.monotonic() + STARTS_WITHIN_S
        while not _answers(url):
            assert process.poll() is None, f"moto server ended with {process.returncode}"
            assert time.monotonic() < give_up_at, "moto server does not answer"
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait(10)


def reset(url: str) -> None:
    """Forget every machine."""
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
