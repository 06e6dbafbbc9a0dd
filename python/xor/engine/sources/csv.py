"""CSV files: read fast by Arrow, after a look at the bytes has shown that Arrow's leniency does not matter.

Arrow takes quotes anywhere, a lone carriage return as a line end and a blank line as a row of NULLs. The
checks here refuse such files; `records.explain` then finds the line. A file is cut between records into
pieces; each goes through checks, Arrow and types in one thread while its bytes are warm.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import MADV_DONTNEED, PAGESIZE, mmap
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv

from xor.engine.arrow import arrow_type
from xor.engine.sources.records import BOM, does_not_fit, explain, header_of
from xor.engine.sources.source import Bytes, Source, check_declared, check_names, opened
from xor.engine.sources.values import DoesNotFit, typed
from xor.errors import DataError
from xor.model.types import TEXT, DataType

_BLOCK_BYTES = 2 * 2**20
_MAX_BLOCK_BYTES = 2**31 - 1
_COMMA, _QUOTE, _CR, _LF = (ord(each) for each in ',"\r\n')

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


class _Broken(Exception):
    """The bytes are no CSV of the expected width."""


class _Misfit(Exception):
    """A value of column `index` is no value of its type."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


@dataclass(frozen=True)
class Records:
    """A file that is open: the names of its columns and where its data begin, in bytes and in lines."""

    names: tuple[str, ...]
    path: Path
    content: Bytes
    start: int
    line: int

    def typed(self, types: Sequence[DataType]) -> Iterator[pa.Table]:
        """All columns in their types, a piece of the file at a time, in order.

        Unquoted empty fields are NULL, quoted ones the empty text.

        Raises:
            DataError: quoting, line ends, ragged lines, no UTF-8, or a value that does not fit; names file
                and line, never a value.
        """

        def convert(piece: tuple[int, int]) -> pa.Table:
            table = _typed(_text_table(self.content, *piece, len(types)), types, self.names)
            _give_back(self.content, *piece)
            return table

        try:
            yield from _in_order(convert, self._pieces())
        except _Misfit as misfit:
            raise self.misfit(misfit.index, types[misfit.index]) from None
        except (_Broken, pa.ArrowInvalid):
            raise self._explained([TEXT] * len(types)) or DataError(
                f"'{self.path.name}' is no CSV with {len(types)} columns", code="data.unreadable"
            ) from None  # Arrow's message quotes the line

    def misfit(self, index: int, type_: DataType) -> DataError:
        """The error that says where a value of column `index` is none of `type_`."""
        types = [type_ if index == each else TEXT for each in range(len(self.names))]
        return self._explained(types) or does_not_fit(self.path.name, self.names[index], type_)

    def _explained(self, types: Sequence[DataType]) -> DataError | None:
        columns = list(zip(self.names, types, strict=True))
        return explain(self.content, self.start, self.line, self.path.name, columns)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        begin = self.start
        while begin < len(self.content):
            end = _end_of_piece(self.content, begin, _BLOCK_BYTES)
            yield begin, end
            begin = end


@dataclass(frozen=True)
class Texts:
    """A file whose structure is sound: its text columns, and what is needed to explain a wrong value."""

    records: Records
    columns: pa.Table

    @property
    def names(self) -> tuple[str, ...]:
        return self.records.names

    def typed(self, index: int, type_: DataType) -> pa.ChunkedArray:
        """Column `index` in a type.

        Raises:
            DataError: a value does not fit; names file and line.
        """
        try:
            return typed(self.columns.column(index), type_)
        except DoesNotFit:
            raise self.records.misfit(index, type_) from None


def read(source: Source) -> pa.Table:
    """All rows with their declared names and types.

    Raises:
        DataError: the file is not as declared; names file and line, never a value.
    """
    schema = pa.schema([(field.name, arrow_type(field.type)) for field in source.entry.schema])
    return _whole(schema, pieces(source))


def pieces(source: Source) -> Iterator[pa.Table]:
    """The rows of `read` as tables of a few megabytes, in order; later ones are read ahead.

    Raises:
        DataError: as `read`, but only when the piece that is wrong is reached.
    """
    with _opened(source.path, source.header) as found:
        check_declared(found.names, source)
        yield from found.typed([field.type for field in source.entry.schema])


@contextmanager
def texts(path: Path, header: tuple[str, ...] | None) -> Iterator[Texts]:
    """The whole file as text columns.

    Raises:
        DataError: missing file, header, quoting, line ends, ragged lines, no UTF-8, duplicate names.
    """
    with _opened(path, header) as found:
        schema = pa.schema([(name, pa.string()) for name in found.names])
        yield Texts(found, _whole(schema, found.typed([TEXT] * len(found.names))))


@contextmanager
def _opened(path: Path, header: tuple[str, ...] | None) -> Iterator[Records]:
    with opened(path) as content:
        if header is None:
            names, record = header_of(content, path.name)
            start, line = record.end, 1 + bytes(content[: record.end]).count(b"\n")
        else:
            names, start, line = header, len(BOM) if content[: len(BOM)] == BOM else 0, 1
        check_names(names, path)
        yield Records(names, path, content, start, line)


