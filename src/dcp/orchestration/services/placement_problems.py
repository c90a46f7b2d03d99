"""What makes rules and wishes of placement impossible."""

import math
import re
from collections.abc import Iterator

from dcp.kernel.errors import Problem
from dcp.orchestration.services.placement import (
    LEANINGS,
    MOST_PRIORITY,
    PARTS,
    STRATEGIES,
    PlacementRules,
    PlacementWishes,
)

_LABEL = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)?", re.ASCII)
_MOST_WEIGHT = 1e6


def problems_of_placement(rules: PlacementRules, wishes: PlacementWishes, at: str) -> Iterator[Problem]:
    """Yield every fault; `at` is the path of `x-dcp.placement`."""
    yield from _rule_problems(rules, at)
    for side, some in (("beside", rules.beside), ("apart", rules.apart)):
        for position, one in enumerate(some):
            path = f"{at}.{side}.{position}"
            if not _SERVICE.fullmatch(one.service):
                yield Problem(path, f"{one.service!r} is not a service", "write name, or application/name")
            if not _LABEL.fullmatch(one.within):
                yield Problem(f"{path}.within", f"{one.within!r} is not a label", "host, or a label such as zone")
    for position, level in enumerate(rules.spread):
        path = f"{at}.spread.{position}"
        if not _LABEL.fullmatch(level.label):
            yield Problem(f"{path}.over", f"{level.label!r} is not a label", "such as site, zone or rack")
        if level.max_skew is not None and level.max_skew < 1:
            yield Problem(f"{path}.max_skew", "must be 1 or more", "1 is as even as can be")
    yield from _wish_problems(wishes, at)


def _rule_problems(rules: PlacementRules, at: str) -> Iterator[Problem]:
    for key, values in (
        ("sites", rules.sites),
        ("hardware", rules.hardware),
        ("dedicated", (rules.dedicated,)),
        ("heavy", (rules.heavy,)),
    ):
        for value in values:
            if value and not _WORD.fullmatch(value):
                yield Problem(f"{at}.{key}", f"{value!r} is not a word", "letters, digits, -, _ and .")
    if rules.leans and rules.leans not in LEANINGS:
        yield Problem(f"{at}.leans", f"{rules.leans!r} is not known", f"use {' or '.join(LEANINGS)}")


def _wish_problems(wishes: PlacementWishes, at: str) -> Iterator[Problem]:
    if wishes.strategy not in STRATEGIES:
        yield Problem(f"{at}.strategy", f"{wishes.strategy!r} is not known", f"use {', '.join(STRATEGIES)}")
    for name, weight in wishes.weights:
        if name not in PARTS:
            yield Problem(f"{at}.weights.{name}", "is not a part of the score", f"there are {', '.join(PARTS)}")
        elif not math.isfinite(weight) or abs(weight) > _MOST_WEIGHT:
            yield Problem(f"{at}.weights.{name}", f"{weight:g} is no weight", "up to 1,000,000 either way")
    if not 0 <= wishes.priority <= MOST_PRIORITY:
        yield Problem(f"{at}.priority", f"{wishes.priority} is out of range", f"from 0 to {MOST_PRIORITY}")
    if wishes.group and not _WORD.fullmatch(wishes.group):
        yield Problem(f"{at}.group", f"{wishes.group!r} is not a word", "letters, digits, -, _ and .")
