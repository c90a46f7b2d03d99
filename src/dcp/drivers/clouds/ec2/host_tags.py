"""The ids of a call's hosts as tags, which all its machines carry alike.

Machine `i` of a launch (`AmiLaunchIndex`) is the host that stands at place `i`. So one call that makes many machines
says of each which host it is, and they carry that from their first moment: no second call, nothing to mend after a
crash in between. A tag's value has at most 256 characters, so ids in a row are written as a range, `main-3:7`, and what
does not fit goes on in the next tag.
"""

import re
from collections.abc import Iterable, Mapping

from dcp.kernel.errors import Rejected

HOSTS = "dcp-hosts"
VALUE_LIMIT = 256
TAG_LIMIT = 40
"""A machine has at most 50 tags."""
MOST_HOSTS = 1000
"""A range longer than any call is no range of ours."""
_ID = re.compile(r"[A-Za-z0-9._-]+")
_COUNTED = re.compile(r"(?P<stem>(?:.*[^0-9])?)(?P<number>0|[1-9][0-9]{0,17})")
_RANGE = re.compile(
    r"(?P<stem>(?:[A-Za-z0-9._-]*[A-Za-z._-])?)(?P<first>0|[1-9][0-9]{0,17}):(?P<last>[1-9][0-9]{0,17})"
)


def host_tags(host_ids: Iterable[str]) -> dict[str, str]:
    """Return the tags that say these ids in their order. Raises Rejected for ids that do not fit."""
    values: list[str] = []
    for word in _words(tuple(host_ids)):
        if values and len(values[-1]) + 1 + len(word) <= VALUE_LIMIT:
            values[-1] += f" {word}"
        else:
            values.append(word)
    if len(values) > TAG_LIMIT:
        raise Rejected(f"the ids of a call's hosts fill {len(values)} tags", hint="a smaller batch")
    return {_key(number): value for number, value in enumerate(values)}


def tagged_hosts(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids in their order; none for tags that are not as we write them."""
    found: list[str] = []
    number = 0
    while (value := tags.get(_key(number))) is not None:
        for word in value.split(" "):
            ids = _ids(word)
            if not ids or len(found) + len(ids) > MOST_HOSTS:
                return ()
            found.extend(ids)
        number += 1
    return tuple(found) if len(set(found)) == len(found) else ()


def in_order(host_ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids so that those in a row stand together."""
    return tuple(sorted(set(host_ids), key=_rank))


def _rank(host_id: str) -> tuple[str, int, str]:
    stem, number = _split(host_id)
    return stem, -1 if number is None else number, host_id


def _split(host_id: str) -> tuple[str, int | None]:
    match = _COUNTED.fullmatch(host_id)
    return (match["stem"], int(match["number"])) if match else (host_id, None)


def _words(host_ids: tuple[str, ...]) -> list[str]:
    """Return ids and ranges of ids in a row."""
    words: list[str] = []
    first: tuple[str, int, int] | None = None
    for host_id in host_ids:
        if not _ID.fullmatch(host_id) or len(host_id) > VALUE_LIMIT // 2:
            raise Rejected(f"host {host_id!r} cannot be told in a tag", hint="letters, digits, . _ and -")
        stem, number = _split(host_id)
        if first is not None and number is not None and (stem, number) == (first[0], first[2] + 1):
            first = (stem, first[1], number)
            words[-1] = f"{stem}{first[1]}:{number}"
            continue
        first = None if number is None else (stem, number, number)
        words.append(host_id)
    return words


def _ids(word: str) -> list[str]:
    match = _RANGE.fullmatch(word)
    if match is None:
        return [word] if _ID.fullmatch(word) else []
    first, last = int(match["first"]), int(match["last"])
    if not first < last < first + MOST_HOSTS:
        return []
    return [f"{match['stem']}{number}" for number in range(first, last + 1)]


def _key(number: int) -> str:
    return f"{HOSTS}-{number}" if number else HOSTS
