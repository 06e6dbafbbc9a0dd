"""Datasets in an owner's own PostgreSQL: what is checked, joined and filtered of them runs there.

One snapshot of each database serves all reading of a job. What a query gives is what DuckDB gives for the
same rows: texts compare by their bytes (collation "C"), instants are read in UTC, decimals are exact.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import sqlglot.expressions as exp

from xor.engine.arrow import arrow_type
from xor.engine.bounds import not_unique, text_too_long, too_many_rows
from xor.engine.compile import POSTGRES, compile_duplicates, compile_query
from xor.engine.sources import Inspection
from xor.engine.sources.values import DoesNotFit, check_range, typed
from xor.errors import DataError, InternalError, ResourceError, XorError
from xor.model.address import DatabaseUrl
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.types import BOOL, DATE, FLOAT64, INT64, TEXT, TIMESTAMP, DataType, Kind
from xor.plan.relations import Relation, Scan

CONNECT_S = 10
TYPES: Mapping[str, DataType] = {
    "bool": BOOL,
    "int2": INT64,
    "int4": INT64,
    "int8": INT64,
    "float4": FLOAT64,
    "float8": FLOAT64,
    "text": TEXT,
    "varchar": TEXT,
    "date": DATE,
    "timestamp": TIMESTAMP,
}
"""Types whose values the column types hold exactly. `numeric` and `timestamptz` are handled beside."""
_SQL_TYPES = {
    Kind.BOOL: "boolean",
    Kind.INT64: "bigint",
    Kind.FLOAT64: "double precision",
    Kind.TEXT: "text",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
}
AWAY = ("08", "28", "3D000", "57P", "53300")
REFUSED = "42501"
MISSING = ("42P01", "42703", "3F000")
FULL = ("53", "54")
CANCELLED = "57014"
BAD_VALUE = "22"
"""SQLSTATEs, or their classes."""


class Snapshot:
    """A connection with one read-only transaction: all that is read through it is of one moment.

    Raises:
        DataError: the database cannot be reached, or does not let us in.
    """

    def __init__(self, url: DatabaseUrl, timeout_s: int) -> None:
        settings = {
            "TimeZone": "UTC",
            "search_path": "pg_catalog",
            "standard_conforming_strings": "on",
            "extra_float_digits": "1",
            "default_transaction_isolation": "repeatable\\ read",
            "default_transaction_read_only": "on",
            "statement_timeout": f"{timeout_s}s",
        }
        # libpq's own idea of where the system's authorities lie is that of the computer that built it.
        ca = url.ca or ssl.get_default_verify_paths().cafile or "system"
        uri = replace(url, ca=ca).for_libpq(
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            connect_timeout=str(CONNECT_S),
            application_name="xor",
            client_encoding="UTF8",
            passfile="/dev/null",
        )
        with _explained():
            self._connection = adbc.connect(uri)
        try:
            encoding = (
                self.table("SELECT current_setting('server_encoding') AS encoding").column(0)[0].as_py()
            )
        except XorError:
            self.close()
            raise
        if encoding != "UTF8":
            self.close()
            raise DataError(
                "the database does not keep its texts in UTF-8",
                code="data.not-utf8",
                hint="its owner copies the table into a database of encoding UTF8.",
            )

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """What a query gives, while the server still computes it.

        Raises:
            DataError, ResourceError: the database cannot or will not give it.
        """
        with _explained(), self._connection.cursor() as cursor:
            cursor.execute(sql)
            yield from cursor.fetch_record_batch()

    def table(self, sql: str) -> pa.Table:
        """A small answer."""
        with _explained(), self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def close(self) -> None:
        with suppress(adbc_driver_manager.Error):
            self._connection.close()


@dataclass(frozen=True, slots=True)
class PostgresSource:
    """A dataset in a table or view of a database.

    Args:
        entry: what its owner declared; the table must be exactly that.
    """

    entry: DatasetEntry
    snapshot: Snapshot
    schema: str
    table: str

    def __repr__(self) -> str:
        return f"PostgresSource({self.entry.name!r})"


@dataclass(frozen=True, slots=True)
class Remote:
    """A dataset in a database that was found to be as declared, in the snapshot that will be read."""

    source: PostgresSource

    @property
    def entry(self) -> DatasetEntry:
        return self.source.entry

    @property
    def snapshot(self) -> Snapshot:
        return self.source.snapshot


def checked(source: PostgresSource) -> Remote:
    """Checks everything that a dataset's owner declared. The database computes; no row leaves it.

    Raises:
        DataError: table, columns, types or values are not as declared. ResourceError: a declared bound is
            exceeded.
    """
    check_columns(source)
    entry, columns = source.entry, list(source.entry.schema)
    measures = ["count(*)"]
    for index, field in enumerate(columns):
        if field.type.kind is Kind.TEXT:
            measures.append(f"max(octet_length(c{index}))")
        elif (test := _is_wrong(f"c{index}", field.type)) is not None:
            measures.append(f"bool_or({test})")
    chosen = ", ".join(f"{measure} AS m{index}" for index, measure in enumerate(measures))
    sql = f"WITH t0 AS ({_leaf(source, is_raw=True)}) SELECT {chosen} FROM t0"  # noqa: S608  numbers, c0, c1
    rows, *found = (column[0].as_py() for column in source.snapshot.table(sql).columns)
    if rows > entry.rows:
        raise too_many_rows(entry)
    measured = iter(found)
    for index, field in enumerate(columns):
        if field.type.kind is Kind.TEXT:
            if (next(measured) or 0) > (entry.columns[index].max_bytes or 0):
                raise text_too_long(entry, field.name)
        elif _is_wrong(f"c{index}", field.type) is not None and next(measured):
            raise _bad_value(source, field.name, field.type)
    for group in entry.unique:
        types = [entry.schema[name].type for name in group]
        sql = _with([_leaf(source, columns=group)], compile_duplicates(types, POSTGRES))
        if source.snapshot.table(sql).num_rows:
            raise not_unique(entry, group)
    return Remote(source)


def can_run(inputs: Sequence[object], constants: Sequence[str]) -> bool:
    """Whether one database holds all inputs of a stage, and can be told its text constants."""
    remote = [each for each in inputs if isinstance(each, Remote)]
    # PostgreSQL knows no text with the character NUL.
    return (
        bool(remote)
        and len(remote) == len(inputs)
        and len({id(each.snapshot) for each in remote}) == 1
        and not any("\0" in each for each in constants)
    )


def run(relation: Relation, inputs: Sequence[Remote], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of a relation, computed in the database, in pieces; columns `c0`, `c1`, …

    Raises:
        DataError, ResourceError: the database cannot or will not give them.
    """
    types = [relation.schema[name].type for name in columns]
    inner = compile_query(relation, columns, [each.entry.name for each in inputs], POSTGRES)
    sql = _with([_leaf(each.source) for each in inputs], _as_sent(inner, types))
    source = inputs[0].source
    is_empty = True
    for batch in inputs[0].snapshot.batches(sql):
        is_empty = False
        yield _received(pa.Table.from_batches([batch]), types, columns, source)
    if is_empty:
        names = [f"c{index}" for index in range(len(types))]
        yield pa.schema(zip(names, map(arrow_type, types), strict=True)).empty_table()


