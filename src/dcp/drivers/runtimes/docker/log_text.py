"""What an engine gives as a container's output: frames of one stream each, joined here into lines. Pure."""

import struct

_HEADER = struct.Struct(">BxxxL")


def lines_of(raw: bytes) -> tuple[str, ...]:
    """Return the lines of both streams in the order in which they were written."""
    parts, at = [], 0
    while at + _HEADER.size <= len(raw):
        _, length = _HEADER.unpack_from(raw, at)
        parts.append(raw[at + _HEADER.size : at + _HEADER.size + length])
        at += _HEADER.size + length
    return tuple(b"".join(parts).decode(errors="replace").splitlines())
