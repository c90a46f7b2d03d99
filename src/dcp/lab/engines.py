"""Start and kill the container engine of one host.

`dockerd` starts a containerd of its own, since no other is to be seen in the host's /run. Both stand in a control group
of the host's, beside its containers.
"""

import shlex
from contextlib import suppress

from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable
from dcp.lab import cgroups, engine_api
from dcp.lab.certificates import client_files, server_files
from dcp.lab.commands import Commands
from dcp.lab.processes import Marks, find, kill, namespace_inodes
from dcp.lab.rooms import enter
from dcp.lab.spec import LabSpec
from dcp.lab.topology import ENGINE_PORT, LabHost, Topology

EXEC_ROOT = "/run/docker"
"""In the host's own /run."""
_DAEMONS = ("dockerd", "containerd")
_FAULTS = ("level=error", "level=fatal", "failed", "unknown flag")


class Engines:
    """The engines of one lab."""

    def __init__(self, spec: LabSpec, topology: Topology, commands: Commands, clock: Clock) -> None:
        self._spec = spec
        self._topology = topology
        self._commands = commands
        self._clock = clock

    def marks(self, host: LabHost) -> Marks:
        """Return what the processes of the host carry: its engine's and its containers'."""
        return Marks(namespace_inodes([self._topology.mount_file(host)]), host.cgroup)

    def daemons(self, host: LabHost) -> dict[int, str]:
        """Return the pids of the host's engine and its containerd."""
        return {one.pid: one.name for one in find(self.marks(host)) if one.name in _DAEMONS}

    async def start(self, host: LabHost, limit_s: float = 60.0) -> None:
        """Start the engine unless it runs, and wait until it answers. Raises Unavailable with the end of its log."""
        if "dockerd" not in self.daemons(host).values():
            await self._launch(host)
        until = self._clock.now() + limit_s
        pause_s = 0.02
        while not await engine_api.answers(host.socket):
            gone = not self._is_coming(host)
            if gone or self._clock.now() > until:
                what = "ended" if gone else f"does not answer within {limit_s:g} s"
                raise Unavailable(f"{host.name}: its engine {what}: {self._said(host)}", hint=f"see {host.log}")
            await self._clock.sleep(pause_s)
            pause_s = min(0.5, pause_s * 1.5)

    async def kill(self, host: LabHost, limit_s: float = 10.0) -> None:
        """Kill the engine and its containerd as a crash would; containers are not touched."""
        until = self._clock.now() + limit_s
        while daemons := self.daemons(host):
            if self._clock.now() > until:
                raise Unavailable(f"{host.name}: its engine does not end within {limit_s:g} s")
            for pid in daemons:
                kill(pid, self.marks(host))
            await self._clock.sleep(0.02)

    async def _launch(self, host: LabHost) -> None:
        await self.kill(host)
        joins = cgroups.make(host.cgroup, self._spec.cpu_millis, self._spec.memory_bytes)
        # Numbers of processes that ended: another may have them now, and an engine would take it for itself.
        stale = (str(host.folder / "docker.pid"), f"{EXEC_ROOT}/containerd/containerd.pid", str(host.socket))
        await self._commands.run(*enter(host, self._topology), "rm", "-f", *stale)
        lines = [f"echo $$ > {shlex.quote(str(file))}" for file in joins]
        lines.append("ulimit -n $(ulimit -H -n)")
        argv = shlex.join([*enter(host, self._topology), *self._arguments(host)])
        lines.append(f"exec setsid --fork {argv} </dev/null >>{shlex.quote(str(host.log))} 2>&1")
        await self._commands.run("sh", "-euc", "\n".join(lines))

    def _is_coming(self, host: LabHost) -> bool:
        """Whether the engine runs, or what starts it has not become it yet; shims of containers do not count."""
        found = find(Marks(cgroup=f"{host.cgroup}/{cgroups.ENGINE}"))
        return any(not one.name.startswith("containerd-shim") for one in found)

    def _arguments(self, host: LabHost) -> tuple[str, ...]:
        certificate, key = server_files(self._topology, host.name)
        authority = client_files(self._topology).ca
        tls = ("--tlsverify", "--tlscacert", str(authority), "--tlscert", str(certificate), "--tlskey", str(key))
        return (
            "dockerd",
            *("--data-root", str(host.data)),
            *("--exec-root", EXEC_ROOT),
            *("--pidfile", str(host.folder / "docker.pid")),
            *("--host", host.engine_unix, "--host", f"tcp://{host.address}:{ENGINE_PORT}"),
            *tls,
            *("--bip", host.bridge_address),
            *("--cgroup-parent", host.cgroup, "--exec-opt", "native.cgroupdriver=cgroupfs"),
            *("--live-restore",) * self._spec.live_restore,
            *self._spec.engine_arguments,
        )

    def _said(self, host: LabHost) -> str:
        with suppress(OSError):
            lines = host.log.read_text(errors="replace").splitlines()
            return " | ".join(line for line in lines[-40:] if any(word in line for word in _FAULTS))[-800:]
        return "it wrote nothing"
