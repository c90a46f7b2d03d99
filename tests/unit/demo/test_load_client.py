"""Answers are recognised byte by byte, and only complete ones."""

import pytest

from dcp.demo.load_client import Answer, Target, read_answer
from dcp.kernel.errors import InvalidInput

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
EMPTY_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("bytes_sent", "status", "keep_alive"),
    [(PLAIN, 200, True), (CHUNKED, 503, True), (EMPTY_CHUNKED, 200, True), (CLOSING, 200, False)],
)
def test_an_answer_is_complete_with_its_last_byte(bytes_sent: bytes, status: int, keep_alive: bool) -> None:
    for size in range(len(bytes_sent)):
        assert read_answer(bytes_sent[:size]) is None
    assert read_answer(bytes_sent) == Answer(status, keep_alive, len(bytes_sent))


def test_what_follows_an_answer_is_not_part_of_it() -> None:
    answer = read_answer(PLAIN + b"HTTP/1.1 200 OK\r\n")
    assert answer is not None
    assert answer.size_bytes == len(PLAIN)


@pytest.mark.parametrize(
    "bytes_sent", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n"]
)
def test_what_is_not_http_is_refused(bytes_sent: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer(bytes_sent)


def test_a_target_is_an_address_with_a_request() -> None:
    target = Target.parse("http://127.0.0.1:8080/feed?x=1")
    assert (target.host, target.port) == ("127.0.0.1", 8080)
    assert target.request.startswith(b"GET /feed?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "127.0.0.1:80", "http:///path"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Target.parse(url)
