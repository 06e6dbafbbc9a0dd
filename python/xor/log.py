"""What service and machine log: names, states and codes, one line each, as logfmt.

Never a value of a dataset, never a key, never a text that a library made: it may quote rows.
"""

import json
import logging
import re
import sys
import time
import traceback

MAX_CHARS = 2000
_LOGGER = logging.getLogger("xor")
_BARE = re.compile(r"[!#-<>-\[\]-~]+")
"""What needs no quotes: printable ASCII without space, quote, `=` and backslash."""


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        fields = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        fields |= getattr(record, "fields", {})
        return " ".join(f"{name}={_text(value)}" for name, value in fields.items() if value is not None)


def set_up() -> None:
    """Sends the log to standard error; what other libraries log is not ours to publish."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(_Line())
    _LOGGER.handlers = [stream]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)


def info(event: str, **fields: object) -> None:
    _LOGGER.info("%s", event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    _LOGGER.warning("%s", event, extra={"fields": fields})


def error(event: str, **fields: object) -> None:
    _LOGGER.error("%s", event, extra={"fields": fields})


def places(exception: BaseException) -> str:
    """Where an exception came from: files and lines, without its message."""
    frames = traceback.extract_tb(exception.__traceback__)
    return " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))


def _text(value: object) -> str:
    # A line is a line, whatever a text from elsewhere holds.
    text = "".join(each if each.isprintable() else " " for each in str(value))[:MAX_CHARS]
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
