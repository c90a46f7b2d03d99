"""A real registry (Debian's `docker-registry`) as a process on this machine; missing in CI is a failure."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

START_LIMIT_S = 20.0


def require_registry() -> str:
    """Return the program; skip on a user's machine that has none."""
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("docker-registry is not installed")
        pytest.skip("needs Debian's package docker-registry")
    return program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class RegistryProcess:
    """One registry on a loopback port with its storage below `folder`, configured by `text` or as open to everybody."""

    def __init__(self, folder: Path, *, text: str = "", port: int | None = None) -> None:
        self._program = require_registry()
        self.folder = folder
        self.storage = folder / "storage"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.text = text
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.storage.mkdir(parents=True, exist_ok=True)
        file = self.folder / "registry.yml"
        file.write_text(self.text or self._open())
        with (self.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "serve", str(file)], stdout=log, stderr=log)
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/v2/", trust_env=False).status_code in (200, 401):
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        self.kill()
        pytest.fail(f"the registry does not answer: {(self.folder / 'registry.log').read_text()[-2000:]}")

    def _open(self) -> str:
        return (
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.storage}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}', secret: of-this-test}}\n"
        )

    def kill(self) -> None:
        """End it as a loss of power would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Lose its storage."""
        shutil.rmtree(self.storage, ignore_errors=True)
