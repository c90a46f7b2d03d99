"""What a controller remembers of log-ins: bounded, and forgotten in time."""

from dcp.engine.registry import attempts
from dcp.engine.registry.attempts import Failures, Repeats, Verified


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def test_after_so_many_failures_an_account_waits_at_one_address_until_the_first_is_old():
    clock = Hand()
    failures = Failures(clock, limit=3, window_s=60.0)
    for expected in (1, 2, 3):
        assert failures.blocked_for_s("ann", "here") == 0
        assert failures.count("ann", "here") == expected
        clock.time += 10
    assert failures.blocked_for_s("ann", "here") == 30
    assert failures.blocked_for_s("ann", "there") == failures.blocked_for_s("bob", "here") == 0
    clock.time += 30
    assert failures.blocked_for_s("ann", "here") == 0, "one more guess"
    assert failures.count("ann", "here") == 3
    assert failures.blocked_for_s("ann", "here") == 10
    failures.forget("ann", "here")
    assert failures.blocked_for_s("ann", "here") == 0


def test_failures_are_bounded(monkeypatch):
    monkeypatch.setattr(attempts, "ENTRIES", 100)
    failures = Failures(Hand(), limit=3, window_s=60.0)
    for number in range(1000):
        failures.count(f"name-{number}", "here")
    assert len(failures._times) == 100
    assert failures.count("name-999", "here") == 2 and failures.count("name-0", "here") == 1


def test_a_right_password_is_remembered_for_a_minute_and_only_for_what_is_stored():
    clock = Hand()
    verified = Verified(clock)
    verified.add("ann", "hash", "right")
    assert verified.knows("ann", "hash", "right")
    for other in (
        ("ann", "hash", "wrong"),
        ("bob", "hash", "right"),
        ("ann", "new hash", "right"),
        ("ann", "has", "hright"),
    ):
        assert not verified.knows(*other)
    clock.time += 60
    assert not verified.knows("ann", "hash", "right")


def test_the_same_is_told_once_a_minute_and_not_too_much_altogether():
    clock = Hand()
    repeats = Repeats(clock, per_minute=5)
    assert repeats.is_news("a", "b") and not repeats.is_news("a", "b")
    clock.time += 60
    assert repeats.is_news("a", "b")
    assert [repeats.is_news(str(number)) for number in range(10)] == [True] * 4 + [False] * 6
    clock.time += 61
    assert repeats.is_news("9")
