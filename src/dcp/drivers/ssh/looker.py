"""Looks at machines over SSH with the OpenSSH client, which knows the user's keys and agents.

A look writes host keys to a file of its own; only `remember` keeps them. Whoever is no sshd is found out without the
client, so that hundreds of wrong addresses cost a time-out together and no process each.
"""

import asyncio
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dcp.drivers.ssh.access import SshAccess, known_hosts_option
from dcp.drivers.ssh.answers import SCRIPT, fault_of, look_of, no_sshd, silent
from dcp.hosts.adding.model import SSH_PORT, MachineLook, Reach
from dcp.kernel.errors import DriverError

AT_ONCE = 24
"""Clients at any time: each is a process and a key exchange."""
CONNECT_S = 4.0
LOOK_S = 15.0


class SshLooker:
    """See `MachineLooker`."""

    def __init__(self, access: SshAccess) -> None:
        self._access = access
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def look(self, reach: Reach, *, new_host_key: bool = False) -> MachineLook:
        """See `MachineLooker`."""
        if fault := self._fault_here(reach, new_host_key):
            return fault
        if fault := await _fault_of_port(reach):
            return fault
        with tempfile.TemporaryDirectory(prefix="dcp-look-") as folder:
            seen = Path(folder, "known_hosts")
            async with self._limit:
                found = await self._ask(reach, seen, new_host_key=new_host_key)
            keys = tuple(seen.read_text().splitlines()) if seen.exists() else ()
        return replace(found, host_keys=keys)

    async def remember(self, reach: Reach, look: MachineLook, *, new_host_key: bool = False) -> None:
        """See `MachineLooker`."""
        file = self._access.known_hosts
        if file is None or not look.host_keys:
            return
        if new_host_key:
            await self.forget(reach)
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with file.open("a") as known:
                known.write("".join(f"{line}\n" for line in look.host_keys))
        except OSError as error:
            raise DriverError(f"{file} cannot be written: {error.strerror}") from error

    async def forget(self, reach: Reach) -> None:
        """See `MachineLooker`."""
        file = self._access.known_hosts
        if file is None or not file.exists():
            return
        name = reach.address if reach.port == SSH_PORT else f"[{reach.address}]:{reach.port}"
        process = await _client("ssh-keygen", "-q", "-R", name, "-f", str(file))
        _, said = await process.communicate()
        file.with_name(file.name + ".old").unlink(missing_ok=True)
        if process.returncode:
            raise DriverError(f"{file} cannot be changed: {said.decode(errors='replace').strip()}")

    def _fault_here(self, reach: Reach, new_host_key: bool) -> MachineLook | None:
        """What is wrong with the controller's own side."""
        if new_host_key and not self._access.accepts_new:
            return MachineLook(fault="host keys are kept by hand", hint="initialise.host_keys in dcp.yaml is `known`")
        if not reach.key:
            return None
        file = self._access.key_file(reach.key)
        if os.access(file, os.R_OK) and Path(file).is_file():
            return None
        return MachineLook(fault=f"key {reach.key}: there is no file {file} that the controller can read")

    async def _ask(self, reach: Reach, seen: Path, *, new_host_key: bool) -> MachineLook:
        process = await _client(*self._command(reach, seen, new_host_key=new_host_key))
        try:
            async with asyncio.timeout(LOOK_S):
                answer, said = await process.communicate(SCRIPT.encode())
        except TimeoutError:
            return MachineLook(fault=f"did not answer the look within {LOOK_S:g} s")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode == 255:  # the client's own; everything else comes from the machine
            return fault_of(said.decode(errors="replace"), reach)
        return look_of(answer.decode(errors="replace"), reach.user)

    def _command(self, reach: Reach, seen: Path, *, new_host_key: bool) -> tuple[str, ...]:
        options = ["BatchMode=yes", f"ConnectTimeout={CONNECT_S:.0f}", "ControlPath=none", "HashKnownHosts=no"]
        known: tuple[str, ...] = ()
        if self._access.accepts_new:
            options.append("StrictHostKeyChecking=accept-new")
            before = () if new_host_key or self._access.known_hosts is None else (str(self._access.known_hosts),)
            known = known_hosts_option(str(seen), *before)
        else:
            options.append("StrictHostKeyChecking=yes")
        flags = [flag for option in options for flag in ("-o", option)]
        key = self._access.identity(reach.key)
        where = ("-p", str(reach.port), "-l", reach.user, "--", reach.address)
        return ("ssh", "-T", *flags, *known, *key, *where, "sh", "-s")


async def _client(*command: str) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise DriverError(f"{command[0]} cannot be started: {error.strerror}", hint="install openssh-client") from error


async def _fault_of_port(reach: Reach) -> MachineLook | None:
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(reach.address, reach.port)
            try:
                banner = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return silent(reach, f"nothing within {CONNECT_S:g} s")
    except ValueError:
        return no_sshd(reach)
    except OSError as error:
        return silent(reach, error.strerror or str(error))
    return None if banner.startswith(b"SSH-") else no_sshd(reach)
