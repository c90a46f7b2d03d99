"""Whether a specification fits the runtime: what only containers can be given, and what a container must say.

Pure. Apart from `validate`, because the same file may be applied to another runtime.
"""

from collections.abc import Iterable, Iterator

from dcp.kernel.errors import Problem
from dcp.orchestration.services.container import ContainerSpec, NetworkMode
from dcp.orchestration.services.model import ApplicationSpec, ServiceKey, ServiceSpec

_NEEDS_CONTAINERS = {
    "user": "user",
    "read_only": "read_only",
    "cap_add": "cap_add",
    "pids_limit": "pids_limit",
    "mounts": "volumes",
    "secrets": "secrets",
    "extra_hosts": "extra_hosts",
    "host_port": "ports",
}
"""Parts of a container whose absence would change what runs, and where they stand in the file."""


def problems_of_containers(
    spec: ApplicationSpec, *, containers: bool, underlay: bool, others: Iterable[ApplicationSpec] = ()
) -> tuple[Problem, ...]:
    """Return what does not fit a runtime that runs `containers` (or not), with an `underlay` network configured or not.

    `others` are the other applications: two services with the same fixed port of the host could not share hosts.
    """
    problems: list[Problem] = []
    for service in spec.services:
        problems += _on_containers(service, underlay) if containers else _on_processes(service)
    return (*problems, *_shared_ports(spec, others))


def _on_processes(service: ServiceSpec) -> Iterator[Problem]:
    at, untouched = f"services.{service.name}", ContainerSpec()
    for part, key in _NEEDS_CONTAINERS.items():
        if getattr(service.container, part) != getattr(untouched, part):
            hint = "set runtime.kind to docker in dcp.yaml, or remove the key"
            yield Problem(f"{at}.{key}", "needs containers, and instances are processes here", hint)
    if service.container.network is NetworkMode.UNDERLAY:
        hint = "set runtime.kind to docker in dcp.yaml, or remove the key"
        yield Problem(f"{at}.x-dcp.network", "needs containers, and instances are processes here", hint)
    if not service.command:
        yield Problem(f"{at}.command", "is missing: a process needs one, whatever the image", "state the command")


def _on_containers(service: ServiceSpec, underlay: bool) -> Iterator[Problem]:
    at = f"services.{service.name}"
    if not service.image:
        yield Problem(f"{at}.image", "is missing: instances are containers here", "state the image")
    if service.container.network is NetworkMode.UNDERLAY and not underlay:
        yield Problem(f"{at}.x-dcp.network", "no underlay network is configured", "state runtime.underlay in dcp.yaml")
    if service.container.network is not NetworkMode.HOST and service.target_port is None and service.health is not None:
        words = "the port inside the container is not stated"
        yield Problem(f"{at}.ports", words, "state ports or expose; only with network host is it given in PORT")


def _shared_ports(spec: ApplicationSpec, others: Iterable[ApplicationSpec]) -> Iterator[Problem]:
    holders = {
        service.container.host_port: ServiceKey(other.name, service.name)
        for other in others
        if other.name != spec.name
        for service in other.services
        if service.container.host_port is not None
    }
    for service in spec.services:
        port, key = service.container.host_port, ServiceKey(spec.name, service.name)
        if port is None:
            continue
        holder = holders.setdefault(port, key)
        if holder != key:
            words = f"port {port} of the hosts is already that of {holder}"
            yield Problem(f"services.{service.name}.ports", words, "use another port, or mode: ingress")
