"""`dcp images build`: from a folder or a git address, through an engine's builder, into registry and history."""

import asyncio
import base64
import getpass
import json as json_module
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dcp.api.client import Client, Json
from dcp.cli.images_report import difference_table
from dcp.cli.options import AsJson, Server, State, Token, client
from dcp.cli.output import err, print_json, print_result
from dcp.drivers.builders.archive import archive
from dcp.drivers.builders.engine import DEFAULT_ENGINE, EngineBuilder
from dcp.drivers.builders.ignore import ignore_of
from dcp.drivers.builders.sources import Source, open_source
from dcp.images.builds import BASE_LABEL, LAYER_LABEL, ImageLayer
from dcp.images.dockerfile import base_of
from dcp.images.model import ImageRef, is_digest
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import DriverError, InvalidInput, NotFound, Problem

LOG_LIMIT = 1 << 20
HEARD_S = 20.0
"""How long dcp may take to hear of the push and look at it, before the report goes without."""


def build(
    source: Annotated[str, typer.Argument(help="A folder, or a git address: URL#REF:FOLDER.")],
    tag: Annotated[str, typer.Option("--tag", help="What to call it: PROJECT/NAME:TAG.")],
    file: Annotated[str, typer.Option("--file", help="The Dockerfile, below the folder.")] = "Dockerfile",
    on: Annotated[
        str, typer.Option("--on", envvar="DOCKER_HOST", help="The engine that builds: a URL, or a host.")
    ] = DEFAULT_ENGINE,
    layer: Annotated[
        ImageLayer | None, typer.Option(help="What it is, where its Dockerfile does not say: label dcp.layer.")
    ] = None,
    build_arg: Annotated[list[str] | None, typer.Option("--build-arg", help="NAME=VALUE, for ARG.")] = None,
    username: Annotated[
        str, typer.Option(envvar="DCP_REGISTRY_USERNAME", help="Who pushes; else whom docker login knows.")
    ] = "",
    json: AsJson = False,
    state: State = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Build an image, push it, and say what changed."""
    clock = SystemClock()
    with client(state, server, token) as api, open_source(source) as found:
        registry = api.images.list()["registry"]
        ref = _reference(tag, registry)
        before = _head(api, ref)
        arguments = _arguments(build_arg or [])
        log = _Log(show=not json)
        began = clock.now()
        engine = EngineBuilder(_engine(api, on))
        try:
            digest, base = _build(engine, found, ref, file, layer, arguments, _credentials(registry, username), log)
        finally:
            engine.close()
        record: Json = {
            "id": f"build-{secrets.token_hex(5)}",
            "repository": ref.repository,
            "tag": ref.tag,
            "digest": digest,
            "built_at": clock.now(),
            "built_by": username or _user(),
            "source": found.name[:1000],
            "base": base[:1000],
            "duration_s": round(clock.now() - began, 3),
        }
        report = _report(api, ref, before, digest, clock)
        if report is not None:
            record |= {
                "size_bytes": report["whole_bytes"],
                "new_bytes": sum(one["size_bytes"] for one in report["added"]),
            }
        api.images.add_build(record, log.text())
    _print(record, report, json=json)


def _build(
    engine: EngineBuilder,
    source: Source,
    ref: ImageRef,
    file: str,
    layer: ImageLayer | None,
    arguments: dict[str, str],
    credentials: dict[str, dict[str, str]],
    log: "_Log",
) -> tuple[str, str]:
    """Build and push; return the digest and the base, pinned where the engine knows its digest."""
    path = source.folder / file
    if not path.is_file():
        raise InvalidInput((Problem("--file", f"{source.name} has no {file}", "name the Dockerfile below the folder"),))
    base = base_of(path.read_text(encoding="utf-8", errors="replace"), arguments)
    labels = {BASE_LABEL: base} if base else {}
    labels |= {LAYER_LABEL: str(layer)} if layer else {}
    try:
        context = archive(source.folder, ignore_of(source.folder, file), file)
    except ValueError as error:
        raise InvalidInput((Problem(".dockerignore", str(error)),)) from error
    log.follow(
        engine.build(context, str(ref), dockerfile=file, labels=labels, arguments=arguments, credentials=credentials)
    )
    digest = ""
    for line in log.each(engine.push(str(ref), credentials.get(ref.registry, {}))):
        if line.startswith("digest: "):
            digest = line.removeprefix("digest: ").strip()
    if not is_digest(digest):
        raise DriverError(f"the engine did not say under which digest {ref} was pushed")
    base_digest = engine.digest_of(base) if base else ""
    pinned = base if not base_digest or "@" in base else f"{base}@{base_digest}"
    return digest, pinned


def _report(api: Client, ref: ImageRef, before: str, digest: str, clock: SystemClock) -> Json | None:
    """Return what changed, once dcp has looked at the new image; None if it has not within its time."""
    name = f"{ref.repository}@{digest}"
    old = f"{ref.repository}@{before}" if before else name
    until = clock.now() + HEARD_S
    while clock.now() < until:
        try:
            found = api.images.difference(old, name)
        except NotFound:
            asyncio.run(clock.sleep(0.25))
            continue
        if not before:
            found["added"], found["shared"], found["move_bytes"] = found["shared"], [], found["whole_bytes"]
        return found
    return None


def _print(record: Json, report: Json | None, *, json: bool) -> None:
    if json:
        print_json({"build": record, "difference": report})
        return
    name = f"{record['repository']}:{record['tag']}"
    print_result(f"{name} is {record['digest']}, built and pushed in {record['duration_s']:.1f} s")
    if report is None:
        print_result("what changed is not known yet: see `dcp images diff`")
        return
    print_result(difference_table(report))


def _engine(api: Client, on: str) -> str:
    """Return the address of an engine that is named by it or by its host."""
    if "://" in on:
        return on
    for host in api.hosts()["hosts"]:
        if host["id"] == on and host["engine"]:
            return str(host["engine"])
    problem = Problem(
        "--on", f"no host with an engine is called {on}", "an address such as unix:///var/run/docker.sock"
    )
    raise InvalidInput((problem,))


def _head(api: Client, ref: ImageRef) -> str:
    """Return the digest that the tag means before the build."""
    for one in api.images.list(ref.repository)["images"]:
        if one["tag"] == ref.tag:
            return str(one["digest"])
    return ""


def _reference(text: str, registry: str) -> ImageRef:
    try:
        ref = ImageRef.parse(text)
    except ValueError as error:
        raise InvalidInput((Problem("--tag", str(error), "such as shop/web:1"),)) from error
    if ref.registry not in ("", registry) or ref.digest:
        raise InvalidInput((Problem("--tag", f"{text!r} is not a name in {registry}", "such as shop/web:1"),))
    return ImageRef(ref.repository, ref.reference, registry=registry)


def _arguments(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput((Problem("--build-arg", f"{one!r} is not NAME=VALUE"),))
        found[name] = value
    return found


def _credentials(registry: str, username: str) -> dict[str, dict[str, str]]:
    """Return who to be at the registry: who is named, with the password of the environment, else whom docker knows."""
    if username:
        password = os.environ.get("DCP_REGISTRY_PASSWORD")
        if not password:
            hint = "set DCP_REGISTRY_PASSWORD, or docker login and leave --username out"
            raise InvalidInput((Problem("--username", "there is no password for it", hint),))
        return {registry: {"username": username, "password": password, "serveraddress": registry}}
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        known = json_module.loads((folder / "config.json").read_text(encoding="utf-8"))
        entry = known["auths"][registry]
        name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        login = str(entry.get("identitytoken") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    if login:  # docker keeps a token instead of the password
        return {registry: {"username": name, "identitytoken": login, "serveraddress": registry}}
    return {registry: {"username": name, "password": password, "serveraddress": registry}}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


class _Log:
    """Keeps what the builder writes, the last of it, and shows it."""

    def __init__(self, *, show: bool) -> None:
        self._pieces: list[str] = []
        self._show = show

    def each(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._pieces.append(line if line.endswith("\n") else line + "\n")
            if self._show:
                err().print(line.rstrip("\n"), markup=False, highlight=False)
            yield line

    def follow(self, lines: Iterator[str]) -> None:
        for _ in self.each(lines):
            pass

    def text(self) -> str:
        return "".join(self._pieces)[-LOG_LIMIT:]
