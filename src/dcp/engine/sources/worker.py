"""The worker of one source of hosts: list it, read the ledger, decide every host's next step, write, call, write.

What is about to be asked is written first, in one transaction; then the calls are made, beside the looks that follow;
what was answered by the next look is written in one more. A crash in between is mended by the next look: hosts in
`creating` without an answer are asked for again by the same call.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.engine.sources.calls import Answers, Caller, Round
from dcp.engine.sources.look import Look, Looker
from dcp.engine.sources.writing import write_steps
from dcp.hosts.adding.aside import event_of, put_aside
from dcp.hosts.answers import MemoryTimes, back_off_s, remembered, settle
from dcp.hosts.creation import AskingView, decide_asking, new_calls, repeated_calls
from dcp.hosts.decide import SourceDecision, decide_hosts
from dcp.hosts.model import Host, Offer, SourceHost, SourceKind
from dcp.hosts.pace import Pace
from dcp.hosts.places import Place
from dcp.hosts.ports import HostSource
from dcp.hosts.refusals import Refused
from dcp.hosts.states import COMING, HostState
from dcp.hosts.steps import HostStep
from dcp.kernel.errors import DriverError, OutOfStock, Rejected, Throttled
from dcp.kernel.events import Event
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.store import events, machines, refusals
from dcp.store.leases import Lease

ON_ITS_WAY = COMING | {HostState.STOPPING, HostState.STOPPED}
"""States in which a host makes no difference to anybody yet, or any more."""
ANSWER_AT_ONCE_S = 0.05
"""An answer that comes so soon is written in the same look: many a source has no network in between."""
GIVEN_LATELY_S = 120.0
"""A place that gave a host so lately is believed to have more."""
PRIVATE_MEMORY_S = 5.0
"""A private source says what is free, so a refusal is only the race of two plans; no cloud host is bought for long."""


class SourceWorker:
    """Drives the hosts of one source through their life."""

    def __init__(self, context: Context, source: HostSource) -> None:
        self.subject = f"source/{source.name}"
        self._context = context
        self._source = source
        self._looker = Looker(context, source)
        self._caller = Caller(source, context.settings.parallel_calls, lambda: context.wakes.wake(self.subject))
        self._held: Mapping[str, Mapping[str, Instance]] = {}
        self._silent = False
        self._listed_at = float("-inf")
        self._doubted = False
        self._reported: frozenset[str] = frozenset()
        self._collected_at: dict[str, float] = {}
        self._given_at: dict[Place, float] = {}
        self._pace = Pace(context.settings.parallel_calls)

    async def step(self, lease: Lease) -> float:
        """Write answers, list, decide, write and begin calls once; return seconds until the next look."""
        await self._write_answers(lease, await self._caller.collect())
        too_early_s = self._listed_at + self._source.limits.list_every_s - self._context.clock.now()
        if too_early_s > 0:
            return too_early_s
        self._listed_at = self._context.clock.now()
        listed = await self._listing(lease)
        if listed is None:
            return self._context.settings.poll_s
        look = await self._looker.look(listed, self._caller.tokens)
        self._held = look.fleet.held
        decision = decide_hosts(look.view)
        asking = decide_asking(await self._asking_view(look, decision))
        written = await self._write(lease, (*decision.steps, *asking), self._async_refusals(decision))
        self._caller.begin(
            Round(
                create=(*repeated_calls(look.members, look.listed), *new_calls(filter(_is_asked, written))),
                delete=(*decision.delete, *_now_in(written, HostState.RELEASING)),
                collect=await self._report(lease, look, decision),
                stop=(*decision.stop, *_now_in(written, HostState.STOPPING)),
                start=(*decision.start, *_now_in(written, HostState.STARTING)),
            )
        )
        await self._write_answers(lease, await self._caller.collect(ANSWER_AT_ONCE_S))
        busy = bool(written or look.view.strangers_since or look.under_way or self._caller.hosts)
        return self._context.settings.busy_poll_s if busy else self._context.settings.poll_s

    async def close(self) -> None:
        """Cancel the calls under way."""
        await self._caller.close()

    def _tell(self, written: tuple[Host, ...]) -> None:
        """Wake those to whom it matters: services with instances there, applications that may use or lack a host.

        How far a host is on its way matters to nobody before it is ready, and then to those who wait for it.
        """
        wakes, came = self._context.wakes, [host for host in written if host.state not in ON_ITS_WAY]
        held = (one for host in came for one in self._held.get(host.id, {}).values())
        for subject in dict.fromkeys(f"service/{ServiceKey(one.application, one.service)}" for one in held):
            wakes.wake(subject)
        if any(host.state is not HostState.READY or host.id not in self._held for host in came):
            wakes.wake_kind("application")

    async def _listing(self, lease: Lease) -> tuple[SourceHost, ...] | None:
        """A failed listing changes nothing: without it no host is lost and none is collected."""
        try:
            listed = await self._source.list_all()
        except DriverError as error:
            if not self._silent:
                event = Event(self.subject, "listing-failed", f"it cannot be listed: {error}")
                await self._context.write_under(lease, lambda connection: self._append(connection, [event]))
            self._silent = True
            if isinstance(error, Throttled):
                self._listed_at += error.delay_s
            return None
        self._silent = False
        return listed

    async def _asking_view(self, look: Look, decision: SourceDecision) -> AskingView:
        moved = {step.host.id for step in decision.steps}
        view = look.view
        waiting = tuple(
            host
            for host in view.hosts
            if host.state == HostState.REQUESTED and host.id not in moved and view.now >= host.not_before
        )
        offers = await self._offers() if waiting else None
        return AskingView(
            now=view.now,
            source=self._source.name,
            waiting=waiting if offers is not None else (),
            flying=tuple(h for h in view.hosts if h.state == HostState.CREATING and h.id not in look.listed),
            offers=offers or (),
            limits=self._source.limits,
            memory=look.memory,
            given_at={place: at for place, at in self._given_at.items() if view.now - at < GIVEN_LATELY_S},
            calls=self._pace.calls,
        )

    async def _offers(self) -> tuple[Offer, ...] | None:
        try:
            return await self._source.offers()
        except DriverError as error:
            log.warning("source does not say what it has", source=self._source.name, error=str(error))
            return None

    async def _write(
        self, lease: Lease, steps: tuple[HostStep, ...], memory: tuple[Refused, ...] = ()
    ) -> tuple[Host, ...]:
        if not steps and not memory:
            return ()
        now = self._context.clock.now()

        def work(connection: Connection) -> tuple[Host, ...]:
            if memory:
                refusals.expire(connection, now)
                refusals.remember(connection, memory)
            written = write_steps(connection, steps, now)
            if aside := put_aside(steps, written, now):
                machines.put_aside(connection, aside)
                events.append(connection, now, [event_of(one) for one in aside])
            return written

        written = await self._context.write_under(lease, work)
        self._tell(written)
        return written

    def _async_refusals(self, decision: SourceDecision) -> tuple[Refused, ...]:
        """What a source accepted first and refused later is remembered too."""
        late = [(s.host, s.seen.refusal) for s in decision.steps if s.seen is not None and s.seen.refusal is not None]
        return remembered(self._source.name, late, self._context.clock.now(), self._times()) if late else ()

    async def _report(self, lease: Lease, look: Look, decision: SourceDecision) -> tuple[str, ...]:
        """Tell of machines that nobody knows, and of doubt, when they begin; return what is to be collected now."""
        now, strangers = look.view.now, look.view.strangers_since
        name, grace_s = self._source.name, look.view.leak_grace_s
        self._collected_at = {one: at for one, at in self._collected_at.items() if one in strangers}
        again_s = self._context.settings.delete_again_s
        due = tuple(one for one in decision.collect if now - self._collected_at.get(one, -again_s) >= again_s)
        found = [
            Event(f"host/{one}", "leak-found", f"{name} shows it, the ledger does not know it: waits {grace_s:.0f} s")
            for one in strangers
            if one not in self._reported
        ]
        words = f"{name} still shows it, the ledger does not know it: taken back"
        found += [Event(f"host/{one}", "collected", words) for one in due if one not in self._collected_at]
        if decision.doubt and not self._doubted:
            found.append(Event(self.subject, "in-doubt", decision.doubt))
        if found:
            await self._context.write_under(lease, lambda connection: self._append(connection, found))
        self._reported, self._doubted = frozenset(strangers), bool(decision.doubt)
        self._collected_at |= dict.fromkeys(due, now)
        return due

    async def _write_answers(self, lease: Lease, answers: Answers) -> None:
        now = self._context.clock.now()
        settled = [settle(self._source.name, call, found, now, self._times()) for call, found in answers.created]
        throttled = sum(any(isinstance(one, Throttled) for one in found.values()) for _, found in answers.created)
        self._pace.answered(others=len(answers.created) - throttled, throttled=throttled)
        for call, found in answers.created:
            for host in call.wanted:
                place = (host.host_type.name, host.variant)
                if host.id not in found:
                    self._given_at[place] = now
                elif isinstance(found[host.id], OutOfStock):
                    self._given_at.pop(place, None)
        steps = [step for one in settled for step in one.steps]
        steps += [self._ask_again(host, error, now) for host, error in (*answers.deleted, *answers.stopped)]
        steps += [self._started(host, error, now) for host, error in answers.started]
        out = [(host, error) for host, error in answers.started if isinstance(error, OutOfStock)]
        memory = (
            *(one for part in settled for one in part.memory),
            *remembered(self._source.name, out, now, self._times()),
        )
        await self._write(lease, tuple(steps), memory)
        for host_id, refusal in answers.collected:
            if refusal is not None:
                log.warning("collecting failed", host=host_id, error=str(refusal))

    def _started(self, host: Host, error: DriverError | None, now: float) -> HostStep:
        """A source may have no room any more for a host that it kept; then another one is bought."""
        if isinstance(error, OutOfStock | Rejected):
            return HostStep(host, HostState.FAILED, error.code, f"cannot be switched on again: {error}")
        return self._ask_again(host, error, now)

    def _ask_again(self, host: Host, error: DriverError | None, now: float) -> HostStep:
        """What was accepted is asked again after a while too: some of it is never carried out."""
        attempts, delay_s, words = 0, self._context.settings.delete_again_s, ""
        if error is not None:
            attempts, delay_s = host.attempts + 1, back_off_s(host.attempts, error)
            words = f"{error}; asked again in {delay_s:.1f} s"
        changes = {"attempts": attempts, "not_before": now + delay_s}
        return HostStep(host, host.state, host.reason, words, changes=changes, told_as=error.code if error else "")

    def _times(self) -> MemoryTimes:
        settings = self._context.settings
        stock_s = settings.stock_memory_s
        if self._source.kind is SourceKind.PRIVATE:
            stock_s = min(stock_s, PRIVATE_MEMORY_S)
        return MemoryTimes(stock_s, settings.quota_memory_s, settings.denied_memory_s)

    def _append(self, connection: Connection, new: list[Event]) -> None:
        events.append(connection, self._context.clock.now(), new)


def _is_asked(host: Host) -> bool:
    return host.state == HostState.CREATING and host.reason == "asked"


def _now_in(written: tuple[Host, ...], state: HostState) -> tuple[Host, ...]:
    return tuple(host for host in written if host.state == state)
