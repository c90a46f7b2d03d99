"""Structured logs of `dcp serve`: JSON lines where nobody looks, colours where somebody does; all on stderr."""

import logging
import sys

import structlog
from structlog.typing import Processor


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
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *renderer])
    handler.setFormatter(formatter)
    # Libraries are heard when something is wrong; what dcp itself does is told by its own log.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
