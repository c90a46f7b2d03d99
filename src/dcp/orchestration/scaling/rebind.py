"""What waits on a host that is still coming goes to one that is ready and has room.

Hosts of one shape are alike, so nothing is won by waiting for a certain one. What waits for a private host does not go
to a cloud host. Room is looked for as for new instances, after those of the same plan; so nothing is over-committed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import COMING, HostState
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.orchestration.services.states import InstanceState
from dcp.scheduling.change import depends_on_others
from dcp.scheduling.model import Ask, Candidate
from dcp.scheduling.place import place


@dataclass(frozen=True, slots=True)
class Rebind:
    """Let `instance`, which is placed and was not started, wait for `host_id` instead."""

    instance: Instance
    host_id: str
    words: str


def decide_rebinds(
    instances: Iterable[Instance],
    hosts: Mapping[str, Host],
    candidates: Sequence[Candidate],
    ask_of: Callable[[str, int], Ask],
    seed: int,
    avoided: Collection[str] = (),
) -> tuple[Rebind, ...]:
    """Return who goes where. `instances` in the order in which services come first; `ask_of(service, count)` asks.

    Where rules look at other hosts, which are not looked at here, an instance waits for its own; so do those of the
    services `avoided` in whole domains.
    """
    waiting: dict[str, list[Instance]] = {}
    for instance in instances:
        host = hosts.get(instance.host_id)
        if host is not None and _waits(instance, host):
            waiting.setdefault(instance.service, []).append(instance)
    ready = tuple(one for one in candidates if one.ready and one.total != one.used)
    if not waiting or not ready:
        return ()
    asks = tuple(ask for name, group in waiting.items() if not _stays(ask := ask_of(name, len(group)), avoided))
    left = {name: sorted(group, key=lambda one: _last_first(one, hosts)) for name, group in waiting.items()}
    return tuple(
        _rebind(left[ServiceKey.parse(assignment.service).name].pop(), assignment.host_id, hosts)
        for assignment in place(asks, ready, seed).assignments
    )


def rebound(found: Iterable[Rebind]) -> tuple[Instance, ...]:
    """Return the instances as they are then."""
    return tuple(replace(one.instance, host_id=one.host_id) for one in found)


def _stays(ask: Ask, avoided: Collection[str]) -> bool:
    return depends_on_others(ask) or ask.service in avoided


def _waits(instance: Instance, host: Host) -> bool:
    coming = host.state in COMING and host.kind is SourceKind.CLOUD
    return coming and instance.state is InstanceState.PLACED and not instance.leave_reason


def _last_first(instance: Instance, hosts: Mapping[str, Host]) -> tuple[bool, float, str]:
    """Sort those whose host was not asked for yet, then those whose host was asked for last, to the end."""
    host = hosts[instance.host_id]
    return host.state is HostState.REQUESTED, host.billed_from or host.requested_at, instance.id


def _rebind(instance: Instance, host_id: str, hosts: Mapping[str, Host]) -> Rebind:
    before = hosts[instance.host_id]
    return Rebind(instance, host_id, f"{host_id} is ready; {before.id}, which it waited for, is {before.state}")
