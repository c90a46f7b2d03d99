"""Where a build comes from: a folder, or a git address that is cloned for the time of the build.

A git address may name a branch, tag or commit and a folder: `URL#REF:FOLDER`.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcp.kernel.errors import InvalidInput, Problem, Unavailable

_ADDRESS = re.compile(r"(?:https?|ssh|git|file)://.+|[\w.-]+@[\w.-]+:.+")
CLONE_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Source:
    """A folder to build from, and what to call it in the history."""

    folder: Path
    name: str


@contextmanager
def open_source(text: str) -> Iterator[Source]:
    """Yield the folder that `text` means; a clone goes when it is done. Raises InvalidInput or Unavailable."""
    address, _, place = text.partition("#")
    if _ADDRESS.fullmatch(address) or address.endswith(".git"):
        reference, _, below = place.partition(":")
        with tempfile.TemporaryDirectory(prefix="dcp-build-") as made:
            yield _cloned(address, reference, below, Path(made) / "source")
        return
    folder = Path(text)
    if not folder.is_dir():
        raise InvalidInput(
            (Problem("source", f"{text} is no folder and no git address", "a folder, or URL#REF:FOLDER"),)
        )
    yield Source(folder, str(folder.resolve()))


def _cloned(address: str, reference: str, below: str, into: Path) -> Source:
    if address.startswith("-") or reference.startswith("-"):
        raise InvalidInput((Problem("source", f"{address}#{reference} is no git address"),))
    _git("clone", "--quiet", "--no-checkout", "--", address, str(into))
    wanted = reference or "HEAD"
    commit = _git("-C", str(into), "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}", fails=True)
    commit = commit or _git(
        "-C", str(into), "rev-parse", "--verify", "--quiet", f"origin/{wanted}^{{commit}}", fails=True
    )
    if not commit:
        raise InvalidInput((Problem("source", f"{address} has no {wanted}", "a branch, tag or commit after #"),))
    _git("-C", str(into), "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit)
    folder = (into / below).resolve()
    if not folder.is_dir() or not folder.is_relative_to(into.resolve()):
        raise InvalidInput((Problem("source", f"{address} at {commit[:12]} has no folder {below}"),))
    return Source(folder, f"{address}#{commit[:12]}" + (f":{below}" if below else ""))


def _git(*words: str, fails: bool = False) -> str:
    """Run git and return what it says; where it may fail, a failure is an empty answer."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=CLONE_LIMIT_S, env=environment, check=False
        )
    except FileNotFoundError as error:
        raise Unavailable("git is not installed", hint="install it, or give a folder") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"git did not end within {CLONE_LIMIT_S:g} s") from error
    if done.returncode and not fails:
        raise Unavailable(f"git: {done.stderr.strip()[-500:]}", hint="is the address right, and may you read it?")
    return done.stdout.strip() if done.returncode == 0 else ""
