"""For sources whose own interface takes one host at a time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from dcp.hosts.model import HostOrder
from dcp.hosts.ports import Refusals
from dcp.kernel.errors import DriverError

Subject = TypeVar("Subject", HostOrder, str)


async def each(subjects: Iterable[Subject], work: Callable[[Subject], Awaitable[None]]) -> Refusals:
    """Do `work` for each in turn, but not for carried orders; return what was raised, by host id."""
    refused: dict[str, DriverError] = {}
    for subject in subjects:
        if isinstance(subject, HostOrder) and subject.carried:
            continue
        try:
            await work(subject)
        except DriverError as error:
            refused[subject if isinstance(subject, str) else subject.host_id] = error
    return refused
