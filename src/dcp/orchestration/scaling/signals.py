"""What the signals of a service ask for. Pure.

Each window has one figure of a signal, or none. A service grows to what the lowest of the newest `agree` figures needs:
one high figure alone does nothing. It keeps what the highest of all figures needs, and while any figure is missing it
keeps what it has. Of several signals the highest demand wins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcp.orchestration.services.signals import Signal

ROUNDING = 1e-9
Figures = Sequence[float | None]
"""Newest last; None where it could not be read."""


@dataclass(frozen=True, slots=True)
class SignalDemand:
    """Instances that signals ask for, which one asks for most, and which are not known."""

    grow_to: int = 0
    keep: int = 0
    words: str = ""
    """Of the signal that asks for most."""
    unsure: tuple[str, ...] = ()
    """Signals with figures missing."""


def signal_demand(signals: Sequence[Signal], figures: Mapping[str, Figures], windows: int, agree: int) -> SignalDemand:
    """Return the demand of all signals of a service, from at most `windows` figures each."""
    grow_to, keep, words = 0, 0, ""
    unsure: list[str] = []
    for signal in signals:
        seen = tuple(figures.get(signal.name, ()))[-windows:]
        known = [figure for figure in seen if figure is not None]
        if len(known) < windows:
            unsure.append(signal.name)
        newest = seen[-agree:]
        if len(newest) == agree and None not in newest:
            lowest = min(known[-agree:])
            if (needed := _instances(lowest, signal)) > grow_to:
                grow_to, words = needed, f"signal {signal.name} is {lowest:g}, {signal.per_instance:g} an instance"
        keep = max([keep, *(_instances(figure, signal) for figure in known)])
    return SignalDemand(grow_to, keep, words, tuple(unsure))


def _instances(figure: float, signal: Signal) -> int:
    return max(0, math.ceil(figure / signal.per_instance - ROUNDING))
