"""Lines of the log: as text or JSON, with their request, task, stock and source, without secrets.

No Django in here: the processes of vendors' clients and gunicorn write with it, too.
"""

import io
import logging
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import Any, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS, LogData
from pythonjsonlogger.orjson import OrjsonFormatter

from tasks_app.source_settings import mask

FORMATS = ("text", "json")
OWN_ATTRIBUTES = ("context", "request", "server_time", "status_code")  # of records, none of them a field
_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default=MappingProxyType({}))
_host = socket.gethostname()


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Adds fields to every line that is written meanwhile; those that are empty say nothing.

    A thread that is started meanwhile has them only if it runs in `contextvars.copy_context()`.
    """
    new = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    token = _context.set({**_context.get(), **new})
    try:
        yield
    finally:
        _context.reset(token)


def bound(field: str) -> str:
    """Returns the value of a field that is bound, else ""."""
    return _context.get().get(field, "")


def new_request_id() -> str:
    """Returns 32 random hexadecimal digits."""
    return secrets.token_hex(16)


def timestamp(record: logging.LogRecord) -> str:
    """Returns when the record was made, in the time zone of the process, as ISO 8601 with its offset."""
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    """Writes the time, the level, the logger, the message and then the fields as name=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as in logging
        fields = "".join(f" {name}={value}" for name, value in _context.get().items())
        return f"{timestamp(record)} {record.levelname} {record.name} {record.message}{fields}"

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class JsonFormatter(OrjsonFormatter):
    """Writes an object a line: docs/operations.md has the fields."""

    def __init__(self) -> None:
        super().__init__(
            reserved_attrs=[*RESERVED_ATTRS, *OWN_ATTRIBUTES], rename_fields={"exc_info": "exception"}
        )

    def add_fields(self, log_data: LogData, record: logging.LogRecord, message_dict: LogData) -> None:
        log_data |= {
            "time": timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.message,
            **_context.get(),
            "host": _host,
            "process": record.process,
        }
        super().add_fields(log_data, record, message_dict)

    def process_log_record(self, log_data: LogData) -> LogData:
        return {name: mask(value) if isinstance(value, str) else value for name, value in log_data.items()}


def formatter(name: str) -> logging.Formatter:
    """Returns the formatter of COLLECTOR_LOG_FORMAT; that of text for an unknown name."""
    return JsonFormatter() if name == "json" else TextFormatter()


class MaskingStream(io.TextIOBase):
    """Writes whole lines to another stream, without secrets: for what is printed instead of logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun = stream, ""

    def write(self, text: str) -> int:
        lines, separator, self._begun = (self._begun + text).rpartition("\n")
        self._stream.write(mask(lines + separator))
        return len(text)

    def flush(self) -> None:
        self._stream.write(mask(self._begun))
        self._begun = ""
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def mask_output() -> None:
    """Masks what this process prints from now on."""
    streams: Any = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(MaskingStream, streams)
