"""Plaintext relations, computed at one player: datasets in, one Arrow table out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from xor.engine import postgres
from xor.engine.arrived import Arrived
from xor.engine.arrow import arrow_type, for_duckdb
from xor.engine.bounds import check_bounds
from xor.engine.compile import compile_query, text_constants
from xor.engine.duck import DEFAULT_LIMITS, Limits, locked, out_of_memory
from xor.engine.postgres import PostgresSource, Remote
from xor.engine.sources import Source, read
from xor.errors import InternalError, PlanError, ResourceError
from xor.model.dataset import DatasetEntry
from xor.model.types import DataType, Kind
from xor.plan.relations import Project, Relation, Scan, post_order

_BATCH_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a local stage, columns named `c0`, `c1`, … Its repr shows no value."""

    arrow: pa.Table

    @property
    def rows(self) -> int:
        return int(self.arrow.num_rows)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"Table({', '.join(map(str, self.arrow.schema.types))})"


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of a dataset, read once and found to be as declared."""

    entry: DatasetEntry
    arrow: pa.Table

    def __repr__(self) -> str:
        return f"Dataset({self.entry.name!r})"


Input = Source | PostgresSource | Dataset | Remote
"""Where a relation finds a dataset: in its file or table; or read, or checked, once for several relations."""
AnyInput = TypeVar("AnyInput", bound=Input)


def load(source: Source | PostgresSource, limits: Limits = DEFAULT_LIMITS) -> Dataset | Remote:
    """Reads a dataset and checks everything that its owner declared. One in a database stays there.

    Raises:
        DataError: the file is broken or not as declared. ResourceError: a declared bound is exceeded.
    """
    if isinstance(source, PostgresSource):
        return postgres.checked(source)
    rows = read(source)
    check_bounds(rows, source.entry, limits)
    return Dataset(source.entry, rows)


def fetched(found: Dataset | Remote, limits: Limits = DEFAULT_LIMITS) -> Dataset:
    """A dataset with its rows in memory.

    Raises:
        DataError, ResourceError: as `load`.
    """
    if isinstance(found, Dataset):
        return found
    rows = _gathered(postgres.pieces(found.source), found.entry.rows, limits)
    return Dataset(found.entry, rows.rename_columns(list(found.entry.schema.names)))


def load_all(
    relations: Iterable[Relation],
    sources: Mapping[str, Source | PostgresSource],
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, Dataset | Remote]:
    """Every dataset of some relations that has a source here, each read and checked once.

    For `run` and `stage.side_table`; the other datasets of the relations are those of other players.
    """
    names = {entry.name for relation in relations for entry in relation.datasets} & sources.keys()
    return {name: load(sources[name], limits) for name in sorted(names)}


def run(
    relation: Relation,
    inputs: Mapping[str, Input],
    columns: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Table:
    """Computes a relation over the datasets of one player, and over what has arrived there.

    Declared bounds of every dataset are checked first, whether the relation needs them or not.

    Args:
        inputs: for each dataset of the relation its source, or its rows from `load`.
        columns: names in the relation's schema, may repeat; None gives all.

    Raises:
        PlanError: the relation was built on another declaration of a dataset than the one here.
        DataError, ResourceError: as `load`; ResourceError also if the result needs too much memory.
    """
    chosen = relation.schema.names if columns is None else tuple(columns)
    if not chosen:
        raise PlanError("a result needs at least one column", code="plan.no-column", hint="select a column.")
    found_here = [matching(entry, inputs[entry.name]) for entry in relation.datasets]
    inputs_here = [
        load(each, limits) if isinstance(each, Source | PostgresSource) else each for each in found_here
    ]
    arrived = [each for each in post_order(relation) if isinstance(each, Arrived)]
    if postgres.can_run([*inputs_here, *arrived], text_constants(relation)):
        remote = [each for each in inputs_here if isinstance(each, Remote)]
        return Table(_gathered(postgres.run(relation, remote, chosen), relation.rows, limits))
    datasets = [fetched(each, limits) for each in inputs_here]
    tables = [each.arrow for each in datasets] + [each.arrow for each in arrived]
    if (plain := plain_columns(relation, chosen)) is not None:
        return _projected(tables[0], plain)
    sql = compile_query(relation, chosen, [*(each.entry.name for each in datasets), *arrived])
    with locked(limits) as connection:
        for index, each in enumerate(tables):
            connection.register(f"t{index}", for_duckdb(each.columns))
        reader = connection.execute(sql).to_arrow_reader(_BATCH_ROWS)
        pieces = (pa.Table.from_batches([batch], reader.schema) for batch in batches_of(reader))
        found = _gathered(pieces, relation.rows, limits, reader.schema)
    return Table(as_declared(found, [relation.schema[name].type for name in chosen]))


def plain_columns(relation: Relation, chosen: Sequence[str]) -> list[str] | None:
    """The columns of the only leaf behind `chosen` where nothing is computed: as they are, no engine."""
    match relation:
        case Scan() | Arrived():
            return list(chosen)
        case Project(source, columns):
            old = dict(columns)
            return plain_columns(source, [old[name] for name in chosen])
    return None


def _projected(found: pa.Table, columns: Sequence[str]) -> Table:
    names = [f"c{index}" for index in range(len(columns))]
    return Table(pa.table([found.column(name) for name in columns], names=names))


def matching(entry: DatasetEntry, found: AnyInput) -> AnyInput:
    """Where a dataset of a plan is found, declared as the plan says.

    Raises:
        PlanError: it is declared otherwise here.
    """
    if found.entry != entry:
        raise PlanError(
            f"the plan was made for another declaration of dataset '{entry.name}'",
            code="plan.dataset-differs",
            hint="fetch the catalogue again and build the frame anew.",
        )
    return found


def _gathered(
    pieces: Iterable[pa.Table], bound: int, limits: Limits, schema: pa.Schema | None = None
) -> pa.Table:
    """The result as a table, piece by piece, so that a join that explodes is stopped and not swapped."""
    kept: list[pa.Table] = [schema.empty_table()] if schema else []
    rows = size = 0
    for piece in pieces:
        rows, size = rows + piece.num_rows, size + piece.nbytes
        if rows > bound:
            raise ResourceError(
                "a local stage gives more rows than the bound of its plan", code="resource.rows"
            )
        if size > limits.memory_bytes:
            raise out_of_memory()
        kept.append(piece)
    return pa.concat_tables(kept)


def batches_of(reader: Any) -> Iterator[pa.RecordBatch]:
    """What DuckDB gives, with errors of ours.

    Raises:
        ResourceError: it needs more memory. InternalError: anything else.
    """
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        # DuckDB fails inside the stream, where its own error classes are lost.
        if "Out of Memory" in str(error):
            raise out_of_memory() from None
        raise InternalError(
            "the local engine failed while it gave its rows", code="internal.local-engine"
        ) from None


def as_declared(found: pa.Table, types: Sequence[DataType]) -> pa.Table:
    """Columns that DuckDB gave in the Arrow types that carry `types`, zones put back."""
    columns = []
    for column, type_ in zip(found.columns, types, strict=True):
        expected = arrow_type(type_)
        if type_.kind is Kind.TIMESTAMP and type_.zone:
            column = column.cast(pa.int64()).cast(expected)
        if column.type != expected:
            raise InternalError(
                f"the local engine gave {column.type} for {type_}", code="internal.local-engine"
            )
        columns.append(column)
    return pa.table(columns, names=found.column_names)
