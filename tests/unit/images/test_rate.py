"""The mean holds, whatever the pieces."""

import asyncio

from dcp.images.rate import Rate


class SteppedClock:
    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        await asyncio.sleep(0)


async def test_the_mean_holds_for_pieces_of_any_size() -> None:
    for piece in (10, 1_000, 50_000):
        clock = SteppedClock()
        rate = Rate(clock, 10_000.0)
        for _ in range(100_000 // piece):
            await rate.take(piece)
        assert 9.7 <= clock.now() <= 10.01


async def test_a_rest_saves_up_no_more_than_a_short_burst() -> None:
    clock = SteppedClock()
    rate = Rate(clock, 1_000.0, burst_s=0.5)
    await clock.sleep(60.0)
    await rate.take(1_500)
    assert clock.now() == 61.0


async def test_without_a_bound_nobody_waits() -> None:
    clock = SteppedClock()
    await Rate(clock, None).take(10**12)
    assert clock.now() == 0.0
