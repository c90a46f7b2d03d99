"""A lab: make it, look at it, break it, remove it.

    lab = Lab(LabSpec(name="t-mine", hosts=4, sites=2, octet=120), Path("/tmp/lab"))
    await lab.up()
    lab.hosts[0].socket            # unix socket of its Docker Engine; .engine_tls, .engine_unix, .address, .site
    lab.client                     # CA, certificate and key for the engines' TLS ports
    await lab.kill_engine("h1")    # and start_engine, stop_engine, cut, mend, shape_line, shape_host, line_bytes
    await lab.down()

Every call may be repeated; none depends on an earlier one of this object, so a `Lab` of the same name and directory
takes over after a crash.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from dcp.kernel.clock import Clock, SystemClock
from dcp.kernel.errors import Conflict, NotFound, Unavailable
from dcp.lab import down, engine_api, network, platform_file, rooms, shaping
from dcp.lab.certificates import ClientFiles, client_files, make_certificates
from dcp.lab.commands import Commands
from dcp.lab.engines import Engines
from dcp.lab.images import build_busybox, build_python, prepare
from dcp.lab.journal import JOURNAL, Entry, Journal, load_spec, save_spec, write_whole
from dcp.lab.lock import drop_unfinished, hold
from dcp.lab.programs import require, require_root
from dcp.lab.registries import Registries
from dcp.lab.spec import LabSpec, check
from dcp.lab.topology import LabHost, LabRegistry, Topology, lay_out

PARALLEL = 8
"""Hosts that are worked on at once."""
CA_FILE = "ca.crt"


class Lab:
    """One lab on this machine."""

    def __init__(self, spec: LabSpec, directory: Path, clock: Clock | None = None) -> None:
        """Describe a lab; nothing is made before `up`. Raises InvalidInput."""
        directory = directory.absolute()
        check(spec, directory)
        self.spec = spec
        self.directory = directory
        self.topology: Topology = lay_out(spec, directory)
        self._clock = clock or SystemClock()
        self._commands = Commands(spec.name)
        self._engines = Engines(spec, self.topology, self._commands, self._clock)
        self._registries = Registries(self.topology, self._commands, self._clock)

    @property
    def hosts(self) -> tuple[LabHost, ...]:
        """The hosts: `name` (h1, h2, …), `site`, `address`, `socket`, `engine_unix`, `engine_tls`, `log`, `data`."""
        return self.topology.hosts

    @property
    def registries(self) -> tuple[LabRegistry, ...]:
        """The registries, one a site: `site`, `address`, `url`; empty unless the specification asks for them."""
        return self.topology.registries

    @property
    def registry_name(self) -> str:
        """The one name (with port) under which every host reaches its own site's registry; only hosts know it."""
        return self.topology.registry_name

    @property
    def client(self) -> ClientFiles:
        """PEM files (`ca`, `cert`, `key`) for the engines' TLS ports and the registries."""
        return client_files(self.topology)

    @property
    def platform_file(self) -> Path:
        """The `dcp.yaml` for `dcp serve --config`."""
        return self.directory / "dcp.yaml"

    def host(self, name: str) -> LabHost:
        """Return a host by name. Raises NotFound."""
        found = next((host for host in self.hosts if host.name == name), None)
        if found is None:
            raise NotFound(f"the lab {self.spec.name} has no host {name}", hint="dcp lab status lists them")
        return found

    async def up(self) -> None:
        """Make the lab, or mend what is missing of it.

        Raises Unavailable (not root, programs missing, an engine that does not start), Conflict (the network, name or
        directory belongs to another lab). What was made stays for the next `up` or `down`.
        """
        require(registries=self.spec.registries)
        async with self._alone():
            try:
                await self._take_directory()
            except Conflict:
                if down.name_of(self.directory) is None:
                    down.forget(self.directory)
                raise
            await rooms.make_runtime_folder(self.topology, self._commands)
            make_certificates(self.topology, self._clock.now())
            await network.make_sites(self.topology, self._commands)
            await shaping.make_lines(self.topology, self.spec.line_mbit, self._commands)
            bounded = asyncio.Semaphore(PARALLEL)
            making = [self._make_host(host, bounded) for host in self.hosts]
            making += [self._make_registry(registry) for registry in self.registries]
            # All come to their end before the first error is told: nothing goes on after the lock is given back.
            for failed in await asyncio.gather(*making, return_exceptions=True):
                if isinstance(failed, BaseException):
                    raise failed
            write_whole(self.platform_file, self._platform())

    async def down(self) -> None:
        """Remove every trace: processes, mounts, namespaces, links, control groups, rules, files. Bounded in time."""
        require_root()
        async with self._alone():
            await down.remove_lab(self.spec.name, self.directory, self._commands, self._clock)

    async def traces(self) -> tuple[str, ...]:
        """Return what of the lab is on this machine now, apart from the files in its directory; empty after `down`."""
        return tuple([trace async for trace in down.traces(self.spec.name, self.directory, self._commands)])

    async def start_engine(self, host: str) -> None:
        """Start the host's engine if it does not run; returns when it answers. Its containers are found again."""
        await self._engines.start(self.host(host))

    async def kill_engine(self, host: str) -> None:
        """Kill the host's engine and its containerd with SIGKILL. Containers go on (see `LabSpec.live_restore`)."""
        await self._engines.kill(self.host(host))

    async def restart_engine(self, host: str) -> None:
        """Kill and start the host's engine."""
        await self.kill_engine(host)
        await self.start_engine(host)

    async def cut(self, host: str) -> None:
        """Cut the host off the network. Its unix socket still answers: connect by `engine_tls` to see the cut."""
        await self._commands.run("ip", "link", "set", self.host(host).namespace, "down")

    async def mend(self, host: str) -> None:
        """Take the cut back."""
        await self._commands.run("ip", "link", "set", self.host(host).namespace, "up")

    async def shape_line(self, site: str, mbit: float | None) -> None:
        """Bound what comes into `site` from other sites, in megabits a second; None: no bound."""
        await shaping.shape_line(self.topology.site(site), mbit, self._commands)

    async def shape_host(self, host: str, mbit: float | None) -> None:
        """Bound the host's link in each direction, in megabits a second; None: no bound."""
        await shaping.shape_host(self.host(host), mbit, self._commands)

    async def line_bytes(self, site: str) -> int:
        """Return the bytes that came into `site` from other sites so far."""
        return await shaping.line_bytes(self.topology.site(site), self._commands)

    async def run_on(self, host: str, *argv: str, limit_s: float = 60.0) -> str:
        """Run a program of this machine on the host (its network, its /etc and /run); return what it printed."""
        inside = rooms.enter(self.host(host), self.topology)
        return await self._commands.run(*inside, *argv, limit_s=limit_s)

    async def load(self, archive: Path, hosts: Iterable[str] = ()) -> None:
        """Load an image archive into the engines of `hosts` (all, if none is named), side by side."""
        chosen = [self.host(name) for name in hosts] or list(self.hosts)
        await asyncio.gather(*(engine_api.load(host.socket, archive) for host in chosen))

    async def make_images(self) -> None:
        """Put `lab/busybox` and `lab/python` on every host; built once, kept in the lab's directory."""
        folder = self._images_folder()
        for build, name in ((build_busybox, "busybox"), (build_python, "python")):
            archive = folder / f"{name}.tar"
            if not archive.exists():
                await asyncio.to_thread(build, archive)
            await self.load(archive)

    async def load_image(self, path: Path, name: str, command: Sequence[str] = ("/bin/sh",)) -> str:
        """Bring a folder, a plain tar of a file system or a saved image onto every host as `name`; return its id."""
        archive, identifier = await asyncio.to_thread(prepare, path, name, self._images_folder(), command)
        await self.load(archive)
        await asyncio.gather(*(engine_api.tag(host.socket, identifier, name) for host in self.hosts))
        return identifier

    async def images(self) -> dict[str, dict[str, str]]:
        """Return the images of each host: host, tag, identifier."""
        found = await asyncio.gather(*(engine_api.images(host.socket) for host in self.hosts))
        return dict(zip((host.name for host in self.hosts), found, strict=True))

    async def kill_registry(self, site: str) -> None:
        """Kill the site's registry; what it stored stays."""
        await self._registries.kill(self._registry(site))

    async def start_registry(self, site: str, config: Mapping[str, Any] | None = None) -> None:
        """Start the site's registry, or restart it if `config` (merged over the lab's own) changes it."""
        await self._registries.start(self._registry(site), self.spec.registry_config if config is None else config)

    def answer_registry(self, host: str, address: str) -> None:
        """Make the registry name lead to `address` (a mirror, say) on this host, not to its site's registry."""
        chosen = self.host(host)
        # In place: the file is mounted on the host, a new one in its stead would not be seen there.
        (chosen.folder / "etc/hosts").write_text(self._hosts_file(address))

    async def engine_answers(self, host: str) -> bool:
        """Return whether the host's engine answers on its unix socket."""
        return await engine_api.answers(self.host(host).socket)

    async def containers(self, host: str) -> int | None:
        """Return how many containers run on the host, None if its engine does not answer."""
        try:
            return await engine_api.containers(self.host(host).socket)
        except Unavailable:
            return None

    def daemons(self, host: str) -> dict[int, str]:
        """Return the pids of the host's engine and its containerd, with their names."""
        return self._engines.daemons(self.host(host))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with hold(self.directory, self._clock):
            yield

    async def _take_directory(self) -> None:
        name = self.spec.name
        other = rooms.find_directory(name)
        if other not in (None, self.directory):
            raise Conflict(f"there is a lab {name} in {other}", hint=f"another --name, or dcp lab down --dir {other}")
        known = down.name_of(self.directory)
        if known is None and any(entry.name not in (down.LOCK, JOURNAL) for entry in self.directory.iterdir()):
            raise Conflict(f"{self.directory} is not empty and holds no lab", hint="another --dir")
        before = load_spec(self.directory)
        if (known or name) != name or (before is not None and not _same(before, self.spec)):
            raise Conflict(f"the lab in {self.directory} is another", hint="dcp lab down first, or another --dir")
        await network.require_free_network(self.topology, self._commands)
        entries = [Entry("lab", name), *down.planned(self.topology)]
        if not network.NETNS.is_mount():
            entries.append(Entry(down.NETNS_MADE, str(network.NETNS)))
        Journal(self.directory).add(entries)
        save_spec(self.directory, self.spec)

    async def _make_host(self, host: LabHost, bounded: asyncio.Semaphore) -> None:
        async with bounded:
            await rooms.make_room(host, self.topology, self._commands)
            self._furnish(host)
            await network.make_node(host, self.topology, self._commands)
            await network.let_through(host, self.topology, self._commands)
            await shaping.shape_host(host, self.spec.host_mbit, self._commands)
            await self._engines.start(host)

    async def _make_registry(self, registry: LabRegistry) -> None:
        await network.make_node(registry, self.topology, self._commands)
        await self._registries.start(registry, self.spec.registry_config)

    def _furnish(self, host: LabHost) -> None:
        hosts = host.folder / "etc/hosts"
        if not hosts.read_text():
            hosts.write_text(self._hosts_file(self.topology.site(host.site).registry_address))
        for name in (self.registry_name, *(urlsplit(one.url).netloc for one in self.registries)):
            trusted = host.folder / "etc/docker/certs.d" / name
            trusted.mkdir(parents=True, exist_ok=True)
            write_whole(trusted / CA_FILE, self.client.ca.read_bytes())

    def _hosts_file(self, registry_address: str) -> str:
        lines = ["127.0.0.1 localhost", f"{registry_address} {self.registry_name.partition(':')[0]}"]
        lines += [f"{host.address} {host.namespace}" for host in self.hosts]
        return "\n".join(lines) + "\n"

    def _platform(self) -> str:
        cpu_millis, memory_bytes = self.host_size()
        return platform_file.render(self.spec, self.topology, self.client, cpu_millis, memory_bytes)

    def host_size(self) -> tuple[int, int]:
        """Return what each host has: its limits, or all processors and a share of three quarters of the memory."""
        memory_bytes = psutil.virtual_memory().total * 3 // 4 // len(self.hosts)
        return self.spec.cpu_millis or (os.cpu_count() or 1) * 1000, self.spec.memory_bytes or memory_bytes

    def _images_folder(self) -> Path:
        folder = self.directory / "images"
        folder.mkdir(exist_ok=True)
        return folder

    def _registry(self, site: str) -> LabRegistry:
        found = next((registry for registry in self.registries if registry.site == site), None)
        if found is None:
            raise NotFound(f"the lab {self.spec.name} has no registry in {site}", hint="dcp lab up --registries")
        return found


