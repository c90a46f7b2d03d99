"""Run this machine's programs: bounded in time, with a bare environment that carries the lab's mark.

The mark is how `down` recognises a program that a killed `up` had just started.
"""

import asyncio
import os
from contextlib import suppress

from dcp.kernel.errors import Unavailable

MARK = "DCP_LAB"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Commands:
    """Programs of one lab."""

    def __init__(self, lab: str) -> None:
        # Nothing else of the caller's environment: a proxy setting there would change how an engine pulls.
        self._environment = {"PATH": PATH, "LC_ALL": "C", "HOME": "/root", MARK: lab}

    async def run(self, *argv: str, text: str = "", limit_s: float = 60.0, check: bool = True) -> str:
        """Return what the program printed. Raises Unavailable if it fails (unless not `check`) or takes too long."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd="/",
        )
        try:
            async with asyncio.timeout(limit_s):
                output, errors = await process.communicate(text.encode())
        except TimeoutError as error:
            raise Unavailable(f"{_short(argv)} took longer than {limit_s:g} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if check and process.returncode:
            said = (errors or output).decode(errors="replace").strip()[-600:]
            raise Unavailable(f"{_short(argv)} failed: {said or f'exit code {process.returncode}'}")
        return output.decode(errors="replace")

    async def succeeds(self, *argv: str) -> bool:
        """Return whether the program ends with 0."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
            cwd="/",
        )
        return await process.wait() == 0


def is_root() -> bool:
    """Return whether this process may make namespaces."""
    return os.geteuid() == 0


def _short(argv: tuple[str, ...]) -> str:
    line = " ".join(argv)
    return line if len(line) <= 160 else f"{line[:157]}..."
