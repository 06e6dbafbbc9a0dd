"""CSV files: read fast by Arrow, after a look at the bytes has shown that Arrow's leniency does not matter.

Arrow takes quotes anywhere, a lone carriage return as a line end and a blank line as a row of NULLs. The
checks here refuse such files; `records.explain` then finds the line.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from xor.engine.sources.records import BOM, does_not_fit, explain, header_of
from xor.engine.sources.source import Bytes, Source, check_declared, check_names, opened
from xor.engine.sources.values import DoesNotFit, typed
from xor.errors import DataError
from xor.model.types import TEXT, DataType

_BLOCK_BYTES = 4 * 2**20
_MAX_BLOCK_BYTES = 2**31 - 1
_SCAN_BYTES = 4 * 2**20
_COMMA, _QUOTE, _CR, _LF = (ord(each) for each in ',"\r\n')


class _Broken(Exception):
    """The bytes are no CSV of the expected width."""


@dataclass(frozen=True)
class Texts:
    """A file whose structure is sound: names, text columns, and what is needed to explain a wrong value."""

    names: tuple[str, ...]
    columns: pa.Table
    path: Path
    content: Bytes
    start: int
    line: int

    def typed(self, index: int, type_: DataType) -> pa.ChunkedArray:
        """Column `index` in a type.

        Raises:
            DataError: a value does not fit; names file and line.
        """
        try:
            return typed(self.columns.column(index), type_)
        except DoesNotFit:
            expected = [(name, type_ if index == each else TEXT) for each, name in enumerate(self.names)]
            found = explain(self.content, self.start, self.line, self.path.name, expected)
            raise found or does_not_fit(self.path.name, self.names[index], type_) from None


def read(source: Source) -> pa.Table:
    """All rows with their declared names and types.

    Raises:
        DataError: the file is not as declared; names file and line, never a value.
    """
    with texts(source.path, source.header) as found:
        check_declared(found.names, source)
        with ThreadPoolExecutor(pa.cpu_count()) as threads:
            types = [field.type for field in source.entry.schema]
            return pa.table(list(threads.map(found.typed, count(), types)), names=list(found.names))


@contextmanager
def texts(path: Path, header: tuple[str, ...] | None) -> Iterator[Texts]:
    """The file as text columns: unquoted empty fields are NULL, quoted ones the empty text.

    Raises:
        DataError: missing file, header, quoting, line ends, ragged lines, no UTF-8, duplicate names.
    """
    with opened(path) as content:
        if header is None:
            names, record = header_of(content, path.name)
            start, line = record.end, 1 + bytes(content[: record.end]).count(b"\n")
        else:
            names, start, line = header, len(BOM) if content[: len(BOM)] == BOM else 0, 1
        check_names(names, path)
        try:
            columns = _text_table(content, start, len(names))
        except (_Broken, pa.ArrowInvalid):
            expected = [(name, TEXT) for name in names]
            raise explain(content, start, line, path.name, expected) or DataError(
                f"'{path.name}' is no CSV with {len(names)} columns", code="data.unreadable"
            ) from None  # Arrow's message quotes the line
        yield Texts(names, columns, path, content, start, line)


def _text_table(content: Bytes, start: int, width: int) -> pa.Table:
    whole = np.frombuffer(content, np.uint8)[start:] if len(content) > start else np.empty(0, np.uint8)
    if not len(whole):
        return pa.table([pa.chunked_array([], pa.string())] * width, names=_positions(width))
    if whole[-1] == _COMMA:
        # At the very end Arrow takes an empty field for quoted if the field before it was.
        whole = np.append(whole, np.uint8(_LF))
    has_quotes = _has(content, b'"', start)
    has_breaks = False
    if has_quotes or _has(content, b"\r", start):
        has_breaks = _check_quotes(whole)
    table = _parse(whole, width, has_breaks)
    # A blank line would be a row of NULLs: look for one if that row can exist.
    if width > 1 and all(column.null_count for column in table.columns):
        _check_blank_lines(whole)
    return table


def _has(content: Bytes, byte: bytes, start: int) -> bool:
    return content.find(byte, start) >= 0


def _positions(width: int) -> list[str]:
    return [f"c{index}" for index in range(width)]


def _parse(whole: Any, width: int, has_breaks: bool) -> pa.Table:
    names = _positions(width)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=True,
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=has_breaks, ignore_empty_lines=False)
    for block_size in (_BLOCK_BYTES, _MAX_BLOCK_BYTES):
        reading = pyarrow.csv.ReadOptions(column_names=names, block_size=min(block_size, len(whole) + 1))
        try:
            return pyarrow.csv.read_csv(pa.BufferReader(pa.py_buffer(whole)), reading, parse, convert)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
    raise _Broken


def _check_quotes(whole: Any) -> bool:
    """Whether a line breaks inside quotes; refuses quotes and carriage returns where RFC 4180 has none."""
    is_open = has_breaks = False
    for begin in range(0, len(whole), _SCAN_BYTES):
        part = whole[begin : begin + _SCAN_BYTES]
        quotes = np.flatnonzero(part == _QUOTE)
        _check_neighbours(whole, quotes + begin, is_open)
        for byte in (_CR, _LF):
            breaks = np.flatnonzero(part == byte)
            inside = (np.searchsorted(quotes, breaks) + is_open) % 2 == 1
            has_breaks = has_breaks or bool(inside.any())
            if byte == _CR and (_byte(whole, breaks[~inside] + begin + 1, beyond=0) != _LF).any():
                raise _Broken
        is_open ^= len(quotes) % 2 == 1
    if is_open:
        raise _Broken
    return has_breaks


def _check_neighbours(whole: Any, quotes: Any, is_open: bool) -> None:
    """A field's first quote follows a comma or line end, its last stands before one; others come in pairs."""
    opening, closing = quotes[int(is_open) :: 2], quotes[1 - int(is_open) :: 2]
    before = _byte(whole, opening - 1, beyond=_LF)
    if not np.isin(before, (_COMMA, _LF, _QUOTE)).all():
        raise _Broken
    after = _byte(whole, closing + 1, beyond=_LF)
    ends_line = (after == _CR) & (_byte(whole, closing + 2, beyond=0) == _LF)
    if not (np.isin(after, (_COMMA, _LF, _QUOTE)) | ends_line).all():
        raise _Broken


def _byte(whole: Any, positions: Any, beyond: int) -> Any:
    """The bytes at some positions; `beyond` stands for what lies before or after the file."""
    outside = (positions < 0) | (positions >= len(whole))
    return np.where(outside, beyond, whole[np.where(outside, 0, positions)])


def _check_blank_lines(whole: Any) -> None:
    is_open, line_start = False, 0
    for begin in range(0, len(whole), _SCAN_BYTES):
        part = whole[begin : begin + _SCAN_BYTES]
        quotes, breaks = np.flatnonzero(part == _QUOTE), np.flatnonzero(part == _LF)
        ends = breaks[(np.searchsorted(quotes, breaks) + is_open) % 2 == 0] + begin
        if len(ends):
            starts = np.concatenate(([line_start], ends[:-1] + 1))
            is_blank = (ends == starts) | ((ends == starts + 1) & (whole[starts] == _CR))
            if is_blank.any():
                raise _Broken
            line_start = int(ends[-1]) + 1
        is_open ^= len(quotes) % 2 == 1
