"""Tests of one `xdist_group` run on one worker, one after the other, whatever pytest does with its own node ids.

pytest-xdist marks the groups in node ids that newer versions of pytest no longer let it change; then groups are ignored
without a word. So the group of a test is read from its file: the first one that is named there holds for all of it.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_GROUP = re.compile(r'xdist_group\("([^"]+)"\)')


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups, and single tests of files without one."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return _group_of(self.config.rootpath / path) or nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Return the scheduler for `--dist loadgroup`."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


@cache
def _group_of(path: Path) -> str:
    found = _GROUP.search(path.read_text(encoding="utf-8"))
    return found[1] if found else ""
