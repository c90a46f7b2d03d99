"""`dcp serve`: one process that holds the API, the engine and the store, in one event loop.

It owns nothing that runs: services and the proxy go on when it ends, however it ends, and the next one takes them up.
"""

import asyncio
import contextlib
import errno
import ipaddress
import math
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import Connection

from dcp.api.app import create_app
from dcp.api.logs import configure_logs
from dcp.api.shapes import listen_url
from dcp.api.state_directory import Listening, StateDirectory, announced, lock_file, take
from dcp.engine.context import Context, log
from dcp.engine.controller import Controller
from dcp.kernel.clock import SystemClock
from dcp.kernel.errors import Conflict, DcpError, InvalidInput, Problem, Unavailable
from dcp.settings.model import Settings
from dcp.settings.read import read_settings
from dcp.store import leases
from dcp.store.database import open_database
from dcp.wiring import unwire, wire

FINISH_REQUESTS_S = 3
"""Requests to the API that are under way at the end are waited for this long."""
FORCED_EXIT = 130
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says."""

    state: Path
    config: Path | None = None
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8700
    log_level: str = "info"


def serve(options: ServeOptions, on_listening: Callable[[Listening], None]) -> None:
    """Serve until a signal asks to end; `on_listening` is called once requests are answered.

    Raises InvalidInput for a wrong configuration and Unavailable for a directory or port that is taken: nothing was
    changed then. Raises whatever ended the controller if that was not a signal.
    """
    configure_logs(options.log_level, terminal=sys.stderr.isatty())
    settings = read_settings(options.config)
    with contextlib.ExitStack() as stack:
        url = options.database
        alone = url is None or url.startswith("sqlite")
        if url is not None and alone:
            stack.callback(os.close, _lock_database(url))
        state = take(options.state.absolute(), alone=alone)
        stack.callback(state.close)
        listener = stack.enter_context(bind(options.host, options.port))
        server = _Server(state, settings, url or state.database_url, alone=alone)
        asyncio.run(server.run(listener, on_listening))


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises Unavailable if the port is taken, InvalidInput for an address of nobody."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except socket.gaierror as error:
        raise InvalidInput((Problem("host", f"{host!r} is not an address: {error.strerror}"),)) from error
    except OSError as error:
        words = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        hint = "is another controller running? --port 0 takes a free one"
        raise Unavailable(f"port {port} on {host} {words}", hint=hint) from error


class _Server:
    """One run of a controller and its API."""

    def __init__(self, state: StateDirectory, settings: Settings, database_url: str, *, alone: bool) -> None:
        self._state = state
        self._settings = settings
        self._database_url = database_url
        self._alone = alone
        self._asked_to_end = asyncio.Event()

    async def run(self, listener: socket.socket, on_listening: Callable[[Listening], None]) -> None:
        self._end_on_signals()
        here = Listening(listen_url(*listener.getsockname()[:2]), os.getpid())
        context = await self._open()
        controller = Controller(context, here.url)
        try:
            await self._run(context, controller, listener, here, on_listening)
        finally:
            self._state.withdraw(here)
            with contextlib.suppress(DcpError):  # the store may be what failed
                await controller.leave()
            await unwire(context)
        log.info("ended; services and proxy keep running", state=str(self._state.path))

    async def _open(self) -> Context:
        database = await asyncio.to_thread(open_database, self._database_url)
        clock = SystemClock()
        if self._alone:
            await database.write(_bury_the_dead)
        else:
            since = clock.now() - self._settings.engine.lease_ttl_s
            strangers = await database.read(lambda connection: self._strangers(connection, since))
            if strangers:
                database.close()
                words = f"controllers with another state directory use this store: {', '.join(strangers)}"
                raise Conflict(words, hint="instances are known by that directory: name the same one with --state")
        name = f"{socket.gethostname()[:20]}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            return wire(self._settings, self._state.path, database, clock, name)
        except BaseException:
            database.close()
            raise

    def _strangers(self, connection: Connection, since: float) -> list[str]:
        """Return where controllers of this store listen that were never announced in our directory."""
        ours = {one.url for one in announced(self._state.path)}
        return [address for _, address, _ in leases.living(connection, since) if address not in ours]

    async def _run(
        self,
        context: Context,
        controller: Controller,
        listener: socket.socket,
        here: Listening,
        on_listening: Callable[[Listening], None],
    ) -> None:
        api = _Api(create_app(context, self._state.token(), _reader_token(self._settings)))
        tasks: dict[str, asyncio.Task[Any]] = {
            "controller": asyncio.create_task(controller.run()),
            "api": asyncio.create_task(api.serve([listener])),
            "end": asyncio.create_task(self._asked_to_end.wait()),
        }
        try:
            await api.started_or(tasks["api"])
            self._state.announce(here)
            if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
                log.warning("the API is open to the network; the token travels unencrypted", url=here.url)
            log.info("listening", url=here.url, state=str(self._state.path), controller=context.controller_id)
            on_listening(here)
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            api.should_exit = True
            await asyncio.wait([tasks["api"]], timeout=FINISH_REQUESTS_S + 2)
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name in ("controller", "api"):
            _raise_failure(name, tasks[name], asked=self._asked_to_end.is_set())

    def _end_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # nohup and shells have a process ignore some on purpose.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._asked, number)

    def _asked(self, number: signal.Signals) -> None:
        """End in good order; asked a second time, at once."""
        if self._asked_to_end.is_set():
            log.warning("forced to end; services and proxy keep running", signal=number.name)
            os._exit(FORCED_EXIT)
        self._asked_to_end.set()
        log.info("ending", signal=number.name)


class _Api(uvicorn.Server):
    """uvicorn in our loop: signals are ours, and it tells when it answers."""

    def __init__(self, app: object) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=FINISH_REQUESTS_S,
            )
        )
        self._answers = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._answers.set()

    async def started_or(self, failed: "asyncio.Task[Any]") -> None:
        """Return when requests are answered, or when `failed` is done."""
        answers = asyncio.create_task(self._answers.wait())
        await asyncio.wait({answers, failed}, return_when=asyncio.FIRST_COMPLETED)
        answers.cancel()


def _lock_database(url: str) -> int:
    """Lock the file of a store of our choice: whoever has it alone may free the leases of the dead.

    Returns the descriptor that holds the lock. Raises InvalidInput for memory, Unavailable if somebody else has it.
    """
    file = url.removeprefix("sqlite:///")
    if not url.startswith("sqlite:///") or file in ("", ":memory:"):
        words = "a store in memory forgets what runs when the controller ends"
        raise InvalidInput((Problem("database", words, "name a file: sqlite:////var/lib/dcp/dcp.sqlite"),))
    descriptor = lock_file(Path(f"{file}.lock"), alone=True)
    if descriptor is None:
        raise Unavailable(f"the store {file} is in use by another controller", hint="give this one a store of its own")
    return descriptor


def _bury_the_dead(connection: Connection) -> None:
    """Free every lease and forget every controller: nobody else can hold the store, so they are all dead.

    Otherwise their share of the work would lie still until their leases run out.
    """
    leases.break_all(connection)
    leases.forget_dead(connection, before=math.inf)


def _raise_failure(name: str, task: "asyncio.Task[Any]", *, asked: bool) -> None:
    """Raise Unavailable if a part of the server ended that nobody asked to end."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error(f"{name} died", exc_info=error)
    if error is not None or (task.done() and not task.cancelled() and not asked):
        raise Unavailable(f"the {name} ended by itself: {error or 'no reason given'}", hint="see the log") from error


def _reader_token(settings: Settings) -> str:
    """Return the token that opens discovery only. Raises InvalidInput for a file that holds none."""
    path = settings.discovery_token_file
    if not path:
        return ""
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("discovery.token_file", f"{path} cannot be read: {error}", "write a token into it")
        raise InvalidInput((problem,), subject="configuration") from error
    if len(token) < SHORTEST_TOKEN:
        problem = Problem(
            "discovery.token_file", f"the token has {len(token)} characters", "such as openssl rand -hex 32"
        )
        raise InvalidInput((problem,), subject="configuration")
    return token
