"""Synthetic rows: the right names and types, and nothing else. They are made here, from the schema alone."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from xor.dataframe.arrow import arrow_type
from xor.errors import UsageError
from xor.model.types import Field, Kind, Schema

MAX_ROWS = 1000
_START = dt.datetime(2000, 1, 1)


def synthetic_rows(schema: Schema, count: int) -> pd.DataFrame:
    """`count` made-up rows whose index says that they are made up."""
    if not isinstance(count, int) or not 0 <= count <= MAX_ROWS:
        raise UsageError(f"head gives 0 to {MAX_ROWS} synthetic rows", code="usage.invalid")
    columns = [
        pa.array([_value(each, row) for row in range(count)], type=arrow_type(each.type)) for each in schema
    ]
    table = pa.table(columns, names=list(schema.names))
    rows: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    rows.index = pd.Index([f"synthetic {row}" for row in range(count)], name="never data")
    rows.attrs["synthetic"] = True
    return rows


def _value(field: Field, row: int) -> Any:
    match field.type.kind:
        case Kind.BOOL:
            return row % 2 == 0
        case Kind.INT64:
            return row
        case Kind.FLOAT64:
            return row + 0.5
        case Kind.DECIMAL:
            digits = row % 10 ** min(field.type.precision, 3)
            return Decimal(digits).scaleb(-field.type.scale)
        case Kind.TEXT:
            return f"text {row}".encode()[: field.max_bytes].decode()
        case Kind.DATE:
            return (_START + dt.timedelta(days=row)).date()
        case Kind.TIMESTAMP:
            moment = _START + dt.timedelta(hours=row)
            return moment.replace(tzinfo=dt.UTC) if field.type.zone else moment
