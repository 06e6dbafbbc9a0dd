"""Parquet files: types map exactly to the column types, or are refused by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from xor.engine.arrow import arrow_type, column_type
from xor.engine.sources.source import Source, check_declared, check_names, opened
from xor.engine.sources.values import DoesNotFit, check_range
from xor.errors import DataError
from xor.model.types import DataType, Kind


def read(source: Source) -> pa.Table:
    """All rows with their declared names and types.

    Raises:
        DataError: the file is not as declared, or no Parquet file.
    """
    return _declared(*contents(source.path), source)


def pieces(source: Source) -> Iterator[pa.Table]:
    """The rows of `read`, one row group of the file at a time.

    Raises:
        DataError: as `read`, but only when the row group that is wrong is reached.
    """
    with _file(source.path) as file:
        names, types = _columns(file.schema_arrow, source.path)
        check_declared(names, source)
        for group in range(file.num_row_groups):
            with _readable(source.path):
                table = file.read_row_group(group)
            yield _declared(names, types, table, source)


def _declared(
    names: tuple[str, ...], types: tuple[DataType, ...], table: pa.Table, source: Source
) -> pa.Table:
    check_declared(names, source)
    arrays = []
    for index, field in enumerate(source.entry.schema):
        check_holds(field.type, types[index], field.name, source.path)
        arrays.append(plain(table.column(index), field.type, field.name, source.path))
    return pa.table(arrays, names=list(names))


def contents(path: Path) -> tuple[tuple[str, ...], tuple[DataType, ...], pa.Table]:
    """Names, column types and columns (in the file's own Arrow types) of a Parquet file.

    Raises:
        DataError: it is no Parquet file, a name appears twice, or a type has no column type here.
    """
    with _file(path) as file, _readable(path):
        table = file.read()
    return *_columns(table.schema, path), table


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    with opened(path) as content:
        with _readable(path):
            file = pyarrow.parquet.ParquetFile(pa.BufferReader(pa.py_buffer(content)))
        yield file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError):
        raise DataError(
            f"'{path.name}' is no Parquet file that can be read", code="data.unreadable"
        ) from None


def _columns(schema: pa.Schema, path: Path) -> tuple[tuple[str, ...], tuple[DataType, ...]]:
    names = tuple(schema.names)
    check_names(names, path)
    return names, tuple(_type_of(field, path) for field in schema)


def plain(column: pa.ChunkedArray, type_: DataType, name: str, path: Path) -> pa.ChunkedArray:
    """A column of the file in the Arrow type of `type_`, which holds its type, with its values checked.

    Raises:
        DataError: a text is not UTF-8, or a date lies outside the years 1 to 9999.
    """
    try:
        if type_.kind is Kind.TEXT:
            column = column.cast(pa.binary()).cast(pa.string())  # checks UTF-8; Parquet readers do not
        result = column.cast(arrow_type(type_))
        check_range(result, type_)
    except (DoesNotFit, pa.ArrowInvalid):
        raise DataError(
            f"'{path.name}': a value of column '{name}' is no {type_}",
            code="data.value-type",
            hint="texts are UTF-8; dates lie in the years 1 to 9999.",
        ) from None
    return result


def _type_of(field: pa.Field, path: Path) -> DataType:
    found = column_type(field.type)
    if found is None:
        raise DataError(
            f"'{path.name}': column '{field.name}' has the Parquet type {field.type}, which is not supported",
            code="data.unsupported-type",
            hint="write it as bool, an integer of up to 64 signed bits, decimal, float, string, date or "
            "timestamp of at most microseconds.",
        )
    return found


def check_holds(declared: DataType, found: DataType, name: str, path: Path) -> None:
    """Refuses a declared type that does not hold every value of the file's type exactly."""
    match declared.kind, found.kind:
        case Kind.DECIMAL, Kind.DECIMAL:
            fits = found.scale == declared.scale and found.precision <= declared.precision
        case Kind.TIMESTAMP, Kind.TIMESTAMP:
            fits = (declared.zone is None) == (found.zone is None)  # both are instants; zones only show them
        case _:
            fits = declared == found
    if not fits:
        raise DataError(
            f"'{path.name}': column '{name}' holds {found}, declared is {declared}",
            code="data.type-mismatch",
            hint="declare the type that the file has.",
        )
