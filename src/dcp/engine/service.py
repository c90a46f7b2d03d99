"""The worker of one service: observe its instances, decide each one's next step, write it, then act on it.

The order inside one look is what keeps requests safe: steps are written first, then the balancer is told, and only
what the balancer has acknowledged as gone is stopped. Starts and stops run beside each other as tasks of their own,
one at most for an instance, so that a slow stop holds nothing else up.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcp.engine.capacity.run import CapacityTests, Seen
from dcp.engine.context import Context, log
from dcp.engine.features import Features, Switches
from dcp.engine.health import HealthChecks
from dcp.engine.resting import Resting
from dcp.engine.underlay import UnderlayAddresses
from dcp.hosts.model import Host
from dcp.hosts.states import HostState
from dcp.images.warming.model import as_pulled
from dcp.images.warming.states import HostImageState
from dcp.kernel.errors import DriverError, LeaseLost, Rejected, Stale, Unreachable
from dcp.kernel.events import Event
from dcp.orchestration.scaling.switches import features_off
from dcp.orchestration.services.container import NetworkMode
from dcp.orchestration.services.decide import InstanceView, ServiceLife, Step, decide_service
from dcp.orchestration.services.model import Instance, Observation, ServiceKey, ServiceSpec, StartOrder
from dcp.orchestration.services.states import ENDED, InstanceState
from dcp.orchestration.traffic.gate import gate_open
from dcp.orchestration.traffic.model import DEFAULT_WEIGHT, Endpoint
from dcp.store import applications, events, hosts, instances, published, warming
from dcp.store.applications import Application, ServiceRow
from dcp.store.leases import Lease

START_TRIES = 5
"""A start that fails this often in a row makes the instance fail; the restart policy takes over."""

FRESH_SHARE = 0.9
"""Of a poll: what serves is not looked at again before, so that each poll looks at it."""
LOOKS_PER_S = 2000
"""Most instances that serve are looked at so many a second; with more of them a poll takes longer."""
PAUSE_S = 100e-6
"""For each of its instances a service waits this long between looks, however often it is woken: a look at a thousand
costs a tenth of a second, and a thousand starts end one by one."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the ledger says about one service."""

    every: tuple[Instance, ...]
    """All that have not ended."""
    own: tuple[Instance, ...]
    """Those of them that are not at rest."""
    specs: Mapping[int, ServiceSpec]
    hosts: Mapping[str, Host]
    serving: Mapping[str, int]
    targets: Mapping[str, int]
    attainable: Mapping[str, int]
    published: frozenset[str]
    """Instances that clients of discovery can see, or could a moment ago."""
    listen_ports: Mapping[str, int]
    """Of every service of the application, for its instances' environment."""
    warm: frozenset[tuple[str, str]]
    """(host, image) that are there."""
    capacity_test: Seen
    switches: Switches | None

    def state_of(self, host_id: str) -> HostState:
        return host.state if (host := self.hosts.get(host_id)) else HostState.RELEASED

    def site_of(self, host_id: str) -> str:
        return host.site if (host := self.hosts.get(host_id)) else ""


