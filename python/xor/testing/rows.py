"""Rows of tests: as the local engine takes them, and in a form in which different values differ."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from xor.engine import local
from xor.engine.arrow import arrow_type
from xor.testing.oracle import Value
from xor.testing.strategies import Sample


def dataset(sample: Sample) -> local.Dataset:
    columns = [
        pa.chunked_array([pa.array([row[field.name] for row in sample.rows], arrow_type(field.type))])
        for field in sample.entry.schema
    ]
    return local.Dataset(sample.entry, pa.table(columns, names=list(sample.entry.schema.names)))


def exact(rows: Iterable[tuple[Value, ...]]) -> Counter[tuple[str, ...]]:
    """Rows as a multiset in which 1, 1.0, True and 1.00 differ, NaN equals itself and 0.0 is not -0.0."""
    return Counter(tuple(_exact(value) for value in row) for row in rows)


def _exact(value: Value) -> str:
    match value:
        case float():
            return value.hex()
        case dt.datetime() if value.tzinfo:
            return value.astimezone(dt.UTC).isoformat()
        case dt.date() | Decimal():
            return f"{type(value).__name__} {value}"
    return repr(value)


def rows_in(table: local.Table) -> list[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in pa.table(table).columns]
    return list(zip(*columns, strict=True))
