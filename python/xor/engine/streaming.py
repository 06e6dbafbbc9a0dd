"""Plaintext relations larger than memory: rows flow from one file to whoever reads the stream.

For a dataset of which columns are chosen and rows filtered. Joins and appends hold tables: `local.run`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from xor.engine import postgres
from xor.engine.arrow import arrow_type, for_duckdb
from xor.engine.bounds import within_bounds
from xor.engine.compile import compile_query, text_constants
from xor.engine.duck import DEFAULT_LIMITS, Limits, locked
from xor.engine.local import as_declared, batches_of, matching, plain_columns, run
from xor.engine.postgres import PostgresSource
from xor.engine.sources import Source, pieces
from xor.errors import XorError
from xor.plan.relations import Relation

_BATCH_ROWS = 100_000


class Stream:
    """Rows as they are read, columns named `c0`, `c1`, …: an Arrow stream that can be consumed once.

    Whoever consumes it sees only that it broke off. `failure` then says why, with file and line.
    """

    def __init__(self, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
        self._schema, self._tables = schema, tables
        self.failure: XorError | None = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"Stream({', '.join(map(str, self._schema.types))})"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around whatever consumes the stream: its own failure instead of what the consumer made of it.

        Raises:
            DataError, ResourceError: as `local.load`, once what is wrong was reached.
        """
        try:
            yield
        except Exception:
            if self.failure:
                raise self.failure from None
            raise

    def drain(self) -> None:
        """Reads to the end and keeps nothing: whatever is wrong with the rows is found.

        Raises:
            DataError, ResourceError: as `local.load`.
        """
        for _ in self._batches():
            pass

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for table in self._tables:
                yield from table.to_batches()
        except XorError as error:
            self.failure = error
            raise


def stream(
    relation: Relation,
    sources: Mapping[str, Source | PostgresSource],
    columns: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Stream:
    """The rows of `local.run`, in the order of the file, without ever holding more than a few pieces.

    Args:
        relation: one that `xor.plan.relations.is_streamable`.

    Raises:
        PlanError: the relation was built on another declaration of the dataset than the one here.
    """
    (entry,) = relation.datasets
    source = matching(entry, sources[entry.name])
    chosen = relation.schema.names if columns is None else tuple(columns)
    types = [relation.schema[name].type for name in chosen]
    schema = pa.schema([(f"c{index}", arrow_type(type_)) for index, type_ in enumerate(types)])
    if isinstance(source, PostgresSource):
        return Stream(schema, _from_database(relation, source, chosen, limits))
    rows = within_bounds(lambda: pieces(source), entry, limits)
    plain = plain_columns(relation, chosen)
    if plain is not None:
        return Stream(schema, (table.select(plain).rename_columns(schema.names) for table in rows))
    sql = compile_query(relation, chosen, [entry.name])
    read = pa.schema([(f"c{index}", arrow_type(field.type)) for index, field in enumerate(entry.schema)])
    return Stream(schema, (as_declared(table, types) for table in _filtered(sql, read, rows, limits)))


def _from_database(
    relation: Relation, source: PostgresSource, columns: Sequence[str], limits: Limits
) -> Iterator[pa.Table]:
    """Rows that a database chooses and filters itself, after it has found its dataset to be as declared."""
    remote = postgres.checked(source)
    if postgres.can_run([remote], text_constants(relation)):
        yield from postgres.run(relation, [remote], columns)
    else:
        yield run(relation, {source.entry.name: remote}, columns, limits).arrow


def _filtered(sql: str, schema: pa.Schema, tables: Iterator[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    """What a query makes of rows that it reads once, piece by piece."""
    failures: list[XorError] = []

    def plain() -> Iterator[pa.RecordBatch]:
        try:
            for table in tables:
                yield from for_duckdb(table.columns).to_batches()
        except XorError as error:
            failures.append(error)  # the engine would tell that a reader failed, not why
            raise

    try:
        with locked(limits) as connection:
            naive = for_duckdb(schema.empty_table().columns).schema
            connection.register("t0", pa.RecordBatchReader.from_batches(naive, plain()))
            for batch in batches_of(connection.execute(sql).to_arrow_reader(_BATCH_ROWS)):
                yield pa.Table.from_batches([batch])
    except XorError:
        if failures:
            raise failures[0] from None
        raise
