"""Column types as Arrow has them. One table, used for opened and for synthetic rows."""

import pyarrow as pa

from xor.model.types import DataType, Kind, Schema


def arrow_type(column: DataType) -> pa.DataType:
    """The Arrow type that holds every value of a column type exactly."""
    match column.kind:
        case Kind.BOOL:
            return pa.bool_()
        case Kind.INT64:
            return pa.int64()
        case Kind.DECIMAL:
            return pa.decimal128(column.precision, column.scale)
        case Kind.FLOAT64:
            return pa.float64()
        case Kind.TEXT:
            return pa.string()
        case Kind.DATE:
            return pa.date32()
        case Kind.TIMESTAMP:
            return pa.timestamp("us", tz=column.zone)


def arrow_schema(schema: Schema) -> pa.Schema:
    return pa.schema([pa.field(each.name, arrow_type(each.type)) for each in schema])
