"""`dcp lab`: real container hosts on this machine, made and removed."""

import asyncio
import shlex
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from dcp.cli.options import AsJson
from dcp.cli.output import err, out, print_json, table
from dcp.kernel.errors import InvalidInput, NotFound, Problem
from dcp.kernel.units import parse_bytes, parse_cpu_millis
from dcp.lab.journal import load_spec
from dcp.lab.lab import Lab, existing, remove
from dcp.lab.programs import missing_packages
from dcp.lab.spec import DEFAULT_PARENT, LabSpec

DEFAULT_NAME = "dcp"
lab = typer.Typer(no_args_is_help=True, help="Make real container hosts on this machine, for tests and trying out.")
host = typer.Typer(no_args_is_help=True, help="Break one host of the lab and mend it.")
lab.add_typer(host, name="host")

Directory = Annotated[
    Path | None, typer.Option("--dir", help="Where the lab keeps its files.", show_default="/var/lib/dcp-lab/NAME")
]
Name = Annotated[
    str | None,
    typer.Option(help="The lab's name: its links, namespaces and groups carry it.", show_default=DEFAULT_NAME),
]
HostName = Annotated[str, typer.Argument(help="A host of the lab: h1, h2, …", metavar="HOST")]


@lab.command()
def up(
    hosts: Annotated[int | None, typer.Option(help="How many hosts.", show_default="4")] = None,
    sites: Annotated[int | None, typer.Option(help="How many sites they stand in.", show_default="1")] = None,
    name: Name = None,
    directory: Directory = None,
    cpus: Annotated[float | None, typer.Option(help="Processors of each host; enforced.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each host, such as 2G; enforced.")] = None,
    registries: Annotated[bool | None, typer.Option("--registries", help="A registry in each site.")] = None,
    registry_config: Annotated[
        Path | None, typer.Option(help="YAML that is merged into the configuration of every registry: auth and so on.")
    ] = None,
    line_mbit: Annotated[float | None, typer.Option(help="Speed of the line into each site, Mbit/s.")] = None,
    host_mbit: Annotated[float | None, typer.Option(help="Speed of each host's link, Mbit/s.")] = None,
    octet: Annotated[int | None, typer.Option(help="The lab's network is 10.OCTET.0.0/16.", show_default="99")] = None,
    json: AsJson = False,
) -> None:
    """Make a lab, or mend what is missing of it.

    Needs root, Docker Engine and a few programs; says which Debian packages are missing, installs nothing. Writes
    dcp.yaml into the lab's directory, for `dcp serve --config`.
    """
    folder = _folder(name, directory)
    given: dict[str, Any] = {
        "name": name,
        "hosts": hosts,
        "sites": sites,
        "cpu_millis": None if cpus is None else parse_cpu_millis(cpus),
        "memory_bytes": None if memory is None else _bytes(memory),
        "registries": registries or (True if registry_config else None),
        "registry_config": None if registry_config is None else _mapping(registry_config),
        "line_mbit": line_mbit,
        "host_mbit": host_mbit,
        "octet": octet,
    }
    before = load_spec(folder)
    # Without options, `up` mends the lab that is there.
    spec = replace(
        before or LabSpec(name=DEFAULT_NAME), **{key: value for key, value in given.items() if value is not None}
    )
    made = Lab(spec, folder)
    _run(made.up())
    _show(made, json)
    if not json:
        err().print(f"use it: dcp serve --config {made.platform_file}")


@lab.command()
def down(name: Name = None, directory: Directory = None) -> None:
    """Remove every trace of a lab: processes, mounts, namespaces, links, control groups, rules and files."""
    folder = _folder(name, directory)
    if not _run(remove(folder, name or (DEFAULT_NAME if directory is None else None))):
        raise NotFound(f"there is no lab in {folder}")


@lab.command()
def status(name: Name = None, directory: Directory = None, json: AsJson = False) -> None:
    """Show the hosts of a lab and whether their engines answer."""
    _show(existing(_folder(name, directory)), json)


