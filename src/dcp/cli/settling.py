"""Waits until an application is as it is wanted, and says what is in the way when it does not get there.

"As it is wanted" is what the engine itself says: its next plan would change nothing, and every service serves its
target with nothing coming or leaving.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.status import Status
from rich.text import Text

from dcp.api.client import Client
from dcp.cli.output import err
from dcp.cli.waiting import Patience
from dcp.kernel.errors import NotFound

LOOK_EVERY_S = 0.5
BRAKES = ("brake-", "watchdog-", "frozen")
"""What holds scaling back is no hindrance to what was applied."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the application settled; if not, why, in words; where its services listen."""

    settled: bool
    because: tuple[str, ...]
    urls: tuple[str, ...]


def wait_until_settled(api: Client, application: str, limit_s: float) -> Outcome:
    """Return when every service serves its target, or when the limit has passed; shows progress meanwhile."""
    patience = Patience(limit_s)
    with _Progress(f"{application}: ") as progress:
        while True:
            services = [one for one in api.services()["services"] if one["application"] == application]
            plan = api.next_plan(application)
            because = tuple(_in_the_way(services, plan))
            progress.tell(_line(services), because)
            if not because or patience.is_over:
                break
            patience.wait(LOOK_EVERY_S)
    urls = tuple(f"{one['name']}: {one['listen_url']}" for one in services)
    if because:
        _complain(application, limit_s, because)
    return Outcome(not because, because, urls)


def wait_until_gone(api: Client, application: str, limit_s: float) -> bool:
    """Return whether the application was forgotten within the limit; shows progress meanwhile."""
    patience = Patience(limit_s)
    with _Progress(f"{application}: ") as progress:
        while True:
            try:
                api.application(application)
            except NotFound:
                return True
            left = api.instances(application)["instances"]
            progress.tell(f"{len(left)} instances left", ())
            if patience.is_over:
                states = ", ".join(f"{one['id']} is {one['state']}" for one in left)
                _complain(application, limit_s, (states,) if states else ())
                return False
            patience.wait(LOOK_EVERY_S)


class _Progress:
    """A line that changes in place on a terminal; elsewhere a line at each change."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._console = err()
        self._status = Status("", console=self._console) if self._console.is_terminal else None
        self._said = ""

    def __enter__(self) -> "_Progress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, line: str, because: tuple[str, ...]) -> None:
        words = self._prefix + line
        if self._status is not None:
            held = f" – {because[0]}" if because else ""
            self._status.update(Text(words + held, overflow="ellipsis", no_wrap=True))
        elif words != self._said:
            self._console.print(words)
        self._said = words


def _line(services: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} {one['serving']}/{one['target']}" for one in services) or "no services yet"


def _in_the_way(services: list[dict[str, Any]], plan: dict[str, Any]) -> Iterator[str]:
    """Yield what is not as it is wanted, what is stuck before what is only under way."""
    stuck = [*(hold for hold in plan["holds"] if not hold["reason"].startswith(BRAKES)), *plan["unplaced"]]
    for one in stuck:
        yield f"{one['service'].rpartition('/')[2]}: {one['words']}"
    for one in services:
        moving = [f"{one[key]} {key}" for key in ("coming", "leaving") if one[key]]
        if one["serving"] != one["target"] or moving:
            detail = f" ({', '.join(moving)})" if moving else ""
            yield f"{one['name']}: {one['serving']} of {one['target']} serve{detail}"
    new = len(plan["instances"]) + len(plan["removals"]) + len(plan["hosts"])
    if new:
        yield f"the next plan has {new} steps to do"


def _complain(application: str, limit_s: float, because: tuple[str, ...]) -> None:
    console = err()
    console.print(Text.assemble(("not settled ", "bold yellow"), f"after {limit_s:g} s:"))
    for line in because:
        console.print(f"  {line}")
    console.print(
        Text.assemble(("  hint: ", "cyan"), f"dcp why {application}, dcp events; it goes on without this wait")
    )
