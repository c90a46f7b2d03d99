"""The queue between tasks and the store's threads."""

import threading
from concurrent.futures import CancelledError

import pytest
from sqlalchemy import Connection

from dcp.kernel.errors import Unavailable
from dcp.store.jobs import Jobs


def work(_: Connection) -> None:
    """Nothing: these tests run no job."""


def test_everything_that_waits_is_taken_together_up_to_the_limit() -> None:
    jobs = Jobs(consumers=1)
    done = [jobs.put(work) for _ in range(5)]
    assert [job.done for job in jobs.take(3)] == done[:3]
    assert [job.done for job in jobs.take(3)] == done[3:]


def test_a_cancelled_job_is_left_out_and_a_taken_one_cannot_be_cancelled() -> None:
    jobs = Jobs(consumers=1)
    first, second, third = (jobs.put(work) for _ in range(3))
    assert first.cancel()
    assert third.cancel()
    (job,) = jobs.take(10)
    assert job.done is second
    assert not second.cancel()
    with pytest.raises(CancelledError):
        first.result()


def test_only_cancelled_jobs_are_as_good_as_none() -> None:
    jobs = Jobs(consumers=1)
    jobs.put(work).cancel()
    kept = jobs.put(work)
    assert [job.done for job in jobs.take(1)] == [kept]


def test_closing_lets_every_consumer_finish_what_waits_and_then_end() -> None:
    jobs, taken, lock = Jobs(consumers=3), list[int](), threading.Lock()

    def consume() -> None:
        while group := jobs.take(2):
            with lock:
                taken.append(len(group))

    for _ in range(7):
        jobs.put(work)
    jobs.close()
    jobs.close()
    threads = [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert sum(taken) == 7
    with pytest.raises(Unavailable, match="closed"):
        jobs.put(work)
