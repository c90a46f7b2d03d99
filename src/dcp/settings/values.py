"""Values that several parts of `dcp.yaml` use: sizes, names, labels, prices."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from dcp.hosts.model import Resources
from dcp.kernel.units import parse_bytes, parse_cpu_millis
from dcp.orchestration.services.validate import NAME

LABEL = r"^[A-Za-z0-9][A-Za-z0-9_./-]*$"


def cpu_millis(value: Any) -> int:
    """Return thousandths of a processor above 0. Raises ValueError."""
    found = parse_cpu_millis(value) if isinstance(value, str | int | float) else 0
    if found <= 0:
        raise ValueError("not a number of processors above 0 such as 0.5")
    return found


def memory_bytes(value: Any) -> int:
    """Return bytes above 0. Raises ValueError."""
    found = parse_bytes(value) if isinstance(value, str | int) else 0
    if found <= 0:
        raise ValueError("not a size above 0 such as 512M")
    return found


def _name(value: str) -> str:
    if not NAME.fullmatch(value) or len(value) > 40:
        raise ValueError("not a name: use lower-case letters, digits, - and _, at most 40")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float | str):
        raise ValueError("not a whole number of hosts")
    return value


def _label_value(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def refuse_twice(names: list[str], noun: str) -> None:
    """Raise ValueError for a name that stands there twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two {noun}s called {name}")


def _pieces(value: Any) -> Any:
    if isinstance(value, bool | float | str):
        raise ValueError("not a whole number of pieces")
    return value


Cpus = Annotated[int, BeforeValidator(cpu_millis)]
Memory = Annotated[int, BeforeValidator(memory_bytes)]
Name = Annotated[str, AfterValidator(_name)]
Labels = dict[Annotated[str, Field(pattern=LABEL)], Annotated[str, BeforeValidator(_label_value)]]
Pieces = Annotated[int, BeforeValidator(_pieces), Field(ge=0, le=1_000_000)]
PLAIN = frozenset({"cpu", "cpus", "memory", "disk"})


def _not_plain(value: dict[str, int]) -> dict[str, int]:
    for name in sorted(value.keys() & PLAIN):
        raise ValueError(f"{name} has a key of its own")
    return value


class Sized(BaseModel):
    """What a host has beside processors and memory."""

    disk: Memory | None = None
    resources: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,39}$")], Pieces], AfterValidator(_not_plain)
    ] = Field(default_factory=dict)

    def with_more(self, plain: Resources) -> Resources:
        """Return processors and memory with the rest of what the host has."""
        extra = tuple(sorted((name, count) for name, count in self.resources.items() if count))
        return replace(plain, disk_bytes=self.disk or 0, extra=extra)


Clusters = list[Name]
"""Clusters that may use something; empty: all."""
SourceQuota = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1_000_000)]
"""Hosts of a source at once, at most."""
Price = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
MinimumSeconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