def pieces(source: PostgresSource) -> Iterator[pa.Table]:
    """All rows of a dataset as they are read, in the columns that its owner declared."""
    names = source.entry.schema.names
    for piece in run(Scan(source.entry), [Remote(source)], names):
        yield piece.rename_columns(list(names))


# -- SQL -----------------------------------------------------------------------------------------------


def _with(leaves: Sequence[str], inner: str) -> str:
    tables = ", ".join(f"t{index} AS NOT MATERIALIZED ({leaf})" for index, leaf in enumerate(leaves))
    return f"WITH {tables} {_as_subquery(inner)}"


def _as_subquery(inner: str) -> str:
    # It may begin with a WITH of its own.
    return f"SELECT * FROM ({inner}) AS answer"  # noqa: S608  ibis wrote it


def _leaf(source: PostgresSource, *, columns: Sequence[str] | None = None, is_raw: bool = False) -> str:
    """The SQL that reads columns of a table as `c0`, `c1`, …, in our types, which compare as ours.

    Args:
        is_raw: decimals as they are, to find out whether they fit.
    """
    schema = source.entry.schema
    chosen = [
        exp.alias_(_column(name, schema[name].type, is_raw=is_raw), f"c{index}")
        for index, name in enumerate(columns or schema.names)
    ]
    table = exp.table_(source.table, db=source.schema, quoted=True)
    return str(exp.select(*chosen).from_(table).sql(POSTGRES, identify=True))


