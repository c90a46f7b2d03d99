"""The xDS server of one controller: answers every proxy that turns to it, from the state that all controllers share.

Nothing is answered before that state was read, and nothing is taken from a proxy unless the state says so: a
controller that starts, or that cannot reach its store, leaves every proxy as it is. State is read again when this
controller changed it, and several times a second in case another did.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import structlog

from dcp.drivers.balancers.envoy.certificates import Identity, proxy_name
from dcp.drivers.balancers.envoy.messages import METHOD, read_request, write_response
from dcp.drivers.balancers.envoy.options import EMBEDDED
from dcp.drivers.balancers.envoy.resources import View
from dcp.drivers.balancers.envoy.session import Session, Wanted
from dcp.kernel.clock import Clock
from dcp.kernel.errors import DcpError, Unavailable
from dcp.orchestration.traffic.edge import EdgeState
from dcp.orchestration.traffic.ports import EdgeLedger

log = structlog.get_logger("dcp")
POLL_S = 0.1
_LOOK_AT_SOCKET_S = 0.5
_RETRY_REFUSED_S = 5.0
_CLOSE_S = 1.0  # streams end by themselves when the server closes; this is for one that does not
_OPTIONS = (
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", 64 << 20),
)
_SUBJECT_NAMES = "x509_subject_alternative_name"


class Connected:
    """A proxy that is connected to this controller."""

    def __init__(self, node: str, session: Session) -> None:
        self.node = node
        self.session = session
        self.wake = asyncio.Event()


class XdsServer:
    """`view` says what a node should have, `known` whether it may connect, `trouble` why it cannot be asked (or "")."""

    def __init__(
        self,
        clock: Clock,
        ledger: EdgeLedger,
        view: View,
        *,
        known: Callable[[str], bool],
        trouble: Callable[[str], Awaitable[str]],
    ) -> None:
        self._trouble = trouble
        self._clock = clock
        self._ledger = ledger
        self._view = view
        self._known = known
        self._state: EdgeState | None = None
        self._views: dict[str, Wanted] = {}
        self._loaded = asyncio.Event()
        self._moved = asyncio.Event()
        self._connected: dict[str, Connected] = {}
        self._socket: tuple[Any, tuple[int, int] | None] | None = None
        self._network: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._refresh = asyncio.Lock()
        self._closing = False

    async def open(self, path: Path | None, listen: tuple[str, int] | None, identity: Identity | None) -> None:
        """Answer on a socket file, unless another controller does, and on the network. Idempotent."""
        if listen is not None and identity is not None and self._network is None:
            self._network = await self._serve_network(listen, identity)
        if path is not None:
            await self.keep_socket(path)
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_ledger(path), name="xds-ledger")

    async def close(self) -> None:
        """Let go of every proxy; each turns to another controller, or waits for the next."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        servers = [self._network, self._socket[0] if self._socket else None]
        self._network = self._socket = None
        self._closing = True
        self.tell_all()
        await asyncio.gather(*(server.stop(_CLOSE_S) for server in servers if server is not None))

    async def keep_socket(self, path: Path) -> None:
        """Make the socket file ours if nobody answers there."""
        if self._socket is not None and self._socket[1] == _identity_of(path):
            return
        if await asyncio.to_thread(_answers, path):
            return
        if self._socket is not None:
            await self._socket[0].stop(_CLOSE_S)
        server = self._new_server(local=True)
        path.unlink(missing_ok=True)
        if server.add_insecure_port(f"unix:{path}") == 0:
            raise Unavailable(f"the socket for the proxy cannot be made: {path}")
        await server.start()
        path.chmod(0o600)
        self._socket = (server, _identity_of(path))

    async def refresh(self) -> EdgeState:
        """Read the state and tell every proxy that is connected here."""
        async with self._refresh:
            state = await self._ledger.load(self._state)
            if self._state is None or state != self._state:
                self._state = state
                self._views.clear()
                self.tell_all()
        self._loaded.set()
        return state

    def connected(self, node: str) -> Connected | None:
        return self._connected.get(node)

    def tell_all(self) -> None:
        """Let every session look whether there is something to send."""
        for one in self._connected.values():
            one.wake.set()

    def wanted(self, node: str) -> Wanted | None:
        """Return what the node should have now; None before the state was read."""
        if self._state is None:
            return None
        if node not in self._views:
            self._views[node] = self._view(self._state, node)
        return self._views[node]

    async def moved(self, bound_s: float) -> None:
        """Return when a proxy has said something, or after `bound_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(bound_s):
                await self._moved.wait()

    async def _watch_ledger(self, path: Path | None) -> None:
        retry_at = look_at = self._clock.now()
        while True:
            try:
                if self._state is None or await self._ledger.revision() != self._state.revision:
                    await self.refresh()
                if path is not None and self._clock.now() >= look_at:
                    look_at = self._clock.now() + _LOOK_AT_SOCKET_S
                    await self.keep_socket(path)
            except (DcpError, OSError) as error:
                log.warning("proxies keep what they have", error=str(error))
            if self._clock.now() >= retry_at:
                retry_at = self._clock.now() + _RETRY_REFUSED_S
                self.retry_refused(lambda node: node != EMBEDDED)
            await self._clock.sleep(POLL_S)

    def retry_refused(self, which: Callable[[str], bool]) -> None:
        """Send again what some proxies refused: what was in the way there may be gone."""
        for one in self._connected.values():
            if which(one.node) and one.session.refusals():
                one.session.retry()
                one.wake.set()

    async def _serve_network(self, listen: tuple[str, int], identity: Identity) -> Any:
        server = self._new_server(local=False)
        credentials = grpc.ssl_server_credentials(
            [(identity.key.encode(), identity.chain.encode())],
            root_certificates=identity.authority.encode(),
            require_client_auth=True,
        )
        host, port = listen
        text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_secure_port(text, credentials)
        except RuntimeError:
            bound = 0
        if bound == 0:
            hint = "choose another in balancer.xds.listen"
            raise Unavailable(f"proxies cannot be answered on {text}: the address cannot be bound", hint=hint)
        await server.start()
        return server

    def _new_server(self, *, local: bool) -> Any:
        async def handle(requests: AsyncIterator[bytes], context: Any) -> None:
            await self._converse(requests, context, local=local)

        handler = grpc.stream_stream_rpc_method_handler(handle)
        service, method = METHOD.strip("/").split("/")
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        return server

    async def _converse(self, requests: AsyncIterator[bytes], context: Any, *, local: bool) -> None:
        opening = await anext(aiter(requests), None)
        if opening is None:
            return
        node, first = read_request(opening)
        if not self._may(node, context, local=local):
            log.warning("a proxy was turned away", node=node, hint="is it in balancer.proxies, with its own bootstrap?")
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{node!r} is no proxy of this edge")
        here = Connected(node, Session())
        here.session.heard(first)
        self._connected[node] = here
        listening = asyncio.create_task(self._listen(requests, here))
        tasks = [listening]
        if node != EMBEDDED:
            tasks.append(asyncio.create_task(self._seek_counting(here)))
        try:
            await self._loaded.wait()
            while not (listening.done() or self._closing):
                here.wake.clear()
                await self._answer(here, context)
                await here.wake.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._connected.get(node) is here:
                del self._connected[node]
            self._pulse()

    async def _listen(self, requests: AsyncIterator[bytes], here: Connected) -> None:
        try:
            async for data in requests:
                _, request = read_request(data)
                if request.error and not here.session.said_before(request):
                    log.warning("a proxy refused", node=here.node, kind=request.type_url, error=request.error)
                here.session.heard(request)
                here.wake.set()
                self._pulse()
        finally:
            here.wake.set()

    async def _answer(self, here: Connected, context: Any) -> None:
        wanted = self.wanted(here.node)
        assert wanted is not None
        for response in here.session.next(wanted):
            await context.write(write_response(response))

    async def _seek_counting(self, here: Connected) -> None:
        """Have the proxy counted on again, once it has the present state and can be asked."""
        told = ""
        while True:
            await self._clock.sleep(POLL_S)
            wanted = self.wanted(here.node)
            if wanted is None or here.node in self._counted() or not here.session.up_to_date(wanted):
                continue
            trouble = await self._trouble(here.node)
            try:
                if not trouble:
                    await self._ledger.count(here.node, wanted.revision)
                    await self.refresh()
            except DcpError as error:
                trouble = str(error)
            if trouble and trouble != told:
                log.warning("a proxy is connected but cannot be counted on", node=here.node, error=trouble)
            told = trouble

    def _counted(self) -> frozenset[str]:
        return self._state.counted() if self._state is not None else frozenset()

    def _may(self, node: str, context: Any, *, local: bool) -> bool:
        if local:
            return node == EMBEDDED and self._known(node)
        names = context.auth_context().get(_SUBJECT_NAMES, ())
        return node != EMBEDDED and self._known(node) and proxy_name(node).encode() in names

    def _pulse(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(1.0)
        try:
            attempt.connect(os.fspath(path))
        except OSError:
            return False
    return True
