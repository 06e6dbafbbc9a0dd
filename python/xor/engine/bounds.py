"""What an owner declared about a dataset, checked against its rows before anybody else is contacted.

Messages name dataset and declaration only. A count would tell what the padded bounds hide.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xor.engine.arrow import for_duckdb
from xor.engine.compile import compile_duplicates, compile_hashes
from xor.engine.duck import DEFAULT_LIMITS, Limits, locked
from xor.errors import DataError, ResourceError
from xor.model.dataset import DatasetEntry
from xor.model.types import DataType, Kind

_HASHED_ROWS = 2**20

Pieces = Callable[[], Iterator[pa.Table]]
"""Gives the rows of a dataset from the first one on, at every call."""


def check_bounds(rows: pa.Table, entry: DatasetEntry, limits: Limits) -> None:
    """Checks `rows`, `max_bytes` and `unique` of a dataset.

    Raises:
        ResourceError: more rows, or longer texts, than declared.
        DataError: a combination that was declared unique appears twice.
    """
    for _ in within_bounds(lambda: iter([rows]), entry, limits):
        pass


def within_bounds(pieces: Pieces, entry: DatasetEntry, limits: Limits) -> Iterator[pa.Table]:
    """The rows of a dataset as they are read, checked as in `check_bounds` before they are passed on.

    A value that appears twice shows after the last row only. Of each row and each declared uniqueness
    8 bytes stay in memory until then.
    """
    fields = {field.name: (index, field.type) for index, field in enumerate(entry.schema)}
    groups = [_Unique([fields[name] for name in group], limits) for group in entry.unique]
    rows = 0
    for piece in pieces():
        rows += piece.num_rows
        if rows > entry.rows:
            raise too_many_rows(entry)
        _check_lengths(piece, entry)
        for unique in groups:
            unique.add(piece)
        yield piece
    for names, unique in zip(entry.unique, groups, strict=True):
        if unique.is_broken(pieces):
            raise not_unique(entry, names)


def _check_lengths(rows: pa.Table, entry: DatasetEntry) -> None:
    for index, column in enumerate(entry.columns):
        if column.max_bytes is not None and longest_text(rows.column(index)) > column.max_bytes:
            raise text_too_long(entry, column.name)


def too_many_rows(entry: DatasetEntry) -> ResourceError:
    return ResourceError(
        f"dataset '{entry.name}' has more rows than its declaration 'rows'",
        code="resource.rows",
        hint="its owner raises the declared bound, or keeps fewer rows.",
    )


def text_too_long(entry: DatasetEntry, column: str) -> ResourceError:
    return ResourceError(
        f"dataset '{entry.name}' has a text in '{column}' above its declaration 'max_bytes'",
        code="resource.max-bytes",
        hint="its owner raises the declared bound; bytes are counted in UTF-8.",
    )


def not_unique(entry: DatasetEntry, group: Sequence[str]) -> DataError:
    return DataError(
        f"dataset '{entry.name}' breaks its declaration 'unique' on {', '.join(map(repr, group))}",
        code="data.not-unique",
        hint="its owner removes the duplicates, or the declaration; texts compare after Unicode NFC.",
    )


def longest_text(column: pa.ChunkedArray) -> int:
    """The longest text of a column in UTF-8 bytes; 0 where there is none."""
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def has_duplicates(
    columns: Sequence[pa.ChunkedArray], types: Sequence[DataType], limits: Limits = DEFAULT_LIMITS
) -> bool:
    """Whether some combination of values appears twice. Rows with a NULL among them do not count.

    Values are equal here if a join would match them: texts after Unicode NFC, timestamps as instants.
    """
    rows = for_duckdb(columns)
    unique = _Unique(list(enumerate(types)), limits)
    unique.add(rows)
    return unique.is_broken(lambda: iter([rows]))


class _Unique:
    """A set of columns of which no combination of values may appear twice.

    Most often none does, and distinct hashes show that in a fraction of a grouping's time and memory. Equal
    ones prove nothing: then the rows are read again and grouped.
    """

    def __init__(self, columns: Sequence[tuple[int, DataType]], limits: Limits) -> None:
        self._indices = [index for index, _ in columns]
        self._types = [type_ for _, type_ in columns]
        self._limits = limits
        # Floats that are equal need not have the same bits: for them there is the grouping only.
        self._is_hashed = all(type_.kind is not Kind.FLOAT64 for type_ in self._types)
        self._waiting: list[pa.RecordBatch] = []
        self._hashes: list[Any] = []

    def add(self, piece: pa.Table) -> None:
        if self._is_hashed:
            self._waiting += self._keys(piece).to_batches()
            if sum(batch.num_rows for batch in self._waiting) >= _HASHED_ROWS:
                self._hash()

    def is_broken(self, pieces: Pieces) -> bool:
        if self._is_hashed:
            self._hash()
            hashes = np.concatenate([np.empty(0, np.uint64), *self._hashes])
            self._hashes.clear()
            hashes.sort()
            if not (hashes[1:] == hashes[:-1]).any():
                return False
        batches = (batch for piece in pieces() for batch in self._keys(piece).to_batches())
        first = next(batches, None)
        if first is None:
            return False
        rows = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
        with locked(self._limits) as connection:
            connection.register("t0", rows)
            return connection.execute(compile_duplicates(self._types)).fetchone() is not None

    def _hash(self) -> None:
        """Keeps of the rows that wait their hashes only."""
        if self._waiting:
            with locked(self._limits) as connection:
                connection.register("t0", pa.Table.from_batches(self._waiting))
                self._hashes.append(connection.execute(compile_hashes(self._types)).fetchnumpy()["hash"])
            self._waiting.clear()

    def _keys(self, piece: pa.Table) -> pa.Table:
        return for_duckdb([piece.column(index) for index in self._indices])