def _column(name: str, type_: DataType, *, is_raw: bool) -> exp.Expression:
    column = exp.column(name, quoted=True)
    match type_.kind:
        case Kind.TEXT:
            return exp.Collate(this=exp.cast(column, "text"), expression=exp.to_identifier("C", quoted=True))
        case Kind.DECIMAL if is_raw:
            return column
        case Kind.DECIMAL:
            return exp.cast(column, f"decimal({type_.precision}, {type_.scale})")
        case Kind.TIMESTAMP if type_.zone is not None:
            return exp.AtTimeZone(this=column, zone=exp.Literal.string("UTC"))
    return exp.cast(column, _SQL_TYPES[type_.kind])


def _is_wrong(column: str, type_: DataType) -> str | None:
    """The condition under which a value has no place in a type; None if all have one."""
    match type_.kind:
        case Kind.DECIMAL:
            whole = type_.precision - type_.scale
            # NaN is greater than all numbers here.
            return f"abs({column}) >= 1e{whole}::numeric OR {column} <> round({column}, {type_.scale})"
        case Kind.DATE:
            return f"{column} < date '0001-01-01' OR {column} > date '9999-12-31'"
        case Kind.TIMESTAMP:
            return f"{column} < timestamp '0001-01-01' OR {column} >= timestamp '10000-01-01'"
    return None


def _as_sent(inner: str, types: Sequence[DataType]) -> str:
    """Decimals travel as text: they have no other exact form there."""
    columns = [
        f"CAST(c{index} AS text) AS c{index}" if type_.kind is Kind.DECIMAL else f"c{index}"
        for index, type_ in enumerate(types)
    ]
    return f"SELECT {', '.join(columns)} FROM ({inner}) AS rows"  # noqa: S608  c0, c1, and what ibis wrote


def inspect(snapshot: Snapshot, schema: str, table: str, types: Mapping[str, str]) -> Inspection:
    """What a table's owner has not declared: columns with their longest texts, rows, unique columns.

    Args:
        types: types given by the owner, by column, in their text form.

    Raises:
        DataError: a column has a type that cannot be read, or there is no such table.
    """
    given = {name: DataType.parse(text) for name, text in types.items()}
    found = {**column_types(snapshot, schema, table), **given}
    for name, type_ in found.items():
        if isinstance(type_, str):
            raise DataError(
                f"column '{name}' has the PostgreSQL type {type_}, which is not supported",
                code="data.unsupported-type",
                hint="declare its type (numeric: decimal(p,s)), or make a view that casts it.",
            )
    where = exp.table_(table, db=schema, quoted=True).sql(POSTGRES, identify=True)
    names = {name: exp.column(name, quoted=True).sql(POSTGRES, identify=True) for name in found}
    measures = ["count(*)"]
    for name, column in names.items():
        measures.append(f"count({column}) = count(DISTINCT {column})")
        if found[name] == TEXT:
            measures.append(f"max(octet_length({column}::text))")
    chosen = ", ".join(f"{measure} AS m{index}" for index, measure in enumerate(measures))
    row = snapshot.table(f"SELECT {chosen} FROM {where}")  # noqa: S608  quoted by sqlglot
    rows, *rest = (column[0].as_py() for column in row.columns)
    columns, unique = [], []
    measured = iter(rest)
    for name, type_ in found.items():
        if next(measured):
            unique.append(name)
        longest = (next(measured) or 0) if type_ == TEXT else None
        columns.append(ColumnEntry(name=name, type=str(type_), max_bytes=longest))
    return Inspection(tuple(columns), rows, tuple(unique))


# -- types ---------------------------------------------------------------------------------------------


