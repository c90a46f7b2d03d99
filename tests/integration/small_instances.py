"""A program that starts small HTTP servers, a process each, in milliseconds: it forks itself.

For each line on its input it prints "PID PORT" of one more. A server answers every request with `ok` until it is ended.
When the input ends, so do all servers: nothing is left behind, also if the test was killed.
"""

import os
import selectors
import signal
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
END_OF_HEAD = b"\r\n\r\n"


def serve(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if connection is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(accepted, selectors.EVENT_READ)
            else:
                answer(connection, selector)


def answer(connection: socket.socket, selector: selectors.BaseSelector) -> None:
    try:
        received = connection.recv(65536)
        if received:
            connection.sendall(ANSWER * received.count(END_OF_HEAD))
            return
    except ConnectionError:
        pass
    selector.unregister(connection)
    connection.close()


def start() -> int:
    """Fork one server and return its pid; it has a listening socket by then."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pid = os.fork()
    if pid == 0:
        os.close(0)
        serve(listener)
    print(pid, listener.getsockname()[1], flush=True)
    listener.close()
    return pid


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    started = [start() for _ in sys.stdin]
    for pid in started:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
