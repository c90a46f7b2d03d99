"""Hosts at rest: nothing is decided for them until they change, are shown otherwise, or a signal names them.

Most hosts are at rest most of the time. A look at a source with thousands of them decides only for the others.
"""

import math
from collections.abc import Mapping

from dcp.hosts.cost.prices import repriced
from dcp.hosts.model import Host, SourceHost, SourceHostState
from dcp.hosts.states import HostState
from dcp.hosts.view import EngineLook, is_there

AWAKE = -math.inf


def rests_until(host: Host, seen: SourceHost | None, boot_limit_s: float) -> float:
    """Return until when no step follows for the host as it is and as its source shows it, unless a signal names it.

    AWAKE: it is looked at each time. The signals are those of `signalled`.
    """
    if seen is None or not is_there(seen) or seen.refusal is not None or repriced(host, seen) is not None:
        return AWAKE
    if host.state is HostState.READY and seen.leave_by is None and host.leave_by is None:
        return math.inf
    if host.state is HostState.BOOTING and seen.state is SourceHostState.PENDING:
        return boot_limit_s + (host.requested_at if host.billed_from is None else host.billed_from)
    return AWAKE


def signalled(engines: Mapping[str, EngineLook], *words: Mapping[str, str]) -> frozenset[str]:
    """Return hosts that something is said about: engines that do not answer, and all that any of `words` names."""
    silent = (host_id for host_id, look in engines.items() if not look.answers)
    return frozenset(silent).union(*words)
