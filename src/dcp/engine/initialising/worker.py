"""The worker that makes bare hosts ready: it begins runs, collects their news and writes them in batches.

Runs never write. What they say waits in a queue, and each look writes all of it in one transaction, however many hosts
ended meanwhile. After a crash the rows say `running` and no run of this controller works on them: they are run again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from dcp.engine.context import Context, log
from dcp.hosts.initialising import (
    Initialisation,
    InitialisationState,
    InitialiseDecision,
    InitialiseView,
    decide_initialising,
    fail,
    is_bare,
    succeed,
)
from dcp.hosts.model import Host
from dcp.hosts.ports import Initialiser, InitNews
from dcp.kernel.errors import DcpError
from dcp.kernel.events import Event
from dcp.store import events, hosts, initialisations
from dcp.store.initialisations import InitLog
from dcp.store.leases import Lease

SUBJECT = "initialise"
FORGET_EVERY_S = 600.0


class InitialiseWorker:
    """Initialises the hosts of all sources."""

    pause_s = 0.2
    """Results that come within it are written together."""

    def __init__(self, context: Context, initialiser: Initialiser) -> None:
        self.subject = SUBJECT
        self._context = context
        self._initialiser = initialiser
        self._news: list[InitNews] = []
        self._under_way: dict[str, int] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._begun = 0
        self._forgot_at = float("-inf")

    async def step(self, lease: Lease) -> float:
        """Write what runs have told, decide, write, begin a run; return seconds until the next look."""
        await self._write_news(lease)
        if not self._under_way and await self._context.database.read(self._has_nothing_to_do):
            return self._context.settings.poll_s
        decision = await self._context.write_under(lease, self._decide)
        if decision.run:
            self._begin(decision.run)
        busy = bool(decision.add or decision.run or decision.change)
        settings = self._context.settings
        return settings.busy_poll_s if busy else settings.poll_s

    async def close(self) -> None:
        """End every run; the next holder of the lease begins them again."""
        for task in self._runs.values():
            task.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)

    def _has_nothing_to_do(self, connection: Connection) -> bool:
        """Where nobody comes bare, nothing is written at every look."""
        if self._context.clock.now() - self._forgot_at >= FORGET_EVERY_S:
            return False
        return not any(map(is_bare, hosts.current(connection))) and not initialisations.rows(connection)

    def _decide(self, connection: Connection) -> InitialiseDecision:
        now = self._context.clock.now()
        if now - self._forgot_at >= FORGET_EVERY_S:
            initialisations.forget(connection, now - self._context.settings.keep_history_s)
            self._forgot_at = now
        view = InitialiseView(
            now=now,
            hosts=tuple(filter(is_bare, hosts.current(connection))),
            rows=initialisations.rows(connection),
            under_way=frozenset(self._under_way),
            runs=len(self._runs),
            limits=self._context.initialise_limits,
        )
        decision = decide_initialising(view)
        initialisations.add(connection, decision.add)
        for before, after in decision.change:
            initialisations.change(connection, before, after)
        return decision

    def _begin(self, batch: tuple[Host, ...]) -> None:
        self._begun += 1
        run = self._begun
        self._under_way.update((host.id, run) for host in batch)
        self._runs[run] = asyncio.create_task(self._run(run, batch), name=f"initialise-{run}")

    async def _run(self, run: int, batch: tuple[Host, ...]) -> None:
        """Follow a run to its end; every host of it ends, also where the run as a whole fails."""
        waiting, words = {host.id: "" for host in batch}, "its run ended without a result"
        try:
            async for news in self._initialiser.run(batch):
                if news.host_id not in waiting:
                    continue
                waiting[news.host_id] = news.phase
                if news.ended:
                    del waiting[news.host_id]
                self._tell(news)
        except DcpError as error:
            words = str(error)
        except Exception as error:
            log.exception("initialisation failed", run=run)
            self._context.unexpected.append(error)
            words = f"its run failed: {error}"
        finally:
            self._runs.pop(run, None)
        for host_id, phase in waiting.items():
            self._tell(InitNews(host_id, phase, ended=True, failed_words=words, log=words))

    def _tell(self, news: InitNews) -> None:
        self._news.append(news)
        self._context.wakes.wake(SUBJECT)

    async def _write_news(self, lease: Lease) -> None:
        """What is told while this is written waits for the next time; what cannot be written is kept."""
        count = len(self._news)
        if not count:
            return
        news = self._news[:count]
        latest = {one.host_id: one for one in news}
        sources = await self._context.write_under(lease, lambda connection: self._write(connection, latest))
        del self._news[:count]
        for one in latest.values():
            if one.ended:
                self._under_way.pop(one.host_id, None)
        if sources:
            self._context.wakes.wake("controller")  # it opens sessions with engines that are there now
        for source in sources:
            self._context.wakes.wake(f"source/{source}")

    def _write(self, connection: Connection, latest: Mapping[str, InitNews]) -> frozenset[str]:
        """Write the news; return the sources of hosts that are done or given up."""
        now, told, ended = self._context.clock.now(), list[Event](), set[str]()
        rows = initialisations.rows(connection)
        ledger = {host.id: host for host in hosts.of_ids(connection, latest)}
        for host_id, news in latest.items():
            row, host = rows.get(host_id), ledger.get(host_id)
            if row is None or host is None or row.state != InitialisationState.RUNNING:
                continue
            after = initialisations.change(connection, row, self._after(row, news, now))
            if not news.ended:
                continue
            told.append(_event(host, row, after, news, now))
            ended |= {host.source} if after.state != InitialisationState.WANTED else set()
            if news.failed_words:
                text = news.log or news.failed_words
                initialisations.keep_log(connection, InitLog(host_id, row.attempts, now, news.failed_words, text))
        events.append(connection, now, told)
        return frozenset(ended)

    def _after(self, row: Initialisation, news: InitNews, now: float) -> Initialisation:
        moved = row if not news.phase else _in_phase(row, news.phase)
        if not news.ended:
            return moved
        if not news.failed_words:
            return succeed(moved, now)
        return fail(moved, news.failed_words, self._context.initialise_limits, now)


def _in_phase(row: Initialisation, phase: str) -> Initialisation:
    return replace(row, phase=phase)


def _event(host: Host, row: Initialisation, after: Initialisation, news: InitNews, now: float) -> Event:
    if after.state == InitialisationState.DONE:
        note = f"; {news.note}" if news.note else ""
        return Event(host.subject, "initialised", f"applied in {now - row.since:.1f} s, {news.changed} changes{note}")
    if after.state == InitialisationState.FAILED:
        return Event(host.subject, "initialise-failed", f"in phase {after.phase or 'start'}: {after.words}")
    wait_s = after.not_before - now
    words = f"try {row.attempts} failed in phase {after.phase or 'start'}, again in {wait_s:.0f} s: {after.words}"
    return Event(host.subject, "initialise-retried", words)
