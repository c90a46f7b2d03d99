"""Cases stand in modules that are no tests themselves; a failing assertion in them shows its values all the same."""

from pathlib import Path

import pytest

for _path in Path(__file__).parent.glob("*.py"):
    if not _path.name.startswith(("test_", "conftest")):
        pytest.register_assert_rewrite(_path.stem)
