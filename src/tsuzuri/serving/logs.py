"""The log: one JSON object a line on standard error. Never a prompt, an answer or a key.

What went wrong unexpectedly is told by the type of the error and the lines of code, without its message,
which might repeat what somebody wrote.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

NAME = "tsuzuri.serving"
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
_log = logging.getLogger(NAME)


def start_log(level: str) -> None:
    """Write what the server says to standard error, from `level` on."""
    handler = _StandardError()
    handler.setFormatter(_JsonLines())
    for name in (NAME, "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper() if name == NAME else logging.WARNING)
        logger.propagate = False


def event(name: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log what happened, with its figures."""
    if _log.isEnabledFor(level):
        _log.log(level, name, extra={"fields": fields})


def failure(name: str, error: BaseException, /, **fields: Any) -> None:
    """Log an error of ours: its type and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/site-packages/')[2]}:{frame.lineno}" for frame in frames]
    event(name, level=logging.ERROR, error=type(error).__qualname__, at=places[-12:], **fields)


class _StandardError(logging.Handler):
    """Whatever standard error is when something is said."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__qualname__
        return _ENCODER.encode(line)
