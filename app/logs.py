"""Logging to stderr, as text or JSON; a record cannot forge another: line ends are escaped."""

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["plain", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

AUDIT = "audit"  # the name of the audit logger
OWN = "app"  # of the logger above all of the program's own
TAKEN_OVER = ("uvicorn", "uvicorn.error", "uvicorn.access")  # may come with handlers
NO_REQUEST = "-"
CONTINUED = "  | "  # starts each line of a traceback; no record starts so

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request; a route that runs on a thread sees it too."""

STANDARD = {
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "taskName", "request_id"),
    "color_message",  # uvicorn's: the message again
}
"""The attributes of every record; all others come from `extra`."""


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the time of each record."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(formatter)
        self.addFilter(_add_request_id)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure(log_format: LogFormat, level: LogLevel | None = None) -> None:
    """Log to stderr: every audit record, and our own records from `level` on. May be called again.

    None is warning on a terminal, whose user sees a progress bar, and info elsewhere. Libraries
    log from warning on, or from error: less might hold secrets.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Stderr):
            root.removeHandler(handler)
    root.addHandler(_Stderr(_json_formatter() if log_format == "json" else _Plain()))
    chosen = (level or ("warning" if sys.stderr.isatty() else "info")).upper()
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[chosen]))
    logging.getLogger(OWN).setLevel(chosen)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    for name in TAKEN_OVER:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True


def _json_formatter() -> JsonFormatter:
    return JsonFormatter(
        ("levelname", "name", "message", "request_id"),
        timestamp=True,
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        reserved_attrs=sorted(STANDARD - {"request_id"}),
    )


class _Plain(logging.Formatter):
    """`2026-11-21 12:00:00 WARNING app.worker [request id]: message key=value`, in UTC.

    Unprintable characters are escaped: they could end the line, or send codes to a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, and further marked lines for a traceback."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.created))
        where = f"{record.name} [{getattr(record, 'request_id', None) or NO_REQUEST}]"
        told = [f"{when} {record.levelname} {where}: {record.getMessage()}", *_extras(record)]
        lines = [_printable(" ".join(told))]
        for more in (self._traceback(record), record.stack_info):
            lines += [CONTINUED + _printable(line) for line in (more or "").split("\n") if line]
        return "\n".join(lines)

    def _traceback(self, record: logging.LogRecord) -> str | None:
        return self.formatException(record.exc_info) if record.exc_info else record.exc_text


def _extras(record: logging.LogRecord) -> list[str]:
    return [
        f"{name}={_shown(value)}" for name, value in vars(record).items() if name not in STANDARD
    ]


def _shown(value: Any) -> str:
    """The text itself if it cannot be mistaken for several values, else JSON."""
    if isinstance(value, str) and value.isprintable() and value and not set(value) & set(' "=\\'):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _printable(text: str) -> str:
    """The text with unprintable characters, line ends among them, escaped as in JSON."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code == 0x7F else json.dumps(character)[1:-1]
