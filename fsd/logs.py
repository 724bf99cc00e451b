"""Logs go to stderr, a line an event: as text for people, as JSON for machines.

What a stranger could choose (names, addresses) is escaped, so that no line can be forged. No
secret is ever handed to a logger; there is nothing here to filter one out.
"""

from __future__ import annotations

import json
import logging
import sys

from typing_extensions import override

from fsproto.names import for_terminal

_OWN = ("user", "address", "request", "count", "changed")


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
    return {key: record.__dict__[key] for key in _OWN if key in record.__dict__}


def set_up(log_format: str) -> None:
    """Send the logs of this process to stderr, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
