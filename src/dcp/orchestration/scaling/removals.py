"""What leaves first when there is too much: which instances of a service, and which empty hosts.

The order gives back what costs most and is worth least: what is on a broken host, what does not serve yet, the cloud
before the private pool. Cloud hosts that are nearly empty go before full ones, so that whole hosts stop costing; on
private hosts the newest instance goes first, so that what is left stands where it stood before the surge.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from dcp.hosts.model import Host, SourceKind
from dcp.hosts.states import USABLE, HostState
from dcp.orchestration.scaling.verdict import span_of
from dcp.orchestration.services.model import Instance
from dcp.orchestration.services.states import LIVE, WANTED, InstanceState


def choose_removals(
    instances: tuple[Instance, ...],
    count: int,
    hosts: Mapping[str, Host],
    on_host: Mapping[str, int] | None = None,
) -> tuple[tuple[Instance, str], ...]:
    """Return the `count` instances that leave first, each with the reason in words.

    Instances that leave or have ended are not chosen again. `on_host` counts the instances of all services on each
    host; without it only `instances` count. Fewer than `count` are returned when there are no more.
    """
    there = Counter(one.host_id for one in instances if one.state in LIVE) if on_host is None else on_host
    wanted = [one for one in instances if one.state in WANTED and not one.leave_reason]
    first = sorted(wanted, key=lambda one: _rank(one, hosts.get(one.host_id), there.get(one.host_id, 0)))
    return tuple((one, _words(one, hosts.get(one.host_id))) for one in first[: max(0, count)])


def idle_hosts(
    hosts: Iterable[Host],
    instances: Iterable[Instance],
    now: float,
    linger_s: float,
    empty_since: Mapping[str, float],
    keep: Collection[str] = (),
) -> tuple[tuple[Host, str], ...]:
    """Return the hosts to give back, each with the reason in words: ready, empty for `linger_s`, cloud before private.

    A private host is given back only once no empty ready cloud host is left. A host with an instance that holds
    resources there, even one that is only placed, is not empty. `keep` names hosts that are never given back.
    """
    taken = {one.host_id for one in instances if one.state in LIVE}
    empty = [host for host in hosts if host.state is HostState.READY and host.id not in taken and host.id not in keep]
    cloud = [host for host in empty if host.kind is SourceKind.CLOUD]
    first = sorted(cloud or empty, key=lambda host: (-host.host_type.price_usd_per_hour, -host.requested_at, host.id))
    return tuple(
        (host, f"empty for {span_of(now - empty_since[host.id])} ({span_of(linger_s)} are waited)")
        for host in first
        if host.id in empty_since and now - empty_since[host.id] >= linger_s
    )


Rank = tuple[bool, bool, bool, float, int, str, float, str]


def _rank(instance: Instance, host: Host | None, on_host: int) -> Rank:
    """Return a key that sorts what leaves first to the front; instances of one host stay together."""
    return (
        host is not None and host.state in USABLE,
        instance.state is InstanceState.SERVING,
        host is not None and host.kind is SourceKind.PRIVATE,
        -host.host_type.price_usd_per_hour if host is not None else 0.0,
        *((on_host, instance.host_id) if host is not None and host.kind is SourceKind.CLOUD else (0, "")),
        -instance.created_at,
        instance.id,
    )


def _words(instance: Instance, host: Host | None) -> str:
    if host is not None and host.state is HostState.CORDONED and host.claimed_by is not None:
        others = f"cluster {host.claimed_by}, whose it is, claims it back"
        return f"its host {host.id} has to be left: {others}; at its time also without room elsewhere"
    if host is None or host.state not in USABLE:
        return f"its host {instance.host_id} is {host.state if host else 'not known'}"
    if instance.state is not InstanceState.SERVING:
        return f"it does not serve yet ({instance.state})"
    if host.kind is SourceKind.CLOUD:
        return (
            f"it is on a cloud host ({host.id} at ${host.host_type.price_usd_per_hour:g} an hour): cloud leaves first"
        )
    return f"all left are on private hosts: the newest instance first (it is on {host.id})"
