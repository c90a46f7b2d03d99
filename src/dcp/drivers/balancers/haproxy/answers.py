"""What HAProxy's processes answer, read as values. Pure.

Its words mean (tried with 2.6): a backend's `stot` counts requests when they arrive, `hrsp_*` when they are complete;
`scur` are those under way, without idle connections; `srv_abrt` are answers that an instance cut off, `cli_abrt`
requests whose client went away, and both are counted among the statuses too (a client that saw nothing as 400).
A request on a kept connection whose instance ended before it answered has no status at all: HAProxy then closes the
connection without a word, so that the client sends it again. It is the rest that no other counter explains.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from dcp.drivers.balancers.haproxy.configuration import BANDS
from dcp.drivers.balancers.haproxy.names import is_service, place_of, service_of
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import EndpointStatus, Traffic

BACKENDS, SERVERS, SOCKETS = 2, 4, 8
"""Kinds of rows, as `show stat` takes them (a sum of bits)."""

_KIND_BACKEND, _KIND_SERVER, _KIND_SOCKET = "1", "2", "3"
_ENTRY = re.compile(r"key=(\S+) .*?exp=\S+(.*)$", re.MULTILINE)
_COUNTER = re.compile(r"gpc(\d+)=(\d+)")


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes behind a master: the one that serves (None: none yet) and those that finish what they have."""

    reloads: int
    current: int | None
    leaving: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """One server as HAProxy has it. Disabled is how it leaves: no request can go there, and it can be deleted."""

    name: str
    weight: int
    disabled: bool
    active_requests: int


def read_workers(text: str) -> Workers:
    """Return what `show proc` says."""
    reloads, current, leaving = 0, None, []
    old = False
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#"):
            old = line.startswith("# old")
        elif len(words) >= 3 and words[1] == "master":
            reloads = int(words[2])
        elif len(words) >= 3 and words[1] == "worker":
            if old:
                leaving.append(int(words[0]))
            else:
                current = int(words[0])
    return Workers(reloads, current, tuple(leaving))


def is_stopping(text: str) -> bool:
    """Return whether the process that gave this answer to `show info` was told to finish."""
    return re.search(r"^Stopping: 1$", text, re.MULTILINE) is not None


def read_servers(text: str) -> tuple[Server, ...]:
    """Return the servers in an answer to `show stat`."""
    return tuple(
        Server(row["svname"], int(row["uweight"]), row["status"].startswith("MAINT"), int(row["scur"]))
        for row in _rows(text, _KIND_SERVER)
    )


def read_sockets(text: str) -> frozenset[tuple[str, str]]:
    """Return section and name of every listening socket in an answer to `show stat`."""
    return frozenset((row["pxname"], row["svname"]) for row in _rows(text, _KIND_SOCKET))


def endpoint_status(server: Server, leaving_requests: int) -> EndpointStatus:
    """Return the status of one server; `leaving_requests` are those that replaced processes still have there."""
    address, port = place_of(server.name)
    return EndpointStatus(address, port, server.weight == 0, server.active_requests + leaving_requests)


def read_traffic(stat: str, table: str) -> dict[ServiceKey, Traffic]:
    """Return the counters of every service in the answers to `show stat` and `show table`."""
    bands = {name: _bands(found) for name, found in _ENTRY.findall(table)}
    rows = [row for row in _rows(stat, _KIND_BACKEND) if is_service(row["pxname"])]
    return {service_of(row["pxname"]): _traffic(row, bands.get(row["pxname"], (0,) * BANDS)) for row in rows}


def _traffic(row: Mapping[str, str], bands: tuple[int, ...]) -> Traffic:
    number = {word: int(value) for word, value in row.items() if value and value.isdigit()}
    cut, gone = number["srv_abrt"], number["cli_abrt"]
    complete = sum(number[f"hrsp_{kind}"] for kind in ("1xx", "2xx", "3xx", "4xx", "other"))
    without_a_word = max(0, number["stot"] - number["scur"] - complete - number["hrsp_5xx"])
    return Traffic(
        arrived=number["stot"],
        answered=max(0, complete - cut - gone),
        failed=number["hrsp_5xx"] + cut + without_a_word,
        waiting=number["scur"],
        by_latency=tuple(accumulate(bands)),
    )


def _bands(counters: str) -> tuple[int, ...]:
    found = {int(place): int(count) for place, count in _COUNTER.findall(counters)}
    return tuple(found.get(place, 0) for place in range(BANDS))


def _rows(text: str, kind: str) -> Iterator[dict[str, str]]:
    if not text.startswith("# pxname"):
        raise DriverError(f"the proxy did not show its statistics: {text.strip()[:200]}")
    lines = [line for line in text[2:].splitlines() if line]
    return (row for row in csv.DictReader(lines) if row["type"] == kind)
