"""How an instance comes to be exactly once, whoever is killed in between.

The container's name is made of the owner and the instance, so the engine itself refuses a second one; what is found
under that name is adopted. A container that was made but never started is started by whoever is asked to next. A port
of the host is one that no other container of ours has: after making the container the engine is asked who else has
it, and the one that finds another yields.
"""

import asyncio
import json
from typing import Any

from dcp.drivers.runtimes.docker import secrets, underlay
from dcp.drivers.runtimes.docker.api import ANSWER_S, EngineApi, EngineRefused
from dcp.drivers.runtimes.docker.choices import UnderlayChoice
from dcp.drivers.runtimes.docker.host_ports import somebody_listens
from dcp.drivers.runtimes.docker.image_names import ImageNames
from dcp.drivers.runtimes.docker.refusals import is_image_missing, is_port_taken, translate
from dcp.drivers.runtimes.docker.request import Given, check_order, container_name, creation, digest
from dcp.drivers.runtimes.docker.seen import HOST_PORT, ORDER, OWNER, Phase, Seen, of_inspection, of_listing
from dcp.drivers.runtimes.docker.session import Session
from dcp.kernel.errors import DriverError, Rejected
from dcp.orchestration.services.container import NetworkMode
from dcp.orchestration.services.model import StartOrder

LONGEST_S = 60.0
"""A slow engine may take this long for one call of a start; whoever waits for the start is told after 5 s."""
PORT_TRIES = 10
NAME_SHOWN_S = 3.0


