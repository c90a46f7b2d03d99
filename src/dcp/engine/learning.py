"""Learns from the samples who calls whom how often, for plans to count on; tells what is not as it was declared."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from dcp.kernel.events import Event
from dcp.orchestration.capacity.calls import CallEstimate, CallVerdict, estimate_calls, merge
from dcp.store import applications, events, learned_calls, samples

EVERY_WINDOWS = 5
TOLD = frozenset({CallVerdict.DRIFTED, CallVerdict.UNSEEN, CallVerdict.LEARNED})


def learn_calls(connection: Connection, now: float) -> tuple[str, ...]:
    """Bring what is known of every application's calls up to date; return the applications where it changed."""
    changed = []
    for name in applications.names(connection):
        application = applications.find(connection, name)
        if application is None or not any(one.dependencies() for one in application.spec.services):
            continue
        before = learned_calls.find(connection, name)
        after = merge(before, estimate_calls(application.spec, samples.windows(connection, name)))
        if [_gist(one) for one in after] != [_gist(one) for one in before]:
            learned_calls.put(connection, name, now, after)
            events.append(connection, now, tuple(_news(name, before, after)))
            changed.append(name)
    return tuple(changed)


def _gist(one: CallEstimate) -> tuple[object, ...]:
    """Return what matters: the number of windows behind a figure does not."""
    return one.caller, one.callee, one.declared, one.learned, one.verdict


def _news(application: str, before: Sequence[CallEstimate], after: Sequence[CallEstimate]) -> Iterator[Event]:
    known = {(one.caller, one.callee): one for one in before}
    for one in after:
        old = known.get((one.caller, one.callee))
        if one.verdict not in TOLD or one.learned is None or (old is not None and old.planned == one.planned):
            continue
        declared = "nothing" if one.declared is None else f"{one.declared:g}"
        counted = "none" if one.planned is None else f"{one.planned:.2f}"
        words = (
            f"calls {one.callee} {one.learned:.2f} times a request ({one.low:.2f} to {one.high:.2f}), "
            f"{declared} was declared; plans count on {counted}"
        )
        numbers = {"learned": round(one.learned, 4), "windows": one.windows}
        yield Event(f"service/{application}/{one.caller}", f"calls-{one.verdict.value}", words, numbers=numbers)