class ServiceWorker:
    """Drives the instances of one service through their life."""

    def __init__(self, context: Context, key: ServiceKey) -> None:
        self.subject = f"service/{key}"
        self._context = context
        self._key = key
        self._checks = HealthChecks(context, self.subject)
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._start_failures: dict[str, int] = {}
        self._taking: tuple[tuple[Instance, ...], Mapping[str, int]] = ((), {})
        self._acknowledged: tuple[Endpoint, ...] | None = None
        self._underlay = UnderlayAddresses(context)
        self._seen: dict[str, tuple[float, Observation | None]] = {}
        self._resting = Resting()
        self._capacity_tests = CapacityTests(context, key)
        self._features = Features(context, self.subject)
        self._fresh_s = 0.0
        self.pause_s = 0.0

    async def step(self, lease: Lease) -> float:
        """Observe, decide, write and act once; return seconds until the next look."""
        loaded = await self._context.database.read(self._load)
        self.pause_s = min(self._context.settings.busy_poll_s, PAUSE_S * len(loaded.every))
        self._fresh_s = FRESH_SHARE * max(self._context.settings.poll_s, len(loaded.every) / LOOKS_PER_S)
        observations = await self._observe(loaded.own)
        self._checks.begin_due(loaded.own, loaded.specs, observations)
        life = await self._life(loaded, observations)
        written = await self._write(lease, decide_service(life), observations)
        self._rest(life, written, loaded)
        current = tuple(written.get(instance.id, instance) for instance in loaded.own)
        if self._key.name in loaded.listen_ports:
            weights = await self._capacity_tests.step(lease, loaded.capacity_test)
            await self._tell_balancer(lease, tuple(written.get(one.id, one) for one in loaded.every), weights)
        written |= await self._note_serving(lease, current)
        await self._underlay.give(lease, self._on_underlay(current, loaded), loaded.hosts)
        self._features.tell((written.get(one.id, one) for one in loaded.every), loaded.switches)
        self._act(lease, current, loaded, observations)
        if written:
            self._wake_others(written)
        return min(self._next_look(current, bool(written)), self._capacity_tests.next_look_s(loaded.capacity_test))

    async def close(self) -> None:
        """Cancel what is under way; whoever takes the lease next decides again."""
        await self._checks.close()
        await self._features.close()
        for task in self._acting.values():
            task.cancel()
        await asyncio.gather(*self._acting.values(), return_exceptions=True)
        self._acting.clear()

    def _load(self, connection: Connection) -> _Loaded:
        every = instances.live(connection, self._key.application, self._key.name)
        known = hosts.kept(connection).by_id
        own = self._resting.wake(every, known, self._checks.doubtful, self._context.clock.now())
        specs = {
            revision: applications.spec_at(connection, self._key.application, revision).service(self._key.name)
            for revision in sorted({instance.spec_revision for instance in own})
        }
        rows = applications.service_rows(connection, self._key.application)
        application = applications.find(connection, self._key.application)
        return _Loaded(
            every=every,
            own=own,
            specs=specs,
            hosts=known,
            serving=instances.serving_counts(connection, self._key.application),
            targets={row.key.name: row.scaling.target for row in rows},
            attainable={row.key.name: row.attainable for row in rows},
            published=self._published(connection, own),
            listen_ports={row.key.name: row.listen_port for row in rows},
            warm=self._warm(connection, own),
            capacity_test=self._capacity_tests.load(connection, application, every, rows),
            switches=self._switches(application, rows),
        )

    def _switches(self, application: Application | None, rows: tuple[ServiceRow, ...]) -> Switches | None:
        """Return what its instances are to be told of their features; None: nothing."""
        spec = application.spec.find(self._key.name) if application else None
        state = next((row.scaling for row in rows if row.key == self._key), None)
        if spec is None or spec.degrade is None or state is None:
            return None
        return Switches(spec.degrade.path, features_off(spec, state))

    def _published(self, connection: Connection, own: tuple[Instance, ...]) -> frozenset[str]:
        """Return those that clients send requests to by themselves: after a cut perhaps any of them, for a while."""
        limits = self._context.settings.discovery
        if limits is None:
            return frozenset()
        if self._context.clock.now() - published.last_cut_at(connection, self._key) < limits.linger_s:
            return frozenset(instance.id for instance in own)
        return published.instances(connection, self._key)

    def _warm(self, connection: Connection, own: tuple[Instance, ...]) -> frozenset[tuple[str, str]]:
        """Return (host, image) that are there, of hosts where an instance waits."""
        waiting = {instance.host_id for instance in own if instance.state == InstanceState.PLACED}
        if self._context.warming is None or not waiting:
            return frozenset()
        rows = warming.rows_of(connection, waiting)
        return frozenset(row.key for row in rows if row.state == HostImageState.PRESENT)

    async def _observe(self, own: tuple[Instance, ...]) -> dict[str, Observation | None]:
        """Look at what is under way each time, at what serves once a poll."""
        now = self._context.clock.now()
        known = {i.id: found for i in own if (found := self._seen.get(i.id)) and self._is_fresh(i, found[0], now)}
        asked = [i for i in own if i.state != InstanceState.PLACED and i.id not in known]
        seen = await asyncio.gather(*(self._look_at(instance) for instance in asked))
        fresh = {i.id: (now, found[0]) for i, found in zip(asked, seen, strict=True) if found is not None}
        self._seen.update(fresh)
        return {instance_id: found for instance_id, (_, found) in (known | fresh).items()}

    def _is_fresh(self, instance: Instance, seen_at: float, now: float) -> bool:
        return instance.state == InstanceState.SERVING and now - seen_at < self._fresh_s

    async def _look_at(self, instance: Instance) -> tuple[Observation | None] | None:
        """Return what its runtime sees; None if the runtime cannot be asked, which says nothing of the instance."""
        try:
            return (await self._context.runtimes.of(instance.host_id).observe(instance.id),)
        except Unreachable:
            return None

    async def _life(self, loaded: _Loaded, observations: Mapping[str, Observation | None]) -> ServiceLife:
        active = await self._requests_in_flight(loaded.own)
        silent = _silent(loaded.own, observations)
        views = tuple(
            InstanceView(
                instance=instance,
                spec=loaded.specs[instance.spec_revision],
                host_state=loaded.state_of(instance.host_id),
                observation=observations.get(instance.id),
                reachable=instance.id not in silent,
                published=instance.id in loaded.published,
                health=self._checks.of(instance.id),
                active_requests=active.get(instance.id),
                image_missing=self._image_missing(instance, loaded),
            )
            for instance in loaded.own
            if instance.id not in self._acting or observations.get(instance.id) is not None
        )
        settings = self._context.settings
        return ServiceLife(
            now=self._context.clock.now(),
            drain_limit_s=settings.drain_limit_s,
            instances=views,
            serving=loaded.serving,
            targets=loaded.targets,
            attainable=loaded.attainable,
            steady=self._resting.steady,
        )

    def _rest(self, life: ServiceLife, written: Mapping[str, Instance], loaded: _Loaded) -> None:
        """Let those rest that nothing was decided for, until they are to be observed or checked again."""
        for view in life.instances:
            if view.instance.id not in written and view.instance.id not in self._acting:
                seen_at, _ = self._seen.get(view.instance.id, (life.now, None))
                due_at = self._checks.due_at(view.instance, view.spec.health)
                until = min(seen_at + self._fresh_s, due_at)
                self._resting.rest(view, loaded.hosts.get(view.instance.host_id), until)

    def _image_missing(self, instance: Instance, loaded: _Loaded) -> str:
        if self._context.warming is None:
            return ""
        image = as_pulled(loaded.specs[instance.spec_revision].image)
        if not image or (instance.host_id, image) in loaded.warm:
            return ""
        return f"{instance.host_id} does not have {image} yet"

    async def _requests_in_flight(self, own: tuple[Instance, ...]) -> dict[str, int]:
        """Ask the proxy about draining instances, but only once it acknowledged that they drain."""
        draining = [instance for instance in own if instance.state == InstanceState.DRAINING]
        told = {endpoint.instance_id for endpoint in self._acknowledged or () if endpoint.draining}
        if not any(instance.id in told for instance in draining):
            return {}
        status = await self._context.balancer.endpoints(self._key)
        active = {(one.address, one.port): one.active_requests for one in status}
        return {i.id: active.get((i.address, i.port), 0) for i in draining if i.id in told}

    async def _write(
        self, lease: Lease, steps: tuple[Step, ...], observations: Mapping[str, Observation | None]
    ) -> dict[str, Instance]:
        if not steps:
            return {}
        now = self._context.clock.now()

        def work(connection: Connection) -> dict[str, Instance]:
            _check_gates(connection, steps)
            changes = [(step.instance, _after(step, observations.get(step.instance.id), now)) for step in steps]
            written = instances.change_all(connection, changes)
            events.append(connection, now, [_event(step) for step in steps])
            return {instance.id: instance for instance in written}

        return await self._context.write_under(lease, work)

    async def _tell_balancer(self, lease: Lease, every: tuple[Instance, ...], weights: Mapping[str, int]) -> None:
        """Make the proxy's endpoints those that serve or drain. Returns when it has acknowledged them."""
        taking = tuple(one for one in every if one.state in (InstanceState.SERVING, InstanceState.DRAINING))
        if (taking, weights) == self._taking and self._acknowledged is not None:
            return
        wanted = tuple(
            Endpoint(
                one.id,
                one.address,
                one.port,
                draining=one.state == InstanceState.DRAINING,
                weight=weights.get(one.id, DEFAULT_WEIGHT),
            )
            for one in taking
        )
        if wanted != self._acknowledged:
            await self._context.balancer.set_endpoints(self._key, wanted, lease.token)
        self._taking, self._acknowledged = (taking, weights), wanted

    async def _note_serving(self, lease: Lease, current: tuple[Instance, ...]) -> dict[str, Instance]:
        """Gates count an instance only once the proxy has acknowledged it."""
        fresh = [i for i in current if i.state == InstanceState.SERVING and i.serving_at is None]
        if not fresh:
            return {}
        now = self._context.clock.now()

        def work(connection: Connection) -> dict[str, Instance]:
            written = instances.change_all(connection, [(i, replace(i, serving_at=now)) for i in fresh])
            events.append(connection, now, [_serving_event(i, now) for i in fresh])
            return {instance.id: instance for instance in written}

        return await self._context.write_under(lease, work)

    def _on_underlay(self, current: tuple[Instance, ...], loaded: _Loaded) -> tuple[Instance, ...]:
        """Return the starting instances that are to have an address of their site's network."""
        return tuple(
            instance
            for instance in current
            if instance.state == InstanceState.STARTING
            and loaded.specs[instance.spec_revision].container.network is NetworkMode.UNDERLAY
        )

    def _act(
        self,
        lease: Lease,
        current: tuple[Instance, ...],
        loaded: _Loaded,
        observations: Mapping[str, Observation | None],
    ) -> None:
        silent = _silent(loaded.own, observations)
        for instance in current:
            if instance.id in self._acting or instance.id in silent:
                continue
            if instance.state == InstanceState.STARTING and observations.get(instance.id) is None:
                self._spawn(instance, self._start(lease, instance, self._start_order(instance, loaded)))
            elif instance.state == InstanceState.STOPPING:
                seen = observations.get(instance.id)
                if seen is None or seen.running:
                    grace_s = loaded.specs[instance.spec_revision].stop_grace_s
                    self._spawn(instance, self._stop(instance, grace_s))
            elif instance.state in ENDED:
                self._checks.forget(instance.id)
                self._seen.pop(instance.id, None)
                self._start_failures.pop(instance.id, None)
                self._underlay.forget(instance.id)

    def _spawn(self, instance: Instance, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=f"{self.subject}:{instance.id}")
        self._acting[instance.id] = task
        task.add_done_callback(lambda _task: self._done(instance.id))

    def _done(self, instance_id: str) -> None:
        task = self._acting.pop(instance_id, None)
        if task is not None and not task.cancelled() and task.exception() is not None:
            log.error("action failed", instance=instance_id, error=repr(task.exception()))
        self._context.wakes.wake(self.subject)

    def _start_order(self, instance: Instance, loaded: _Loaded) -> StartOrder:
        spec = loaded.specs[instance.spec_revision]
        address = self._context.settings.service_address(loaded.site_of(instance.host_id))
        urls = {name: http_url(address, port) for name, port in loaded.listen_ports.items()}
        return replace(_start_order(instance, spec, urls), address=self._underlay.of(instance.id))

    async def _start(self, lease: Lease, instance: Instance, order: StartOrder) -> None:
        try:
            if order.container.network is NetworkMode.UNDERLAY and not order.address:
                raise DriverError(f"no address of its site's network is free for {instance.id}")
            seen = await self._context.runtimes.of(instance.host_id).start(order)
        except Rejected as error:
            await self._fail(lease, instance, "start-rejected", str(error))
            return
        except DriverError as error:
            await self._start_failed(lease, instance, error)
            return
        self._start_failures.pop(instance.id, None)
        if not seen.running:
            log.info("instance ended at once", instance=instance.id, exit_code=seen.exit_code)

    async def _start_failed(self, lease: Lease, instance: Instance, error: DriverError) -> None:
        tries = self._start_failures.get(instance.id, 0) + 1
        self._start_failures[instance.id] = tries
        log.warning("start failed", instance=instance.id, tries=tries, error=str(error))
        if tries >= START_TRIES:
            await self._fail(lease, instance, "start-failed", f"could not be started {tries} times: {error}")
            return
        await self._context.clock.sleep(min(5.0, 0.2 * 2**tries))

    async def _stop(self, instance: Instance, grace_s: float) -> None:
        try:
            await self._context.runtimes.of(instance.host_id).stop(instance.id, grace_s)
        except DriverError as error:
            log.warning("stop failed", instance=instance.id, error=str(error))
            await self._context.clock.sleep(1.0)

    async def _fail(self, lease: Lease, instance: Instance, reason: str, words: str) -> None:
        try:
            await self._write(lease, (Step(instance, InstanceState.FAILED, reason, words),), {})
        except (Stale, LeaseLost) as error:
            log.debug("not written", instance=instance.id, error=str(error))

    def _wake_others(self, written: Mapping[str, Instance]) -> None:
        """A change of serving instances may open gates; an end may free a host or need a replacement."""
        began = any(i.state == InstanceState.SERVING and i.serving_at for i in written.values())
        ended = any(i.state in ENDED for i in written.values())
        if began:
            self._context.wakes.wake_kind(f"service/{self._key.application}")
        if ended:
            self._context.wakes.wake_kind("source")
        if began or any(i.state == InstanceState.DRAINING for i in written.values()):
            self._context.wakes.wake("discovery")
        if began or ended:
            self._context.wakes.wake(f"application/{self._key.application}")

    def _next_look(self, current: tuple[Instance, ...], changed: bool) -> float:
        settings = self._context.settings
        if changed or any(i.state not in ENDED | {InstanceState.SERVING, InstanceState.PLACED} for i in current):
            return settings.busy_poll_s
        return settings.poll_s