class _PortTaken(Exception):
    """The chosen port is somebody else's."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Starting:
    """Starts instances on one host."""

    def __init__(self, session: Session, images: ImageNames, underlay: UnderlayChoice | None, at_once: int) -> None:
        self._session = session
        self._turns = asyncio.Semaphore(at_once)
        self._images = images
        self._underlay = underlay
        self._under_way: dict[str, asyncio.Task[Seen]] = {}

    async def start(self, order: StartOrder) -> Seen:
        """Return what is seen once it was started; a start that takes longer than the bound goes on behind it.

        The bound counts from its turn: so many are started at once, the others wait for theirs.
        """
        check_order(order)
        task = self._under_way.get(order.instance_id)
        if task is None:
            await self._turns.acquire()
            task = self._under_way.get(order.instance_id)
            if task is not None:
                self._turns.release()
        if task is None:
            task = asyncio.create_task(self._start(order), name=f"start:{order.instance_id}")
            self._under_way[order.instance_id] = task
            task.add_done_callback(lambda done: self._done(order.instance_id, done))
        done, _ = await asyncio.wait((task,), timeout=ANSWER_S)
        if not done:
            raise DriverError(f"{order.instance_id}: its engine is still starting it after {ANSWER_S:g} s")
        return task.result()

    async def settled(self, instance_id: str) -> None:
        """Return once no start of this instance is under way. DriverError: one still is after a while."""
        task = self._under_way.get(instance_id)
        if task is not None and not (await asyncio.wait((task,), timeout=ANSWER_S))[0]:
            raise DriverError(f"{instance_id}: is still being started")

    async def aclose(self) -> None:
        """What is under way is cut where it is; the next start of the same instance goes on from there."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, instance_id: str, task: asyncio.Task[Seen]) -> None:
        self._turns.release()
        self._under_way.pop(instance_id, None)
        if not task.cancelled():
            # Read, so that a failure that nobody waited for is not reported as unheard.
            task.exception()

    async def _start(self, order: StartOrder) -> Seen:
        api = await self._session.ready()
        known = self._session.find(order.instance_id)
        if known is not None and known.phase is not Phase.CREATED:
            return known
        try:
            return await self._make(api, order, known)
        except EngineRefused as error:
            raise translate(order.instance_id, error) from error

    async def _make(self, api: EngineApi, order: StartOrder, known: Seen | None) -> Seen:
        """Go on with the container that a crash left, or make one; with another port while the chosen is taken."""
        refused = _PortTaken("")
        for _ in range(PORT_TRIES):
            try:
                if known is not None:
                    return await self._go_on(api, order, known)
                return await self._make_anew(api, order)
            except _PortTaken as error:
                refused, known = error, None
                if order.container.host_port is not None:
                    raise Rejected(f"port-taken: {order.instance_id}: {error.words}") from error
        raise DriverError(f"{order.instance_id}: found no free port in {PORT_TRIES} tries: {refused.words}")

    async def _go_on(self, api: EngineApi, order: StartOrder, known: Seen) -> Seen:
        if known.labels.get(ORDER) != digest(order):
            await self._remove(api, known.container_id)
            return await self._make_anew(api, order)
        await self._yield_to_others(api, order, known)
        return await self._run(api, order, known)

    async def _make_anew(self, api: EngineApi, order: StartOrder) -> Seen:
        network = ""
        if order.container.network is NetworkMode.UNDERLAY:
            network = await underlay.ensure(api, self._underlay, self._session.host.site, self._session.shared.owner)
        port = await self._choose_port(order)
        try:
            made = await self._create(api, order, port, network)
            if made.phase is not Phase.CREATED:
                return made
            await self._yield_to_others(api, order, made)
            return await self._run(api, order, made)
        finally:
            self._session.ports.release(port)

    async def _choose_port(self, order: StartOrder) -> int:
        """Return a reserved port of the host; 0 where none is needed. Raises _PortTaken for a fixed one."""
        if order.container.network is NetworkMode.UNDERLAY:
            return 0
        ports, address = self._session.ports, self._session.host.address
        used = {seen.host_port for seen in self._session.all() if seen.phase is not Phase.ENDED}
        fixed = order.container.host_port
        if fixed is not None:
            if fixed in used or await somebody_listens(address, fixed):
                raise _PortTaken(f"port {fixed} of the host is taken")
            return fixed
        while True:
            port = ports.choose(used)
            if not await somebody_listens(address, port):
                return port
            ports.note_foreign(port)
            ports.release(port)
            used.add(port)

    async def _create(self, api: EngineApi, order: StartOrder, port: int, network: str) -> Seen:
        """Return the instance's one container: made now, or what already has its name."""
        owner = self._session.shared.owner
        name = container_name(owner, order.instance_id)
        for first in (True, False):
            image = await self._images.find(api, order.image)
            given = Given(owner, image, port, network)
            body = creation(order, given)
            try:
                made = await api.call("POST", "/containers/create", params={"name": name}, body=body, limit_s=LONGEST_S)
            except EngineRefused as error:
                if error.status == 409:
                    return await self._adopt(api, name, error)
                if first and is_image_missing(error):
                    self._images.forget(order.image)
                    continue
                raise
            return self._session.note(Seen(made["Id"], body["Labels"], Phase.CREATED))
        raise AssertionError("unreachable: the second try returns or raises")

    async def _adopt(self, api: EngineApi, name: str, conflict: EngineRefused) -> Seen:
        found = await self._inspect_soon(api, name, conflict)
        if found.labels.get(OWNER) != self._session.shared.owner:
            raise Rejected(f"{name}: a container of this name is not ours", hint="remove or rename it")
        return self._session.note(found)

    async def _inspect_soon(self, api: EngineApi, name: str, conflict: EngineRefused) -> Seen:
        """A name is taken a moment before its container can be seen, and a moment longer while it is removed."""
        clock = self._session.shared.clock
        give_up_at = clock.now() + NAME_SHOWN_S
        while True:
            try:
                return of_inspection(await api.get(f"/containers/{name}/json"))
            except EngineRefused as error:
                if error.status != 404:
                    raise
                if clock.now() > give_up_at:
                    raise DriverError(f"{name}: {conflict.message}") from error
            await clock.sleep(0.02)

    async def _yield_to_others(self, api: EngineApi, order: StartOrder, made: Seen) -> None:
        """Whoever finds that another has its port removes its own container: two never both go on."""
        if order.container.network is not NetworkMode.HOST:
            return
        filters = {"label": [f"{OWNER}={self._session.shared.owner}", f"{HOST_PORT}={made.host_port}"]}
        items: list[dict[str, Any]] = await api.get("/containers/json", {"all": "1", "filters": json.dumps(filters)})
        others = [one for one in map(of_listing, items) if one.container_id != made.container_id]
        if any(one.phase is not Phase.ENDED for one in others):
            await self._remove(api, made.container_id)
            raise _PortTaken(f"port {made.host_port} of the host is another instance's")

    async def _run(self, api: EngineApi, order: StartOrder, made: Seen) -> Seen:
        for folder in secrets.folders(order.container.secrets):
            packed = secrets.archive(order.container.secrets, folder)
            path = f"/containers/{made.container_id}/archive"
            await api.call("PUT", path, params={"path": folder}, data=packed, limit_s=LONGEST_S)
        try:
            await api.call("POST", f"/containers/{made.container_id}/start", limit_s=LONGEST_S)
        except EngineRefused as error:
            await self._remove(api, made.container_id)
            if is_port_taken(error):
                self._session.ports.note_foreign(made.host_port)
                raise _PortTaken(error.message) from error
            raise
        return self._session.note(Seen(made.container_id, made.labels, Phase.RUNNING))

    async def _remove(self, api: EngineApi, container_id: str) -> None:
        """Remove a container that never ran."""
        try:
            await api.call("DELETE", f"/containers/{container_id}", params={"v": "1", "force": "1"}, limit_s=LONGEST_S)
        except EngineRefused as error:
            if error.status != 404:
                raise
        self._session.drop(container_id)
