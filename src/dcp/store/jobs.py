"""Work handed to a thread, and the promise of its result to the task that waits."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from dcp.kernel.errors import Unavailable


@dataclass(slots=True, eq=False)
class Job:
    """One function to run on a connection."""

    work: Callable[[Connection], Any]
    done: Future[Any] = field(default_factory=Future)

    def succeed(self, result: Any) -> None:
        """Hand the result over."""
        self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Hand the error over."""
        if isinstance(error, StopIteration):  # asyncio refuses to carry it, and the task would wait for ever
            stopped = RuntimeError("work on the database raised StopIteration")
            stopped.__cause__ = error
            error = stopped
        self.done.set_exception(error)


class Jobs:
    """A queue of jobs for `consumers` threads. What was accepted before `close` is still taken; nothing after."""

    def __init__(self, consumers: int) -> None:
        self._consumers = consumers
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def put(self, work: Callable[[Connection], Any]) -> Future[Any]:
        """Queue `work`; return the promise of its result. Raises Unavailable after `close`."""
        job = Job(work)
        with self._lock:
            if self._closed:
                raise Unavailable("the database was closed", hint="this controller is ending")
            self._queue.put(job)
        return job.done

    def take(self, limit: int) -> list[Job]:
        """Wait for a job; return it and up to `limit` in all that wait too. Empty: closed, and nothing is left.

        A job whose task was cancelled meanwhile is left out; from here on, one that was taken runs.
        """
        while True:
            first = self._queue.get()
            if first is None:
                return []
            jobs = [job for job in (first, *self._waiting(limit - 1)) if job.done.set_running_or_notify_cancel()]
            if jobs:
                return jobs

    def close(self) -> None:
        """Accept nothing more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in range(self._consumers):
                    self._queue.put(None)

    def _waiting(self, limit: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < limit:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)  # the next `take` has to see it
                break
            jobs.append(job)
        return jobs
