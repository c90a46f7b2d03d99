"""What the engine is asked to make for an order. Pure.

An instance gets exactly what it is ordered: every capability is dropped but the named ones, its processes can gain no
new rights, swap is not added to its memory, its log is bounded, and the engine never restarts it: dcp replaces.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from dcp.drivers.runtimes.docker import seen
from dcp.drivers.runtimes.docker.secrets import folders
from dcp.kernel.errors import Rejected
from dcp.orchestration.services.container import LogOptions, Mount, NetworkMode, Secret, VolumeKind
from dcp.orchestration.services.model import StartOrder

PERIOD_US = 100_000
BOUNDED_LOG = (("max-file", "3"), ("max-size", "10m"))
MAX_NAME = 128


@dataclass(frozen=True, slots=True)
class Given:
    """What is decided when it is started: the image as the engine names it, and where it is reached."""

    owner: str
    image: str
    host_port: int
    """The port of the host that it takes; 0: none."""
    network: str = ""
    """Name of the site's network on this engine; only for `underlay`."""


def container_name(owner: str, instance_id: str) -> str:
    """Return the one name that this instance's container can have; the engine lets no two have it."""
    return f"dcp-{owner}-{instance_id}"


def check_order(order: StartOrder) -> None:
    """Raise Rejected for what no engine could do."""
    mode = order.container.network
    allowed = all(c.isalnum() or c in "_.-" for c in order.instance_id)
    if not allowed or not 0 < len(order.instance_id) <= MAX_NAME or not order.instance_id.isascii():
        raise Rejected(f"{order.instance_id!r} cannot name a container")
    if not order.image:
        raise Rejected(f"{order.instance_id}: no image", hint="give the service an `image`")
    if mode in (NetworkMode.BRIDGE, NetworkMode.UNDERLAY) and not order.target_port:
        raise Rejected(f"{order.instance_id}: network mode {mode} needs the port inside the container (`ports`)")
    if mode is NetworkMode.UNDERLAY and not order.address:
        raise Rejected(f"{order.instance_id}: no address of the site's network was given")


def creation(order: StartOrder, given: Given) -> dict[str, Any]:
    """Return the body of `POST /containers/create`."""
    container = order.container
    body: dict[str, Any] = {
        "Image": given.image,
        "Env": [*(f"{name}={value}" for name, value in order.environment), f"PORT={inner_port(order, given)}"],
        "Labels": labels(order, given),
        "StopSignal": order.stop_signal,
        "StopTimeout": max(0, round(order.stop_grace_s)),
        "HostConfig": _host_config(order, given),
        **_arguments(order),
    }
    # The order's own is a folder of the machine where the Compose file stands; it means nothing inside.
    if container.working_dir:
        body["WorkingDir"] = container.working_dir
    if container.user:
        body["User"] = container.user
    if container.network is NetworkMode.BRIDGE:
        body["ExposedPorts"] = {f"{order.target_port}/tcp": {}}
    if container.network is NetworkMode.UNDERLAY:
        address = {"IPAMConfig": {"IPv4Address": order.address}}
        body["NetworkingConfig"] = {"EndpointsConfig": {given.network: address}}
    return body


def inner_port(order: StartOrder, given: Given) -> int:
    """Return the port that the instance has to listen on."""
    return given.host_port if order.container.network is NetworkMode.HOST else order.target_port or 0


def labels(order: StartOrder, given: Given) -> dict[str, str]:
    """Return everything that a restarted controller needs to know of the container again."""
    mode = order.container.network
    reached = order.target_port if mode is NetworkMode.UNDERLAY else given.host_port
    found = {
        seen.OWNER: given.owner,
        seen.INSTANCE: order.instance_id,
        seen.HOST: order.host_id,
        seen.APPLICATION: order.service.application,
        seen.SERVICE: order.service.name,
        seen.ORDER: digest(order),
        seen.PORT: str(reached),
    }
    if mode is not NetworkMode.UNDERLAY:
        found[seen.HOST_PORT] = str(given.host_port)
    else:
        found[seen.ADDRESS] = order.address
    if order.health is not None:
        found[seen.HEALTH] = seen.write_health(order.health)
    return found


def digest(order: StartOrder) -> str:
    """Return a short digest of everything in the order but the text of its secrets, which nothing may reveal."""
    return hashlib.sha256(repr(_plain(order)).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return "secret"
    if is_dataclass(value) and not isinstance(value, type):
        return tuple((field.name, _plain(getattr(value, field.name))) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    return value


def _arguments(order: StartOrder) -> dict[str, Any]:
    """With an entrypoint of its own the order's command begins with it; otherwise the image's stands before it."""
    entrypoint = order.container.entrypoint
    if entrypoint is None:
        return {"Cmd": list(order.command)} if order.command else {}
    return {"Entrypoint": list(entrypoint), "Cmd": list(order.command[len(entrypoint) :])}


def _host_config(order: StartOrder, given: Given) -> dict[str, Any]:
    container = order.container
    config: dict[str, Any] = {
        "NetworkMode": given.network if container.network is NetworkMode.UNDERLAY else str(container.network),
        "RestartPolicy": {"Name": "no"},
        "CapDrop": ["ALL"],
        "CapAdd": list(container.cap_add),
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": container.read_only,
        "Init": container.init,
        "LogConfig": _log_config(container.logs),
        "ExtraHosts": [f"{name}:{address}" for name, address in container.extra_hosts],
        "Mounts": [_mount(mount) for mount in container.mounts],
        **_limits(order),
    }
    config["Mounts"] += [{"Type": "volume", "Target": folder} for folder in folders(container.secrets)]
    if container.network is NetworkMode.BRIDGE:
        config["PortBindings"] = {f"{order.target_port}/tcp": [{"HostPort": str(given.host_port)}]}
    return config


def _limits(order: StartOrder) -> dict[str, int]:
    """A limit of 0 means none. A quota may be more than the host has, where the engine's own `NanoCpus` may not."""
    limits: dict[str, int] = {}
    if order.resources.cpu_millis:
        limits["CpuPeriod"] = PERIOD_US
        limits["CpuQuota"] = max(1000, order.resources.cpu_millis * PERIOD_US // 1000)
    if order.resources.memory_bytes:
        limits["Memory"] = limits["MemorySwap"] = order.resources.memory_bytes
    if order.container.pids_limit:
        limits["PidsLimit"] = order.container.pids_limit
    return limits


def _log_config(logs: LogOptions) -> dict[str, Any]:
    options: Mapping[str, str] = dict(logs.options)
    if logs.driver in ("", "json-file"):
        return {"Type": "json-file", "Config": {**dict(BOUNDED_LOG), **options}}
    return {"Type": logs.driver, "Config": dict(options)}


def _mount(mount: Mount) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": str(mount.kind), "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.kind is VolumeKind.TMPFS:
        return made | ({"TmpfsOptions": {"SizeBytes": mount.size_bytes}} if mount.size_bytes else {})
    return made | {"Source": mount.source}
