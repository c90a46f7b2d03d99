"""Scores: which of the hosts that can take an instance is best.

Four parts, weighted so that an earlier one outweighs all later ones together: a ready host before one that is still
coming, a private host before a cloud host, a host with few instances of the same service before one with many, a full
host before an empty one. The last keeps instances on few hosts, so that others become empty and can be given back.
The third halves from the first instance to the second and so on; beyond about ten instances of one service on every
host, filling a host may count for more than evenness.

For instances with an image a part stands beside the spread: a host that has the image need not be waited for. It
outweighs one instance of the service more or less from the second one on, so that the first ones are still spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dcp.scheduling.fleet import Fleet
from dcp.scheduling.model import Ask

READY = 1000.0
PRIVATE = 100.0
SPREAD = 99.0
"""For a host without an instance of the service; divided by one more than it has."""
IMAGE = 20.0
"""For a host that has the image; then a host without an instance of the service gets that much less than SPREAD."""
FULL = 1.0
"""For a host that the instance fills to the last; in proportion below."""

Figures = NDArray[np.float64]
OneOrAll = TypeVar("OneOrAll", float, Figures)


@dataclass(slots=True)
class HostScore:
    """The score of one host for the next instance, kept up to date while instances are put there."""

    position: int
    ready: float
    private: float
    same: float
    share: float
    """Used share of the host once the next instance is there: the mean of processor and memory."""
    share_of_one: float
    image: float | None = None
    """None: the instance has no image to wait for."""

    def total(self) -> float:
        return self.ready + self.private + self._spread() + (self.image or 0.0) + FULL * self.share

    def parts(self) -> Mapping[str, float]:
        """Return the parts by name; they add up to the total."""
        return {
            "ready": self.ready,
            "private": self.private,
            "spread": self._spread(),
            **({} if self.image is None else {"image": self.image}),
            "full": FULL * self.share,
        }

    def _spread(self) -> float:
        return _spread(self.same, self.image is not None)

    def add_one(self) -> None:
        """Count one more instance as put there."""
        self.same += 1
        self.share += self.share_of_one


def best_hosts(fleet: Fleet, ask: Ask, fits: NDArray[np.int64]) -> list[HostScore]:
    """Return the scores of the hosts that may get an instance of `ask`, best first; at most `ask.count` of them.

    More are never used: a further host gets its first instance only when it is the best of those that have none.
    """
    ready, private = np.where(fleet.ready, READY, 0.0), np.where(fleet.private, PRIVATE, 0.0)
    same = fleet.same(ask.service).astype(np.float64)
    share_of_one = _share(fleet, ask.resources.cpu_millis, ask.resources.memory_bytes)
    share = _share(fleet, fleet.cpu_total - fleet.cpu_free, fleet.memory_total - fleet.memory_free) + share_of_one
    image = _image(fleet, ask.image) if ask.image else None
    preferred = ready + private + _spread(same, image is not None) + FULL * share
    total = np.where(fits > 0, preferred if image is None else preferred + image, -np.inf)
    best = np.argsort(-total, kind="stable")[: min(ask.count, int(np.count_nonzero(fits > 0)))]
    return [
        HostScore(
            position=position,
            ready=float(ready[position]),
            private=float(private[position]),
            same=float(same[position]),
            share=float(share[position]),
            share_of_one=float(share_of_one[position]),
            image=None if image is None else float(image[position]),
        )
        for position in best.tolist()
    ]


def _spread(same: OneOrAll, with_image: bool) -> OneOrAll:
    return (SPREAD - IMAGE if with_image else SPREAD) / (1.0 + same)


def _image(fleet: Fleet, image: str) -> Figures:
    return np.array([IMAGE if image in host.images else 0.0 for host in fleet.hosts], dtype=np.float64)


def _share(fleet: Fleet, cpu_millis: int | NDArray[np.int64], memory_bytes: int | NDArray[np.int64]) -> Figures:
    cpu: Figures = cpu_millis / np.maximum(fleet.cpu_total, 1)
    memory: Figures = memory_bytes / np.maximum(fleet.memory_total, 1)
    return (cpu + memory) / 2
