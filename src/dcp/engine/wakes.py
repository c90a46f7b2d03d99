"""Wakes a worker of this controller before its next look is due. Losing a wake costs a poll period, nothing else."""

import asyncio


class Wakes:
    """One flag for each subject."""

    def __init__(self) -> None:
        self._flags: dict[str, asyncio.Event] = {}

    def wake(self, subject: str) -> None:
        """Have the worker of `subject`, if it is ours, look at once."""
        self._flag(subject).set()

    def wake_kind(self, kind: str) -> None:
        """Have every worker of `kind/…` look at once."""
        for subject, flag in self._flags.items():
            if subject == kind or subject.startswith(kind + "/"):
                flag.set()

    async def wait(self, subject: str, timeout_s: float) -> None:
        """Return when the subject is woken or the time is over."""
        flag = self._flag(subject)
        try:
            async with asyncio.timeout(timeout_s):
                await flag.wait()
        except TimeoutError:
            pass
        flag.clear()

    def _flag(self, subject: str) -> asyncio.Event:
        return self._flags.setdefault(subject, asyncio.Event())
