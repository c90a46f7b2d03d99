"""Instances at rest: nothing is decided for them until they, their host, or what is observed of them changes.

Most instances serve well or wait for a host most of the time. A look at a service with thousands of them decides only
for the others.
"""

from dcp.hosts.states import COMING
from dcp.orchestration.services.decide import HOST_GONE, InstanceView
from dcp.orchestration.services.states import InstanceState


def waits(view: InstanceView) -> bool:
    """Return whether the instance waits for its host and for nothing else: only a change of either row matters."""
    return view.instance.state == InstanceState.PLACED and not view.instance.leave_reason and view.host_state in COMING


def is_steady(view: InstanceView) -> bool:
    """Return whether the instance serves, looks well and is to stay: no step follows, whatever others do."""
    instance, seen, health = view.instance, view.observation, view.health
    return (
        instance.state == InstanceState.SERVING
        and instance.serving_at is not None
        and not instance.leave_reason
        and view.reachable
        and view.host_state not in HOST_GONE
        and seen is not None
        and seen.running
        and health is not None
        and health.healthy
    )
