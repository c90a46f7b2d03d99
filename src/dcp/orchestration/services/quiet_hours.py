"""Hours in which a service may be measured by itself."""

from dataclasses import dataclass

from dcp.orchestration.services.timetable import TimetableEntry

MOST_PER_CLASS = 100
LONGEST_WINDOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A test may begin in these hours, `every_s` after the last one that measured, or once what it found is stale."""

    when: TimetableEntry
    every_s: float = 7 * 86400.0
    window_s: float = 60.0
    """For each step of a test."""
    per_class: int = 3
    """Instances that are measured on each type of host."""
