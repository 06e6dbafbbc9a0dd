"""Column types as Arrow types, and back."""

from collections.abc import Sequence

import pyarrow as pa

from xor.model.types import BOOL, DATE, FLOAT64, INT64, TEXT, TIMESTAMP, DataType, Kind, decimal

_PLAIN = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.DATE: pa.date32(),
}
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())


def arrow_type(type_: DataType) -> pa.DataType:
    """The Arrow type that carries a column type, on every path."""
    match type_.kind:
        case Kind.DECIMAL:
            return pa.decimal128(type_.precision, type_.scale)
        case Kind.TIMESTAMP:
            return pa.timestamp("us", tz=type_.zone)
        case plain:
            return _PLAIN[plain]


def column_type(type_: pa.DataType) -> DataType | None:
    """The column type that holds every value of an Arrow type exactly; None if there is none."""
    if pa.types.is_dictionary(type_):
        return column_type(type_.value_type)
    if pa.types.is_boolean(type_):
        return BOOL
    if type_ in _INTEGERS:
        return INT64
    if pa.types.is_float32(type_) or pa.types.is_float64(type_):
        return FLOAT64
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return TEXT
    if pa.types.is_date32(type_):
        return DATE
    if pa.types.is_decimal(type_) and 0 <= type_.scale <= type_.precision <= 38:
        return decimal(type_.precision, type_.scale)
    if pa.types.is_timestamp(type_) and type_.unit in ("s", "ms", "us"):
        return DataType(Kind.TIMESTAMP, zone=type_.tz) if type_.tz else TIMESTAMP
    return None


def for_duckdb(columns: Sequence[pa.ChunkedArray]) -> pa.Table:
    """Columns as the table `c0`, `c1`, … that compiled queries read: instants without their zones."""
    plain = [
        column.cast(pa.int64()).cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
        for column in columns
    ]
    return pa.table(plain, names=[f"c{index}" for index in range(len(plain))])
