"""What the last stage of a Dockerfile stands on."""

import pytest

from dcp.images.dockerfile import base_of


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("FROM base/os:12\nRUN x", "base/os:12"),
        ("# comment\nfrom  base/os", "base/os"),
        ("FROM --platform=linux/amd64 base/os:12 AS build\nFROM build\n", "base/os:12"),
        ("FROM a AS one\nFROM b AS two\nFROM one\nCOPY --from=two x y", "a"),
        ("FROM scratch\nADD x /", ""),
        ("ARG VERSION=12\nFROM base/os:${VERSION}\nARG VERSION=13", "base/os:12"),
        ("ARG NAME\nFROM ${NAME:-base/os}:1", "base/os:1"),
        ('ARG V="3"\nFROM python:$V', "python:3"),
        ("FROM \\\n  base/os:1", "base/os:1"),
        ("RUN nothing", ""),
        ("", ""),
    ],
)
def test_bases(text: str, base: str) -> None:
    assert base_of(text) == base


def test_an_argument_goes_before_its_default() -> None:
    assert base_of("ARG V=1\nFROM base/os:$V", {"V": "2"}) == "base/os:2"