def column_types(snapshot: Snapshot, schema: str, table: str) -> dict[str, DataType | str]:
    """The columns of a table or view with their types; a type that no column type holds by its own name.

    Raises:
        DataError: there is no such table, or we may not read it.
    """
    where = exp.table_(table, db=schema, quoted=True).sql(POSTGRES, identify=True)
    sql = (
        "SELECT a.attname::text AS name, t.typname::text AS type, a.atttypmod::int AS modifier"  # noqa: S608
        " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        f" WHERE a.attrelid = {exp.Literal.string(where).sql(POSTGRES)}::regclass"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )
    rows = snapshot.table(sql).to_pylist()
    return {row["name"]: _type_of(row["type"], row["modifier"]) for row in rows}


def _type_of(name: str, modifier: int) -> DataType | str:
    match name:
        case "numeric" if modifier >= 4:
            precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
            if 1 <= precision <= 38 and scale <= precision:
                return DataType(Kind.DECIMAL, precision, scale)
            return name
        case "timestamptz":
            return DataType(Kind.TIMESTAMP, zone="UTC")
    return TYPES.get(name, name)


def check_columns(source: PostgresSource) -> None:
    """Whether a table has the columns that were declared, in types that these hold.

    Raises:
        DataError: it has not, or we may not read it.
    """
    found = column_types(source.snapshot, source.schema, source.table)
    for field in source.entry.schema:
        if field.name not in found:
            raise DataError(
                f"dataset '{source.entry.name}': its table has no column '{field.name}'",
                code="data.header-mismatch",
                hint="its owner declares the columns that the table has, or makes a view with these.",
            )
        there = found[field.name]
        if not _holds(field.type, there):
            raise DataError(
                f"dataset '{source.entry.name}': column '{field.name}' is {there}, declared is {field.type}",
                code="data.type-mismatch",
                hint="its owner declares the type that the table has, or makes a view that casts it.",
            )


def _holds(declared: DataType, found: DataType | str) -> bool:
    if found == "numeric":
        return declared.kind is Kind.DECIMAL  # each value is checked
    if isinstance(found, str):
        return False
    if declared.kind is Kind.DECIMAL and found.kind is Kind.DECIMAL:
        return found.scale <= declared.scale and (
            found.precision - found.scale <= declared.precision - declared.scale
        )
    if declared.kind is Kind.TIMESTAMP and found.kind is Kind.TIMESTAMP:
        return (declared.zone is None) == (found.zone is None)  # instants; zones only show them
    return declared == found


def _received(
    rows: pa.Table, types: Sequence[DataType], names: Sequence[str], source: PostgresSource
) -> pa.Table:
    columns = []
    for column, type_, name in zip(rows.columns, types, names, strict=True):
        try:
            if type_.kind is Kind.DECIMAL:
                column = typed(column.cast(pa.string()), type_)
            elif type_.kind is Kind.TIMESTAMP:
                column = column.cast(pa.int64()).cast(arrow_type(type_))
            check_range(column, type_)
        except DoesNotFit:
            raise _bad_value(source, name, type_) from None
        columns.append(column.cast(arrow_type(type_)))
    return pa.table(columns, names=[f"c{index}" for index in range(len(columns))])


# -- errors --------------------------------------------------------------------------------------------


def _bad_value(source: PostgresSource, name: str, type_: DataType) -> DataError:
    return DataError(
        f"dataset '{source.entry.name}': a value of column '{name}' is no {type_}",
        code="data.value-type",
        hint="its owner corrects the table, or declares another type; nothing is rounded or guessed.",
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of the database as ours. Its own messages quote values, so they end here."""
    try:
        yield
    except adbc_driver_manager.Error as error:
        raise _error_of(error.sqlstate or "", error) from None


def _error_of(state: str, error: Any) -> XorError:
    if state == CANCELLED:
        return ResourceError(
            "the owner's database takes longer than a job may",
            code="resource.time",
            hint="filter before joining, add an index, or raise job_timeout_s.",
        )
    if state.startswith(AWAY) or (not state and isinstance(error, adbc_driver_manager.OperationalError)):
        return DataError(
            "the owner's database does not answer, or does not let this machine in",
            code="data.database-away",
            hint="see host, user and password of `url` in source.toml; when the database is back, run again.",
        )
    if state.startswith(REFUSED):
        return DataError(
            "the owner's database does not let this machine read the dataset",
            code="data.database-refuses",
            hint="GRANT SELECT on the table, and USAGE on its schema, to the user in source.toml.",
        )
    if state.startswith(MISSING):
        return DataError(
            "the owner's database has no such table or column",
            code="data.missing-table",
            hint="see `schema` and `table` in source.toml.",
        )
    if state.startswith(FULL):
        return ResourceError(
            f"the owner's database has no room for the query (SQLSTATE {state})",
            code="resource.database",
            hint="its operator gives it memory or disk; or filter before joining.",
        )
    if state.startswith(BAD_VALUE):
        return DataError(
            f"a value in the owner's database does not fit its declared type (SQLSTATE {state})",
            code="data.value-type",
            hint="its owner corrects the table, or declares another type.",
        )
    return InternalError(
        f"the owner's database does not understand what we compiled (SQLSTATE {state or 'unknown'})",
        code="internal.database",
    )
