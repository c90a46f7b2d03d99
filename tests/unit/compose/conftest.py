"""A folder to write Compose files in."""

from pathlib import Path

import pytest
from compose_files import Written


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)
