"""An event: what happened to which subject, why, and the numbers that decided it.

Every refusal, placement, scaling step and pause leaves one. `dcp why` reads them back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Number = int | float | str


@dataclass(frozen=True, slots=True)
class Event:
    """`subject` is `kind/name` (`service/shop/feed`, `instance/feed-3`, `host/cloud-1`); `reason` is a stable code."""

    subject: str
    reason: str
    words: str
    before: str = ""
    after: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)
