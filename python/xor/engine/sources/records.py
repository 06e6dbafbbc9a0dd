"""CSV records by RFC 4180, one at a time: for header lines, and to say at which line a file is broken.

Slow and plain on purpose. The fast path (`csv.py`) only has to notice that something is wrong.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xor.engine.sources.source import Bytes
from xor.engine.sources.values import fits
from xor.errors import DataError
from xor.model.types import DataType

BOM = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'"([^"]*(?:""[^"]*)*)"(?=,|\r?\n|\Z)')
_BARE = re.compile(rb'([^",\r\n]*)(?=,|\r?\n|\Z)')
_UNTIL_TROUBLE = re.compile(rb'[^",\r\n]*')


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line where it begins, where it ends, and its fields (None: unquoted and empty)."""

    line: int
    end: int
    fields: tuple[bytes | None, ...]


def records(content: Bytes, start: int, line: int, name: str) -> Iterator[Record]:
    """The records from `start` on, which is in line `line` of the file.

    Raises:
        DataError: quotes or line ends are not as in RFC 4180; names file and line.
    """
    end = len(content)
    while start < end:
        fields: list[bytes | None] = []
        first = line
        while True:
            field, after = _field(content, start, line, name)
            line += bytes(content[start:after]).count(b"\n")
            fields.append(field)
            start = after + 1
            if after == end or content[after : after + 1] != b",":
                break
        if content[after : after + 1] == b"\r":
            start += 1
        line += 1
        yield Record(first, min(start, end), tuple(fields))


def _field(content: Bytes, start: int, line: int, name: str) -> tuple[bytes | None, int]:
    if content[start : start + 1] == b'"':
        if match := _QUOTED.match(content, start):
            return match[1].replace(b'""', b'"'), match.end()
        raise _broken(
            name, line, "data.bad-quoting", "a quoted field does not end with a quote and a comma or line end"
        )
    if match := _BARE.match(content, start):
        return match[1] or None, match.end()
    trouble = _UNTIL_TROUBLE.match(content, start)
    if trouble and content[trouble.end() : trouble.end() + 1] == b"\r":
        raise _broken(name, line, "data.line-end", "a carriage return stands alone")
    raise _broken(name, line, "data.bad-quoting", "a quote stands inside a field that is not quoted")


def header_of(content: Bytes, name: str) -> tuple[tuple[str, ...], Record]:
    """The names in the first record, and the record (where the data begin).

    Raises:
        DataError: there is no first record, it is broken, or it is not UTF-8.
    """
    start = len(BOM) if content[: len(BOM)] == BOM else 0
    for record in records(content, start, 1, name):
        try:
            return tuple((field or b"").decode() for field in record.fields), record
        except UnicodeDecodeError:
            raise _not_utf8(name, 1) from None
    raise DataError(
        f"'{name}' is empty: it has no header line",
        code="data.header-mismatch",
        hint="write the column names as its first line, or give `columns`.",
    )


def explain(
    content: Bytes, start: int, line: int, name: str, columns: Sequence[tuple[str, DataType]]
) -> DataError | None:
    """The first thing wrong in a file, as an error that names file and line; None if nothing is found."""
    try:
        for record in records(content, start, line, name):
            if len(record.fields) != len(columns):
                return _broken(
                    name,
                    record.line,
                    "data.ragged-line",
                    f"it has {len(record.fields)} fields instead of {len(columns)}",
                )
            for field, (column, type_) in zip(record.fields, columns, strict=True):
                if field is None:
                    continue
                try:
                    text = field.decode()
                except UnicodeDecodeError:
                    return _not_utf8(name, record.line)
                if not fits(text, type_):
                    return does_not_fit(name, column, type_, record.line)
    except DataError as error:
        return error
    return None


def does_not_fit(name: str, column: str, type_: DataType, line: int | None = None) -> DataError:
    where = f", line {line}" if line else ""
    return DataError(
        f"'{name}'{where}: a value of column '{column}' is no {type_}",
        code="data.value-type",
        hint="correct the file, or declare another type; nothing is rounded, trimmed or guessed.",
    )


def _not_utf8(name: str, line: int) -> DataError:
    return _broken(name, line, "data.not-utf8", "it is not UTF-8")


def _broken(name: str, line: int, code: str, why: str) -> DataError:
    return DataError(
        f"'{name}', line {line}: {why}",
        code=code,
        hint="CSV files are UTF-8 with commas and double quotes as in RFC 4180.",
    )
