"""Lines on stderr, JSON or text: what happened, to which operation, with whom. Never a body, never a secret."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Literal

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


Level = Literal["debug", "info", "warning", "error"]
Form = Literal["json", "text"]


def configure(level: Level, form: Form, node: str) -> Callable[[Level, Form], None]:
    """Every line carries the time (UTC), the level and this node's name. What is returned changes level and form."""
    chosen = Chosen(level, form)

    def name_the_node(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["node"] = node
        return event

    structlog.configure(
        processors=[
            chosen.drop,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            name_the_node,
            structlog.processors.format_exc_info,
            chosen.render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # asyncio and grpc speak through the standard library; what they have to say is worth a line each.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Libraries(chosen))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    return chosen.change


class Chosen:
    """The level and form of the log at this moment: loggers are made once, and these may change later."""

    def __init__(self, level: Level, form: Form) -> None:
        self._json = structlog.processors.JSONRenderer()
        # what others said is quoted, so that it cannot begin a line of its own
        self._text = structlog.dev.ConsoleRenderer(colors=False, pad_level=False, repr_native_str=True)
        self.change(level, form)

    def change(self, level: Level, form: Form) -> None:
        self.least, self.form = LEVELS[level], form

    def drop(
        self, _logger: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if LEVELS.get(method, logging.ERROR) < self.least:
            raise structlog.DropEvent
        return event

    def render(self, logger: object, method: str, event: structlog.typing.EventDict) -> str | bytes:
        return (self._json if self.form == "json" else self._text)(logger, method, event)


class Libraries(logging.Formatter):
    def __init__(self, chosen: Chosen) -> None:
        super().__init__()
        self._chosen, self._lines, self._words = chosen, Lines(), Words()

    def format(self, record: logging.LogRecord) -> str:
        return (self._lines if self._chosen.form == "json" else self._words).format(record)


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
