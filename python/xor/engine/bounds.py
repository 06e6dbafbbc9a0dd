"""What an owner declared about a dataset, checked against its rows before anybody else is contacted.

Messages name dataset and declaration only. A count would tell what the padded bounds hide.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from xor.engine.arrow import for_duckdb
from xor.engine.compile import compile_duplicates, compile_hashes
from xor.engine.duck import DEFAULT_LIMITS, Limits, locked
from xor.errors import DataError, ResourceError
from xor.model.dataset import DatasetEntry
from xor.model.types import DataType, Kind


def check_bounds(rows: pa.Table, entry: DatasetEntry, limits: Limits) -> None:
    """Checks `rows`, `max_bytes` and `unique` of a dataset.

    Raises:
        ResourceError: more rows, or longer texts, than declared.
        DataError: a combination that was declared unique appears twice.
    """
    if rows.num_rows > entry.rows:
        raise ResourceError(
            f"dataset '{entry.name}' has more rows than its declaration 'rows'",
            code="resource.rows",
            hint="its owner raises the declared bound, or keeps fewer rows.",
        )
    for index, column in enumerate(entry.columns):
        if column.max_bytes is not None and longest_text(rows.column(index)) > column.max_bytes:
            raise ResourceError(
                f"dataset '{entry.name}' has a text in '{column.name}' above its declaration 'max_bytes'",
                code="resource.max-bytes",
                hint="its owner raises the declared bound; bytes are counted in UTF-8.",
            )
    fields = {field.name: (index, field.type) for index, field in enumerate(entry.schema)}
    for group in entry.unique:
        chosen = [fields[name] for name in group]
        if has_duplicates(
            [rows.column(index) for index, _ in chosen], [type_ for _, type_ in chosen], limits
        ):
            raise DataError(
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
    with locked(limits) as connection:
        connection.register("t0", for_duckdb(columns))
        # Most often there are none, and distinct hashes show that in a fraction of a grouping's time and
        # memory. Floats aside: what is equal there need not have the same bits.
        if all(type_.kind is not Kind.FLOAT64 for type_ in types):
            hashes = connection.execute(compile_hashes(types)).fetchnumpy()["hash"]
            hashes.sort()
            if not (hashes[1:] == hashes[:-1]).any():
                return False
        return connection.execute(compile_duplicates(types)).fetchone() is not None
