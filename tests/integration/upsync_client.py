"""A client that keeps a list of servers as nginx-upsync does, and sends requests to all of it without a break.

What it does is what the module's C code does: HTTP/1.0, `?recurse&index=N` put after the configured path whatever that
holds, the list replaced when the index differs, kept when the answer is a failure or the connection breaks.
"""

import base64
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass, field

PAUSE_S = 0.05
"""`upsync_interval`: between two questions."""


@dataclass
class UpsyncClient:
    """Runs in two threads between `start` and `stop`."""

    port: int
    path: str
    index: int = 0
    servers: tuple[str, ...] = ()
    lists: list[tuple[str, ...]] = field(default_factory=list)
    """Every list there was, in order."""
    indices: list[int] = field(default_factory=list)
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "UpsyncClient":
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._follow, self._send)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End both; a question under way is let go of within its second."""
        self._ended.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _follow(self) -> None:
        while not self._ended.is_set():
            try:
                status, index, body = self._ask()
            except (OSError, ValueError):
                self._ended.wait(PAUSE_S)
                continue
            if status == 200 and index != self.index:
                self.index = index
                self.servers = tuple(sorted(_server(one) for one in json.loads(body)))
                self.indices.append(index)
                self.lists.append(self.servers)
            self._ended.wait(PAUSE_S)

    def _ask(self) -> tuple[int, int, bytes]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            question = f"GET {self.path}?recurse&index={self.index} HTTP/1.0\r\nHost: dcp\r\nAccept: */*\r\n\r\n"
            connection.sendall(question.encode())
            connection.settimeout(0.5)
            received = b""
            while not self._ended.is_set():
                try:
                    part = connection.recv(65536)
                except TimeoutError:
                    continue
                if not part:
                    break
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if len(body) != int(headers.get("content-length", -1)):
            raise ValueError("the answer is not whole")
        return int(lines[0].split()[1]), int(headers["x-consul-index"]), body

    def _send(self) -> None:
        while not self._ended.is_set():
            for server in self.servers:
                self.sent += 1
                connection = http.client.HTTPConnection(server, timeout=5)
                try:
                    connection.request("GET", "/")
                    if connection.getresponse().status != 200:
                        self.failed.append(server)
                except (OSError, http.client.HTTPException):
                    self.failed.append(server)
                finally:
                    connection.close()
            time.sleep(0.01)


def _server(row: dict[str, str]) -> str:
    value = json.loads(base64.b64decode(row["Value"]))
    assert set(value) >= {"weight", "max_fails", "fail_timeout", "backup", "down"} and value["down"] == 0
    return row["Key"].rpartition("/")[2]
