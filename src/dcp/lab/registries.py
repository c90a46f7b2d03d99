"""The registry of each site: CNCF distribution in its own namespace, with TLS, stored below the lab's directory."""

import shlex
import socket
from collections.abc import Mapping
from typing import Any

import yaml

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable
from dcp.lab import cgroups
from dcp.lab.certificates import server_files
from dcp.lab.commands import Commands
from dcp.lab.journal import write_whole
from dcp.lab.network import NETNS
from dcp.lab.processes import Marks, find, kill_all
from dcp.lab.topology import REGISTRY_PORT, LabRegistry, Topology

PROGRAM = "docker-registry"


class Registries:
    """The registries of one lab."""

    def __init__(self, topology: Topology, commands: Commands, clock: Clock) -> None:
        self._topology = topology
        self._commands = commands
        self._clock = clock

    def marks(self, registry: LabRegistry) -> Marks:
        """Return what the registry's process carries."""
        return Marks(cgroup=registry.cgroup)

    def runs(self, registry: LabRegistry) -> bool:
        """Return whether the registry's process is there."""
        return bool(find(self.marks(registry)))

    async def start(self, registry: LabRegistry, config: Mapping[str, Any], limit_s: float = 20.0) -> None:
        """Start the registry unless it runs with this configuration, and wait until it listens."""
        (registry.folder / "data").mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(self._configuration(registry, config), sort_keys=True)
        file = registry.folder / "config.yml"
        if self.runs(registry) and file.exists() and file.read_text() == text:
            return await self._wait(registry, limit_s)
        await self.kill(registry)
        write_whole(file, text, mode=0o600)
        joins = cgroups.make(registry.cgroup, None, None)
        lines = [f"echo $$ > {shlex.quote(str(join))}" for join in joins]
        argv = shlex.join(["nsenter", f"--net={NETNS / registry.namespace}", PROGRAM, "serve", str(file)])
        lines.append(f"exec setsid --fork {argv} </dev/null >>{shlex.quote(str(registry.folder / 'log'))} 2>&1")
        await self._commands.run("sh", "-euc", "\n".join(lines))
        return await self._wait(registry, limit_s)

    async def kill(self, registry: LabRegistry) -> None:
        """End the registry's process as a crash would; what it stored stays."""
        await kill_all(self.marks(registry), self._clock, 10.0)

    async def _wait(self, registry: LabRegistry, limit_s: float) -> None:
        until = self._clock.now() + limit_s
        while not _listens(registry.address):
            gone = not self.runs(registry)
            if gone or self._clock.now() > until:
                log = registry.folder / "log"
                said = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
                what = "ended" if gone else f"does not listen within {limit_s:g} s"
                raise Unavailable(f"the registry of {registry.site} {what}: {' '.join(said)[-400:]}", hint=f"see {log}")
            await self._clock.sleep(0.05)

    def _configuration(self, registry: LabRegistry, config: Mapping[str, Any]) -> dict[str, Any]:
        certificate, key = server_files(self._topology, f"registry-{registry.site}")
        base = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(registry.folder / "data")}, "delete": {"enabled": True}},
            "http": {
                "addr": f"{registry.address}:{REGISTRY_PORT}",
                "secret": registry.namespace,
                "relativeurls": True,
                "tls": {"certificate": str(certificate), "key": str(key)},
            },
        }
        return merged(base, config)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` on top, mapping by mapping; None removes a key."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _listens(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, REGISTRY_PORT)) == 0
