"""`dcp mirror`: a pull-through cache of a registry, for hosts of one site."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dcp.cli.options import AsJson
from dcp.cli.output import err, print_json
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import InvalidInput, Problem
from dcp.kernel.units import parse_bytes
from dcp.mirror.model import MirrorSettings, Route
from dcp.mirror.server import run_mirror

CONTROL_TOKEN = "DCP_MIRROR_TOKEN"
CONTROL_TOKEN_FILE = "DCP_MIRROR_TOKEN_FILE"


def mirror(
    registry: Annotated[
        list[str] | None, typer.Option(envvar="DCP_MIRROR_REGISTRIES", help="URL of a registry; several in order.")
    ] = None,
    parent: Annotated[
        list[str] | None,
        typer.Option(envvar="DCP_MIRROR_PARENTS", help="URL of a mirror to take from; a part from each of several."),
    ] = None,
    directory: Annotated[
        Path, typer.Option(envvar="DCP_MIRROR_DIRECTORY", help="Where blobs are kept; one mirror at a time.")
    ] = Path("mirror"),
    listen: Annotated[
        str, typer.Option(envvar="DCP_MIRROR_LISTEN", help="ADDRESS:PORT; port 0 takes a free one.")
    ] = "127.0.0.1:5050",
    capacity: Annotated[str, typer.Option(envvar="DCP_MIRROR_CAPACITY", help="Disk to use at most.")] = "20G",
    name: Annotated[
        str | None, typer.Option(envvar="DCP_MIRROR_NAME", help="Its name among mirrors.", show_default="host and port")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(envvar="DCP_MIRROR_CA", help="More PEM certificates to check upstreams with.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate to answer over TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    json: AsJson = False,
) -> None:
    """Run a mirror: a cache of a registry that passes images on as they arrive.

    Engines pull from it as from the registry, with the same rights. The environment variable DCP_MIRROR_TOKEN holds
    the token with which a controller may change its route and warm it; or DCP_MIRROR_TOKEN_FILE names a file that does.
    With --json one line of JSON says where it listens. Ends at SIGTERM or Ctrl-C.
    """
    host, port = _address(listen)
    settings = MirrorSettings(
        name=name or f"{socket.gethostname()}:{port}",
        directory=directory,
        route=Route(_stripes(parent or []), _urls("--registry", registry or [])),
        host=host,
        port=port,
        capacity_bytes=_capacity(capacity),
        control_token=_control_token(),
        ca_file=ca,
        certificate_file=tls_certificate,
        key_file=tls_key,
    )
    if not settings.route.stripes and not settings.route.registries and not settings.control_token:
        _refuse("--registry", "neither a registry nor a parent is named", "name one, or set DCP_MIRROR_TOKEN")

    def ready(taken: int) -> None:
        if json:
            print_json({"host": host, "port": taken, "name": settings.name, "pid": os.getpid()})
        else:
            err().print(f"mirror {settings.name} listens on {host}:{taken}")

    asyncio.run(_until_told(settings, ready))


def _control_token() -> str:
    file = os.environ.get(CONTROL_TOKEN_FILE, "")
    if not file:
        return os.environ.get(CONTROL_TOKEN, "")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _refuse(CONTROL_TOKEN_FILE, f"{file} cannot be read: {error}", "a file with one line")


async def _until_told(settings: MirrorSettings, ready: Callable[[int], None]) -> None:
    task = asyncio.create_task(run_mirror(settings, SystemClock(), ready))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        _refuse("--listen", f"{text} is not ADDRESS:PORT", "such as 0.0.0.0:5050")
    return host.strip("[]") or "0.0.0.0", int(port)


def _urls(option: str, given: list[str]) -> tuple[str, ...]:
    urls = tuple(url.rstrip("/") for text in given for url in text.replace(",", " ").split())
    for url in urls:
        if not url.startswith(("http://", "https://")):
            _refuse(option, f"{url} is no URL", "such as http://10.0.0.1:5000")
    return urls


def _stripes(given: list[str]) -> tuple[tuple[str, ...], ...]:
    """One stripe for each parent; behind a comma those to turn to when it fails. A dash: from the registries."""
    return tuple(() if text == "-" else _urls("--parent", [text]) for part in given for text in part.split())


def _capacity(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        _refuse("--capacity", str(error), "such as 20G")


def _refuse(path: str, message: str, hint: str) -> NoReturn:
    raise InvalidInput((Problem(path, message, hint),), subject="mirror")