def _same(before: LabSpec, now: LabSpec) -> bool:
    """Whether `up` can mend the one into the other: only what every start of a daemon reads again may differ."""
    return replace(before, registry_config=now.registry_config) == now


def existing(directory: Path, clock: Clock | None = None) -> Lab:
    """Return the lab in `directory`. Raises NotFound if there is none, Unavailable if its file cannot be read."""
    spec = load_spec(directory)
    if spec is not None:
        return Lab(spec, directory, clock)
    if down.name_of(directory.absolute()) is None:
        raise NotFound(f"there is no lab in {directory}", hint="dcp lab up makes one")
    raise Unavailable(f"the lab in {directory} is damaged", hint="dcp lab down removes it")


async def remove(directory: Path, name: str | None = None, clock: Clock | None = None) -> bool:
    """Remove the lab in `directory`, however damaged; return whether there was anything.

    `name` is for a directory that does not say it any more. Raises Conflict if another lab is there, or the lab of that
    name is elsewhere.
    """
    directory, clock = directory.absolute(), clock or SystemClock()
    found = down.name_of(directory) or name
    if found is None:
        return False
    elsewhere = rooms.find_directory(found)
    if elsewhere not in (None, directory):
        raise Conflict(f"the lab {found} is in {elsewhere}", hint=f"dcp lab down --dir {elsewhere}")
    if found != (name or found):
        raise Conflict(f"the lab in {directory} is called {found}, not {name}", hint="leave out the name")
    traces = [trace async for trace in down.traces(found, directory, Commands(found))]
    if not traces and not down.holds_lab(directory):
        drop_unfinished(directory)
        return False
    require_root()
    async with hold(directory, clock):
        await down.remove_lab(found, directory, Commands(found), clock)
    return True
