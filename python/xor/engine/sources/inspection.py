"""What a file holds, for an owner who has not declared everything yet."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from xor.engine.bounds import has_duplicates, longest_text
from xor.engine.sources import csv, parquet
from xor.engine.sources.source import Format, format_of
from xor.engine.sources.values import DoesNotFit, typed
from xor.model.dataset import ColumnEntry
from xor.model.types import BOOL, DATE, INT64, TEXT, TIMESTAMP, DataType, Kind, decimal, unknown_column

_INT = r"^(0|-?[1-9][0-9]{0,18})$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,5}[1-9])?$"
_BOOL = r"^(true|false)$"
_DECIMAL_PARTS = re.compile(r"-?[0-9]+\.([0-9]{1,37})")
_MINUS_ZERO = r"^-0\.0+$"
_NARROW, _WIDE = 18, 38
_SOME_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """Exact counts of a file. They are its owner's: pad them before they become declarations.

    Args:
        columns: inferred or given types; `max_bytes` is the longest text that the file holds.
        rows: rows in the file.
        unique: columns in which no value appears twice (NULLs aside); floats are never among them.
    """

    columns: tuple[ColumnEntry, ...]
    rows: int
    unique: tuple[str, ...]


def inspect(
    path: Path,
    format: Format | None = None,
    header: tuple[str, ...] | None = None,
    types: Mapping[str, str] | None = None,
) -> Inspection:
    """Reads a file and infers what its owner has not declared.

    A CSV column becomes int, decimal, date, timestamp or bool only if every value prints back to the same
    text, else text; float only if declared. Decimals get 18 or 38 digits, not as many as the data need:
    the catalogue shows types to everybody.

    Args:
        format: None takes it from the end of the file's name.
        types: types given by the owner, by column, in their text form.

    Raises:
        DataError: the file is broken, or a value does not fit a given type.
        SchemaError: a given type or its column does not exist.
    """
    given = {name: DataType.parse(text) for name, text in (types or {}).items()}
    columns = (
        _from_csv(path, header, given) if (format or format_of(path)) == "csv" else _from_parquet(path, given)
    )
    with ThreadPoolExecutor(pa.cpu_count()) as threads:
        are_unique = list(threads.map(_is_unique, columns))
    return Inspection(
        tuple(
            ColumnEntry(
                name=name,
                type=str(type_),
                max_bytes=longest_text(column) if type_.kind is Kind.TEXT else None,
            )
            for name, type_, column in columns
        ),
        len(columns[0][2]),
        tuple(name for (name, _, _), is_unique in zip(columns, are_unique, strict=True) if is_unique),
    )


_Column = tuple[str, DataType, pa.ChunkedArray]
_Columns = list[_Column]


def _from_csv(path: Path, header: tuple[str, ...] | None, given: Mapping[str, DataType]) -> _Columns:
    with csv.texts(path, header) as found, ThreadPoolExecutor(pa.cpu_count()) as threads:
        _check_given(given, found.names)

        def column(index: int) -> _Column:
            name = found.names[index]
            if type_ := given.get(name):
                return name, type_, found.typed(index, type_)
            return name, *_inferred(found.columns.column(index))

        return list(threads.map(column, range(len(found.names))))


def _from_parquet(path: Path, given: Mapping[str, DataType]) -> _Columns:
    names, types, table = parquet.contents(path)
    _check_given(given, names)
    columns: _Columns = []
    for index, (name, type_) in enumerate(zip(names, types, strict=True)):
        declared = given.get(name, type_)
        parquet.check_holds(declared, type_, name, path)
        columns.append((name, declared, parquet.plain(table.column(index), declared, name, path)))
    return columns


def _is_unique(column_of: _Column) -> bool:
    _, type_, column = column_of
    if type_.kind is Kind.FLOAT64:
        return False
    some = column.slice(0, _SOME_ROWS).drop_null()  # most columns show here already that they are not
    return len(some.unique()) == len(some) and not has_duplicates([column], [type_])


def _check_given(given: Mapping[str, DataType], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise unknown_column(name, names)


def infer(column: pa.ChunkedArray) -> DataType:
    """The type of an undeclared text column: the one whose every value prints back to the same text."""
    return _inferred(column)[0]


def _inferred(column: pa.ChunkedArray) -> tuple[DataType, pa.ChunkedArray]:
    """The type of `infer`, and the column in it."""
    first = next((text for text in column.slice(0, 1000).to_pylist() if text is not None), None)
    if first is None and column.null_count == len(column):
        return TEXT, column
    for type_, pattern in _candidates(first if first is not None else column.drop_null()[0].as_py()):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            converted = _converted(column, type_)
            if converted is not None:
                return type_, converted
    return TEXT, column


def _candidates(first: str) -> list[tuple[DataType, str]]:
    """Types that the first value has, with the pattern of their printed form."""
    if parts := _DECIMAL_PARTS.fullmatch(first):
        scale = len(parts[1])
        pattern = rf"^-?(0|[1-9][0-9]*)\.[0-9]{{{scale}}}$"
        return [(decimal(digits, scale), pattern) for digits in (_NARROW, _WIDE) if scale <= digits]
    known = [(INT64, _INT), (DATE, _DATE), (TIMESTAMP, _TIMESTAMP), (BOOL, _BOOL)]
    return [(type_, pattern) for type_, pattern in known if re.fullmatch(pattern, first)]


def _converted(column: pa.ChunkedArray, type_: DataType) -> pa.ChunkedArray | None:
    if type_.kind is Kind.DECIMAL and pc.any(pc.match_substring_regex(column, _MINUS_ZERO)).as_py():
        return None  # -0.00 prints back as 0.00
    try:
        return typed(column, type_)
    except DoesNotFit:
        return None
