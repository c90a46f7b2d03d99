"""The form of `lent` of a source in `dcp.yaml`: at which hours its hosts are ours."""

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dcp.hosts.loans import DAY_MINUTES, Loan, Window

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


def _window(value: Any) -> Any:
    if isinstance(value, Window):
        return value
    match = _WINDOW.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
        begin, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
        if max(minutes) < 60 and begin < DAY_MINUTES and end <= DAY_MINUTES and begin != end:
            return Window(begin, end)
    raise ValueError('not hours of the day such as "07:00-23:00"')


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("not a time zone such as Europe/Berlin")
    return ZoneInfo(value).key


class LentForm(BaseModel):
    """Hours, whose clocks, and how long before their end hosts are emptied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: Annotated[list[Annotated[Window, BeforeValidator(_window)]], Field(min_length=1)]
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    notice_s: Annotated[float, Field(ge=0, le=12 * 3600, allow_inf_nan=False)] = Loan(()).notice_s

    def loan(self) -> Loan:
        """Return the frozen value."""
        return Loan(tuple(self.windows), self.timezone, self.notice_s)
