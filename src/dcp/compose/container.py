"""What a container is given besides image and command: network, files, rights and logs of the Compose file."""

import re

from dcp.compose.environment import Surroundings, read_text, why_unreadable
from dcp.compose.findings import Findings
from dcp.compose.schema import SecretSource, SecretUse, Service, VolumeEntry, pairs
from dcp.compose.yaml_text import Path
from dcp.orchestration.services.container import (
    ContainerSpec,
    LogOptions,
    Mount,
    NetworkMode,
    Secret,
    SecretFile,
    VolumeKind,
)

_SECRETS_FOLDER = "/run/secrets"


def container_of(service: Service, secrets: dict[str, SecretSource], at: Path, around: Surroundings) -> ContainerSpec:
    """Return the container that a service asks for; `secrets` are those that the file defines."""
    findings = around.findings
    if "ALL" not in service.cap_drop and service.cap_drop:
        words = "every capability is dropped but those in cap_add"
        findings.warn((*at, "cap_drop"), words, "remove it, or write [ALL]")
    if service.entrypoint and service.command is None and service.image:
        findings.warn((*at, "entrypoint"), "the image's own command is not passed to it", "state command as well")
    port = service.ports[0] if service.ports else None
    return ContainerSpec(
        network=_network(service, at, findings),
        host_port=(port.published or port.target) if port is not None and port.mode == "host" else None,
        entrypoint=service.entrypoint,
        working_dir=_working_dir(service.working_dir),
        user=service.user or "",
        read_only=service.read_only,
        cap_add=tuple(sorted(_capability(name) for name in service.cap_add)),
        init=service.init,
        pids_limit=service.pids_limit or service.deploy.resources.limits.pids or 0,
        mounts=(*_volumes(service, at, findings), *_tmpfs(service, at, findings)),
        secrets=tuple(
            file
            for position, use in enumerate(service.secrets)
            if (file := _secret(use, secrets, (*at, "secrets", position), around)) is not None
        ),
        logs=LogOptions(service.logging.driver or "", tuple(sorted(service.logging.options.items()))),
        extra_hosts=_extra_hosts(service, at, findings),
    )


def _network(service: Service, at: Path, findings: Findings) -> NetworkMode:
    stated = service.x_dcp.network or service.network_mode or NetworkMode.HOST
    if service.x_dcp.network and service.network_mode not in (None, "default", service.x_dcp.network):
        findings.warn((*at, "network_mode"), "x-dcp.network says otherwise, and wins", "state one of them")
    if stated in ("default", "bridge"):
        return NetworkMode.BRIDGE
    if stated not in tuple(NetworkMode):
        hint = "use host, bridge, or x-dcp: {network: underlay}"
        findings.error((*at, "network_mode"), f"{stated!r} is not a network that dcp has", hint)
        return NetworkMode.HOST
    return NetworkMode(stated)


def _working_dir(stated: str | None) -> str:
    """A relative one is a folder beside the Compose file, which no container has."""
    return stated if stated and stated.startswith("/") else ""


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _volumes(service: Service, at: Path, findings: Findings) -> tuple[Mount, ...]:
    mounts = []
    for position, entry in enumerate(service.volumes):
        mount = _volume(entry, (*at, "volumes", position), findings)
        if mount is not None:
            mounts.append(mount)
    return tuple(mounts)


def _volume(entry: VolumeEntry, at: Path, findings: Findings) -> Mount | None:
    if not entry.target.startswith("/"):
        findings.error(at, f"{entry.target!r} is not an absolute path in the container", "begin with /")
        return None
    source = entry.source or ""
    kind = VolumeKind(entry.type) if entry.type else (VolumeKind.BIND if _is_path(source) else VolumeKind.VOLUME)
    if kind is VolumeKind.BIND and not source.startswith("/"):
        words = f"{source!r} is not an absolute path: it is a path of the host that the instance runs on"
        findings.error(at, words, "write an absolute path that every host has, or use a volume, a secret or the image")
        return None
    if kind is VolumeKind.VOLUME and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", source):
        words = f"{source!r} is not the name of a volume" if source else "names no volume"
        findings.error(at, words, "such as data:/var/lib/data; for scratch space use tmpfs")
        return None
    if kind is VolumeKind.VOLUME:
        words = "a volume stays on its host: an instance that moves finds another one, empty"
        findings.warn(at, words, "keep state outside the service")
    size = entry.tmpfs.size or 0 if entry.tmpfs else 0
    return Mount(kind, entry.target, "" if kind is VolumeKind.TMPFS else source, entry.read_only, size)


def _is_path(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~")) or source == "."


def _tmpfs(service: Service, at: Path, findings: Findings) -> tuple[Mount, ...]:
    mounts = []
    for text in service.tmpfs:
        path, _, options = text.partition(":")
        if options:
            words = f"options {options!r} are left out"
            findings.warn((*at, "tmpfs"), words, "state a size under volumes: {type: tmpfs, tmpfs: {size: 64M}}")
        mounts.append(Mount(VolumeKind.TMPFS, path))
    return tuple(mounts)


def _secret(use: SecretUse, secrets: dict[str, SecretSource], at: Path, around: Surroundings) -> SecretFile | None:
    if use.source not in secrets:
        around.findings.error(at, f"there is no secret {use.source}", "define it under secrets at the top of the file")
        return None
    value = _secret_value(use.source, secrets[use.source], around)
    target = use.target or use.source
    path = target if target.startswith("/") else f"{_SECRETS_FOLDER}/{target}"
    if value is None:
        return None
    return SecretFile(use.source, Secret(value), path, use.uid or 0, use.gid or 0, use.mode or 0o444)


def _secret_value(name: str, source: SecretSource, around: Surroundings) -> str | None:
    at: Path = ("secrets", name)
    if (source.file is None) == (source.environment is None):
        hint = "such as file: ./password.txt, or environment: PASSWORD"
        around.findings.error(at, "states where its value is in no way, or in two", hint)
        return None
    if source.environment is not None:
        value = around.lookup(source.environment)
        if value is None:
            words = f"{source.environment} is not set where this file is read"
            around.findings.error((*at, "environment"), words, "set it, or use file")
        return value
    try:
        return read_text(around.folder / str(source.file))
    except (OSError, ValueError) as error:
        words = f"{source.file} cannot be read: {why_unreadable(error)}"
        around.findings.error((*at, "file"), words, "it must be UTF-8 text")
        return None


def _extra_hosts(service: Service, at: Path, findings: Findings) -> tuple[tuple[str, str], ...]:
    found = []
    stated = service.extra_hosts
    if isinstance(stated, tuple):
        split = (re.split(r"[=:]", item, maxsplit=1) for item in stated)
        named = {parts[0]: parts[1] if len(parts) > 1 else None for parts in split}
    else:
        named = pairs(stated)
    for name, address in named.items():
        if not address:
            findings.error((*at, "extra_hosts"), f"{name} has no address", "such as db: 10.0.0.7")
        else:
            found.append((name, address.strip("[]")))
    return tuple(sorted(found))
