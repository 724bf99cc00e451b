"""Logs to stderr, one line for each event: as text for people, or as JSON for programs.

Each line about a connection has the connection's id (12 hexadecimal digits), and each line about a
request has its number, so that related lines can be found. Values that a client chooses (names,
addresses) are escaped, so that no line can be forged. Callers never pass a secret to a logger; this
module does not filter secrets.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextvars import ContextVar

from typing_extensions import override

from fsproto.names import for_terminal

_OWN = ("user", "address", "door", "request", "count", "changed", "kind", "ms")
_CONNECTION: ContextVar[str | None] = ContextVar("connection", default=None)
_REQUEST: ContextVar[int | None] = ContextVar("request", default=None)


def begin_connection() -> None:
    """Log a new connection's id with every later record of this task."""
    _CONNECTION.set(os.urandom(6).hex())


def begin_request(number: int) -> None:
    """Log a request's number with every later record of this task."""
    _REQUEST.set(number)


class _Text(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        when = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        extra = "".join(
            f" {key}={for_terminal(str(value))}" for key, value in _extra(record).items()
        )
        line = f"{when} {record.levelname.lower():7} {for_terminal(record.getMessage())}{extra}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    where = {"connection": _CONNECTION.get(), "request": _REQUEST.get()}
    said = {key: record.__dict__[key] for key in _OWN if key in record.__dict__}
    return {key: value for key, value in {**where, **said}.items() if value is not None}


def set_up(log_format: str, level: str = "info") -> None:
    """Send the logs to stderr, as `text` or `json`; level `debug` logs each request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
