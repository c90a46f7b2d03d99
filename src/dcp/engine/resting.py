"""Remembers which instances of one service are at rest, and for how long what was observed of them holds."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dcp.hosts.model import Host
from dcp.orchestration.services.decide import InstanceView
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.rest import is_steady, waits


@dataclass(frozen=True, slots=True)
class _Resting:
    """An instance as it was when nothing was to be decided for it; rows that do not change are the same objects."""

    instance: Instance
    host: Host | None
    until: float
    steady: bool


class Resting:
    """Instances that a look can pass over."""

    def __init__(self) -> None:
        self._resting: dict[str, _Resting] = {}

    @property
    def steady(self) -> int:
        """Return how many of them serve."""
        return sum(one.steady for one in self._resting.values())

    def wake(
        self, own: Iterable[Instance], hosts: Mapping[str, Host], doubtful: Collection[str], now: float
    ) -> tuple[Instance, ...]:
        """Return those of `own` that are not at rest any more, and forget all but those that still are."""
        awake: list[Instance] = []
        resting: dict[str, _Resting] = {}
        for instance in own:
            known = self._resting.get(instance.id)
            if (
                known is None
                or known.instance is not instance
                or known.host is not hosts.get(instance.host_id)
                or now >= known.until
                or instance.id in doubtful
            ):
                awake.append(instance)
            else:
                resting[instance.id] = known
        self._resting = resting
        return tuple(awake)

    def rest(self, view: InstanceView, host: Host | None, fresh_until: float) -> None:
        """Let an instance rest if nothing is to be decided for it; what serves no longer than it was observed for."""
        steady = is_steady(view)
        if steady or waits(view):
            until = fresh_until if steady else math.inf
            self._resting[view.instance.id] = _Resting(view.instance, host, until, steady)