def _silent(own: tuple[Instance, ...], observations: Mapping[str, Observation | None]) -> frozenset[str]:
    """Return the instances whose runtime was asked and could not answer."""
    return frozenset(i.id for i in own if i.state != InstanceState.PLACED and i.id not in observations)


def _check_gates(connection: Connection, steps: tuple[Step, ...]) -> None:
    """Refuse to pass a gate that closed since the snapshot was taken. Raises Stale."""
    for step in steps:
        if step.after != InstanceState.SERVING or not step.instance.gate:
            continue
        serving = instances.serving_counts(connection, step.instance.application)
        rows = applications.service_rows(connection, step.instance.application)
        targets = {row.key.name: row.scaling.target for row in rows}
        attainable = {row.key.name: row.attainable for row in rows}
        if gate_open(step.instance.gate, serving, targets, attainable):
            raise Stale(f"the gate of {step.instance.id} closed meanwhile")


def _after(step: Step, seen: Observation | None, now: float) -> Instance:
    after = replace(step.instance, state=step.after, reason=step.reason, changed_at=now)
    if step.after == InstanceState.HELD and seen is not None:
        return replace(after, address=seen.address, port=seen.port)
    if step.after in ENDED:
        return replace(after, ended_at=now)
    return after


def _serving_event(instance: Instance, now: float) -> Event:
    took_s = now - instance.created_at
    words = f"in the balancer, {took_s:.1f} s after it was planned"
    return Event(instance.subject, "serving", words, after=str(instance.state), numbers={"took_s": round(took_s, 2)})


def _event(step: Step) -> Event:
    return Event(
        step.instance.subject,
        step.reason,
        step.words,
        before=str(step.instance.state),
        after=str(step.after),
        numbers=step.numbers,
    )


def _start_order(instance: Instance, spec: ServiceSpec, urls: Mapping[str, str]) -> StartOrder:
    found = {f"DCP_URL_{name.upper().replace('-', '_')}": urls[name] for name in spec.dependencies() if name in urls}
    environment = {**found, **dict(spec.environment)}
    return StartOrder(
        instance_id=instance.id,
        host_id=instance.host_id,
        service=ServiceKey(instance.application, instance.service),
        command=spec.command,
        resources=instance.resources,
        image=spec.image,
        environment=tuple(sorted(environment.items())),
        working_dir=spec.working_dir,
        health=spec.health,
        stop_signal=spec.stop_signal,
        target_port=spec.target_port,
        container=spec.container,
        stop_grace_s=spec.stop_grace_s,
    )


def http_url(address: str, port: int) -> str:
    """Return the URL of a listener; an IPv6 address stands in brackets."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
