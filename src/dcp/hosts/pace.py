"""How many calls a source is sent at once: half as many after it throttles, one more for each that it answers.

A source that has had enough of calls answers the next ones the same way, and most clouds count those too. So calls come
back one by one once the time that it named is over, as packets do after a congested line.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """The calls of one source. `most` is how many there are without any throttling."""

    most: int
    calls: int = 0

    def __post_init__(self) -> None:
        self.most = max(1, self.most)
        self.calls = self.calls or self.most

    def answered(self, *, others: int, throttled: int) -> None:
        """Take note of answers: of calls that were throttled, and of others."""
        if throttled:
            self.calls = max(1, self.calls // 2)
        else:
            self.calls = min(self.most, self.calls + others)
