"""Lines on stderr, JSON or text: what happened, to which operation, with whom. Never a body, never a secret."""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(
    level: Literal["debug", "info", "warning", "error"], form: Literal["json", "text"], node: str
) -> None:
    """Every line carries the time (UTC), the level and this node's name."""

    def name_the_node(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["node"] = node
        return event

    render: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if form == "text":  # what others said is quoted, so that it cannot begin a line of its own
        render = structlog.dev.ConsoleRenderer(colors=False, pad_level=False, repr_native_str=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            name_the_node,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # asyncio and grpc speak through the standard library; what they have to say is worth a line each.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines() if form == "json" else Words())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class Lines(logging.Formatter):
    """A library's record as one JSON line, without its traceback: that may show anything."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        fields = {
            "event": record.getMessage()[:300],
            "level": record.levelname.lower(),
            "logger": record.name,
            "error": error,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})


class Words(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        return f"[{record.levelname.lower()}] {record.getMessage()[:300]} logger={record.name}"
