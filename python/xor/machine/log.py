"""What a machine logs: names, states and codes, one line each. Never a value of a dataset, never a key."""

import logging
import sys
import time

_LOGGER = logging.getLogger("xor.machine")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        # A line is a line, whatever a text from elsewhere holds.
        parts = [f"{name}={_one_line(str(value))}" for name, value in fields.items() if value is not None]
        return " ".join([at, record.levelname, _one_line(record.getMessage()), *parts])


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    _LOGGER.handlers = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)


def info(message: str, **fields: object) -> None:
    _LOGGER.info("%s", message, extra={"fields": fields})


def warning(message: str, **fields: object) -> None:
    _LOGGER.warning("%s", message, extra={"fields": fields})


def error(message: str, **fields: object) -> None:
    _LOGGER.error("%s", message, extra={"fields": fields})


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:2000]