@lab.command()
def packages() -> None:
    """Print the Debian packages that a lab needs and this machine lacks, for `apt-get install $(dcp lab packages)`."""
    missing = missing_packages(registries=True, images=True)
    print(" ".join(sorted(set(missing.values()))))


@lab.command(name="images")
def make_images(name: Name = None, directory: Directory = None, json: AsJson = False) -> None:
    """Put the images lab/busybox and lab/python, made of what is installed here, on every host; list what is there."""
    there = existing(_folder(name, directory))
    _run(there.make_images())
    found = _run(there.images())
    if json:
        print_json(found)
        return
    listing = table("host", "image", "id")
    for one, tags in found.items():
        for tag, identifier in sorted(tags.items()):
            listing.add_row(one, tag, identifier.removeprefix("sha256:")[:12])
    out().print(listing)


@lab.command(name="load-image")
def load_image(
    path: Annotated[
        Path, typer.Argument(help="A folder, a plain tar of a file system, or a saved image.", exists=True)
    ],
    image: Annotated[str, typer.Argument(help="The image's name, such as shop/web:1.")],
    command: Annotated[str, typer.Option(help="What its containers run, of a folder or plain tar.")] = "/bin/sh",
    name: Name = None,
    directory: Directory = None,
) -> None:
    """Bring an image onto every host, without a registry."""
    there = existing(_folder(name, directory))
    identifier = _run(there.load_image(path.absolute(), image, shlex.split(command)))
    out().print(f"{image} {identifier} on {len(there.hosts)} hosts")


@host.command()
def kill(host: HostName, name: Name = None, directory: Directory = None) -> None:
    """Kill the host's engine, as a crash would; its containers go on."""
    _run(existing(_folder(name, directory)).kill_engine(host))


@host.command()
def start(host: HostName, name: Name = None, directory: Directory = None) -> None:
    """Start the host's engine again."""
    _run(existing(_folder(name, directory)).start_engine(host))


@host.command()
def restart(host: HostName, name: Name = None, directory: Directory = None) -> None:
    """Kill and start the host's engine."""
    _run(existing(_folder(name, directory)).restart_engine(host))


@host.command()
def cut(host: HostName, name: Name = None, directory: Directory = None) -> None:
    """Cut the host off the network."""
    _run(existing(_folder(name, directory)).cut(host))


@host.command()
def mend(host: HostName, name: Name = None, directory: Directory = None) -> None:
    """Connect the host to the network again."""
    _run(existing(_folder(name, directory)).mend(host))


def _show(lab: Lab, json: bool) -> None:
    rows = _run(_look(lab))
    if json:
        names = {"name": lab.spec.name, "directory": str(lab.directory), "config": str(lab.platform_file)}
        registries = [{"site": one.site, "url": one.url} for one in lab.registries]
        print_json({**names, "hosts": rows, "registry_name": lab.registry_name, "registries": registries})
        return
    listing = table("host", "site", "address", "engine", "containers", "socket", numbers=("containers",))
    for row in rows:
        cells = [row[key] for key in ("name", "site", "address", "engine", "containers", "socket")]
        listing.add_row(*("–" if cell is None else str(cell) for cell in cells))
    out().print(listing)
    for one in lab.registries:
        out().print(f"{one.site}: {lab.registry_name} is answered by {one.url}")


async def _look(lab: Lab) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_row(lab, one.name) for one in lab.hosts)))


async def _row(lab: Lab, name: str) -> dict[str, Any]:
    one = lab.host(name)
    running = await lab.containers(name)
    return {
        "name": name,
        "site": one.site,
        "address": one.address,
        "engine": "down" if running is None else "up",
        "containers": running,
        "socket": str(one.socket),
        "tls": one.engine_tls,
    }


def _folder(name: str | None, directory: Path | None) -> Path:
    return (directory or DEFAULT_PARENT / (name or DEFAULT_NAME)).absolute()


def _mapping(file: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput((Problem(str(file), str(error)),), subject="the lab") from error
    if not isinstance(value, dict):
        raise InvalidInput((Problem(str(file), "not a mapping", "such as auth: {…}"),), subject="the lab")
    return value


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InvalidInput((Problem("memory", str(error)),), subject="the lab") from error


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)
