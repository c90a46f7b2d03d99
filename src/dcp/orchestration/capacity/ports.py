"""Where figures come from that others measure."""

from typing import Protocol


class Metrics(Protocol):
    """A server of metrics."""

    async def value(self, query: str) -> float:
        """Return the one number that a query gives now.

        Raises Rejected for a query that cannot be read or gives several numbers, DriverError where there is none, it is
        not finite, or the server does not answer.
        """
        ...
