"""The command line with a server, empty or with the application applied."""

from collections.abc import Iterator

import pytest
import structlog
from cli_world import Dcp, served


@pytest.fixture(scope="module", autouse=True)
def silent_log() -> Iterator[None]:
    """The server's log must not mix with what the command line prints: here they share a process."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
def dcp(tmp_path) -> Iterator[Dcp]:
    with served(tmp_path) as command:
        yield command


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Dcp]:
    """With the application applied and serving; for verbs that only look."""
    with served(tmp_path_factory.mktemp("shop")) as command:
        result = command("apply", command.file())
        assert result.exit_code == 0, result.output
        yield command
