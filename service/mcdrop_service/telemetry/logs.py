"""The log: one JSON object a line on stderr, made for machines that collect it."""

import logging
import time
from typing import Final

import orjson

from mcdrop_service.telemetry.unread import UnheldHandler

__all__ = ["JsonLines", "log_as_json"]

STDERR: Final = 2
EXTRA: Final = "fields"
"""Name of the attribute of a log record that holds further fields, as `extra={"fields": {...}}` sets it."""


class JsonLines(logging.Formatter):
    """A log record as one line of JSON.

    Args:
        **fields: Of every line.
    """

    def __init__(self, **fields: object) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        document = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._fields,
            "message": record.getMessage(),
            **getattr(record, EXTRA, {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(document, default=str).decode("utf-8", "backslashreplace")


def log_as_json(level: str, **fields: object) -> None:
    """Send every log record of the process to stderr as JSON; replaces what was set up before.

    Args:
        level: `debug`, `info`, `warning` or `error`: what is less is not written.
        **fields: Of every line.
    """
    handler = UnheldHandler(STDERR)
    handler.setFormatter(JsonLines(**fields))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # a log that cannot be written, on a full disk say, must not fail the request that it is about
    logging.raiseExceptions = False


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
