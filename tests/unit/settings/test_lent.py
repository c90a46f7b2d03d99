"""`lent` of a source in dcp.yaml."""

import pytest

from dcp.hosts.loans import Loan, Window
from dcp.kernel.errors import InvalidInput
from dcp.settings.read import parse_settings

TEXT = "sources: [{{name: own, kind: private, hosts: 2, lent: {lent}}}]"


def test_hours_of_a_source() -> None:
    lent = '{windows: ["07:00-23:00", "23:30-1:00"], timezone: Europe/Berlin, notice_s: 60}'
    settings = parse_settings(TEXT.format(lent=lent), "dcp.yaml")
    windows = (Window(420, 1380), Window(1410, 60))
    assert settings.loans == (("own", Loan(windows, "Europe/Berlin", 60)),)


@pytest.mark.parametrize(
    ("lent", "path"),
    [
        ("{windows: []}", "windows"),
        ('{windows: ["7-23"]}', "windows.0"),
        ('{windows: ["25:00-26:00"]}', "windows.0"),
        ('{windows: ["07:00-07:00"]}', "windows.0"),
        ('{windows: ["07:00-23:00"], timezone: Mars}', "timezone"),
        ('{windows: ["07:00-23:00"], notice_s: -1}', "notice_s"),
    ],
)
def test_bad_hours_are_refused_with_their_path(lent: str, path: str) -> None:
    with pytest.raises(InvalidInput, match=f"sources.0.lent.{path}"):
        parse_settings(TEXT.format(lent=lent), "dcp.yaml")