def _whole(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Table:
    return pa.Table.from_batches([batch for table in tables for batch in table.to_batches()], schema=schema)


def _in_order(work: Callable[[_Item], _Done], items: Iterable[_Item]) -> Iterator[_Done]:
    """`map` with a thread for each core, never more than a few results ahead of who takes them."""
    count = int(pa.cpu_count())
    ahead: deque[Future[_Done]] = deque()
    with ThreadPoolExecutor(count) as threads:
        try:
            for item in items:
                ahead.append(threads.submit(work, item))
                if len(ahead) > 2 * count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _end_of_piece(content: Bytes, begin: int, size: int) -> int:
    """The end of the last record that ends within `size` bytes; if there is none, of a longer piece."""
    while begin + size < len(content):
        if size > _MAX_BLOCK_BYTES:
            raise _Broken
        end = content.rfind(b"\n", begin, begin + size)
        is_open = content[begin : end + 1].count(b'"') % 2 == 1
        while end >= 0 and is_open:
            previous = content.rfind(b"\n", begin, end)
            is_open ^= content[max(previous, begin) : end].count(b'"') % 2 == 1
            end = previous
        if end >= 0:
            return end + 1
        size *= 2
    return len(content)


def _give_back(content: Bytes, begin: int, end: int) -> None:
    """A large file passes through this process's memory; it does not stay."""
    if isinstance(content, mmap):
        first = begin // PAGESIZE * PAGESIZE
        content.madvise(MADV_DONTNEED, first, end - first)


def _typed(table: pa.Table, types: Sequence[DataType], names: Sequence[str]) -> pa.Table:
    columns = []
    for index, type_ in enumerate(types):
        try:
            columns.append(typed(table.column(index), type_))
        except DoesNotFit:
            raise _Misfit(index) from None
    return pa.table(columns, names=list(names))


def _text_table(content: Bytes, begin: int, end: int, width: int) -> pa.Table:
    piece = np.frombuffer(content, np.uint8, end - begin, begin)
    if piece[-1] == _COMMA:
        # At the very end Arrow takes an empty field for quoted if the field before it was.
        piece = np.append(piece, np.uint8(_LF))
    has_breaks = False
    if any(content.find(each, begin, end) >= 0 for each in (b'"', b"\r")):
        has_breaks = _check_quotes(piece)
    table = _parse(piece, width, has_breaks)
    # A blank line would be a row of NULLs: look for one if that row can exist.
    if width > 1 and all(column.null_count for column in table.columns):
        _check_blank_lines(piece)
    return table


def _parse(piece: Any, width: int, has_breaks: bool) -> pa.Table:
    if len(piece) >= _MAX_BLOCK_BYTES:
        raise _Broken
    names = [f"c{index}" for index in range(width)]
    reading = pyarrow.csv.ReadOptions(column_names=names, block_size=len(piece) + 1, use_threads=False)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=has_breaks, ignore_empty_lines=False)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=True,
    )
    return pyarrow.csv.read_csv(pa.BufferReader(pa.py_buffer(piece)), reading, parse, convert)


def _check_quotes(piece: Any) -> bool:
    """Whether a line breaks inside quotes; refuses quotes and carriage returns where RFC 4180 has none."""
    quotes = np.flatnonzero(piece == _QUOTE)
    if len(quotes) % 2:
        raise _Broken
    _check_neighbours(piece, quotes)
    returns, feeds = (np.flatnonzero(piece == byte) for byte in (_CR, _LF))
    is_inside = np.searchsorted(quotes, returns) % 2 == 1
    if (_byte(piece, returns[~is_inside] + 1, beyond=0) != _LF).any():
        raise _Broken
    return bool(is_inside.any() or (np.searchsorted(quotes, feeds) % 2 == 1).any())


def _check_neighbours(piece: Any, quotes: Any) -> None:
    """A field's first quote follows a comma or line end, its last stands before one; others come in pairs."""
    opening, closing = quotes[::2], quotes[1::2]
    before = _byte(piece, opening - 1, beyond=_LF)
    if not np.isin(before, (_COMMA, _LF, _QUOTE)).all():
        raise _Broken
    after = _byte(piece, closing + 1, beyond=_LF)
    ends_line = (after == _CR) & (_byte(piece, closing + 2, beyond=0) == _LF)
    if not (np.isin(after, (_COMMA, _LF, _QUOTE)) | ends_line).all():
        raise _Broken


def _byte(piece: Any, positions: Any, beyond: int) -> Any:
    """The bytes at some positions; `beyond` stands for what lies before or after the piece."""
    outside = (positions < 0) | (positions >= len(piece))
    return np.where(outside, beyond, piece[np.where(outside, 0, positions)])


def _check_blank_lines(piece: Any) -> None:
    quotes, feeds = np.flatnonzero(piece == _QUOTE), np.flatnonzero(piece == _LF)
    ends = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    is_blank = (ends == starts) | ((ends == starts + 1) & (piece[starts] == _CR))
    if is_blank.any():
        raise _Broken
