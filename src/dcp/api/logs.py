"""Structured logs of `dcp serve`: JSON lines where nobody looks, colours where somebody does; all on stderr."""

import contextlib
import logging
import sys
from io import TextIOBase
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


class _Unbreakable(TextIOBase):
    """A stream whose reader may go away: a terminal that is closed, a full disk. Work goes on without a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logs(level: str, *, terminal: bool) -> None:
    """Send our log and that of the libraries below to stderr, from `level` (debug, info, warning, error) on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor] = (
        # Plain tracebacks: the default shows local variables, and secrets may be among them.
        [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    stream = cast(TextIO, _Unbreakable(sys.stderr))
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *renderer])
    handler.setFormatter(formatter)
    # Libraries are heard when something is wrong; what dcp itself does is told by its own log.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
