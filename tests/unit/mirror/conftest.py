"""A real registry for a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.registry_process import RegistryProcess


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryProcess]:
    process = RegistryProcess(tmp_path / "registry")
    process.start()
    yield process
    process.kill()
