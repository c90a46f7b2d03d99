"""What a lab is asked to be. Its names, addresses and folders follow from this and its directory."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dcp.kernel.errors import InvalidInput, Problem

NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,8}[a-z0-9])?")
"""Ten characters: a link's name has 15 at most, and `-h120` is added."""
MAX_HOSTS = 120
MAX_SITES = 100
MAX_HOSTS_OF_SITE = 100
MAX_SOCKET_PATH = 107
"""Bytes in the path of a unix socket (unix(7)); the longest is `/hosts/h120/docker.sock` below the directory."""
DEFAULT_PARENT = Path("/var/lib/dcp-lab")


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A lab: `hosts` hosts in `sites` sites, in the network 10.`octet`.0.0/16. Limits of None mean none."""

    name: str = "dcp"
    hosts: int = 4
    sites: int = 1
    octet: int = 99
    cpu_millis: int | None = None
    memory_bytes: int | None = None
    registries: bool = False
    line_mbit: float | None = None
    host_mbit: float | None = None
    live_restore: bool = True
    """Containers outlive their engine. Swarm mode does not work with it."""
    engine_arguments: tuple[str, ...] = ()
    """Further arguments of every `dockerd`."""
    registry_config: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the configuration of every registry: `auth`, `notifications`, `proxy` and so on."""

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON values."""
        return asdict(self)


def spec_from_json(value: Mapping[str, Any]) -> LabSpec:
    """Read what `to_json` gave. Raises TypeError or KeyError for anything else."""
    return LabSpec(**{**value, "engine_arguments": tuple(value["engine_arguments"])})


def check(spec: LabSpec, directory: Path) -> None:
    """Raise InvalidInput with everything that is wrong."""
    problems = tuple(_problems(spec, directory))
    if problems:
        raise InvalidInput(problems, subject="the lab")


def _problems(spec: LabSpec, directory: Path) -> Iterator[Problem]:
    if not NAME.fullmatch(spec.name):
        yield Problem("name", f"{spec.name!r} is not a name", "lower-case letters, digits and -, at most 10")
    if not 1 <= spec.sites <= MAX_SITES:
        yield Problem("sites", f"{spec.sites} is not between 1 and {MAX_SITES}")
    elif not spec.sites <= spec.hosts <= MAX_HOSTS:
        yield Problem("hosts", f"{spec.hosts} is not between {spec.sites} (one a site) and {MAX_HOSTS}")
    elif -(-spec.hosts // spec.sites) > MAX_HOSTS_OF_SITE:
        yield Problem("hosts", f"a site has room for {MAX_HOSTS_OF_SITE}", "more sites")
    if not 0 <= spec.octet <= 255:
        yield Problem("octet", f"{spec.octet} is not between 0 and 255")
    for name in ("cpu_millis", "memory_bytes", "line_mbit", "host_mbit"):
        value = getattr(spec, name)
        if value is not None and value <= 0:
            yield Problem(name, f"{value} is not above 0")
    if len(str(directory)) + len("/hosts/h120/docker.sock") > MAX_SOCKET_PATH:
        yield Problem("dir", f"{directory} is too long for the path of a unix socket", "a shorter directory")
