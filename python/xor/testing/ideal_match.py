"""The ideal twin of a matched join: what a trusted party would tell the receiver. For tests only."""

from collections.abc import Hashable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from xor.engine.local import Table
from xor.plan.relations import Join
from xor.testing.oracle import normal_form


def ideal_match(join: Join, own: Table, sent: Table) -> tuple[pa.Array, pa.Table]:
    """The numbers of the receiver's keys and the sender's rows with them, as in `MatchReport`.

    Args:
        own: the receiver's keys.
        sent: the sender's keys, then its payload.
    """
    width = len(join.keys)
    numbers: dict[Hashable, int] = {}
    found = [_number(key, numbers) for key in _keys(own.arrow, width)]
    known = [numbers.get(key) if key is not None else None for key in _keys(sent.arrow, width)]
    kept = pa.array([index for index, number in enumerate(known) if number is not None], pa.int64())
    columns = [pa.chunked_array([pa.array(known, pa.int64())]), *sent.arrow.columns[width:]]
    names = ["number", *sent.arrow.column_names[width:]]
    return pa.array(found, pa.int64()), pa.table([each.take(kept) for each in columns], names=names)


def _keys(table: pa.Table, width: int) -> list[Hashable]:
    """The key of each row in its normal form; None where a part is NULL."""
    columns = [table.column(index).to_pylist() for index in range(width)]
    return [
        None if None in (row := tuple(map(_normal, parts))) else row for parts in zip(*columns, strict=True)
    ]


def _normal(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else normal_form(value)


def _number(key: Hashable, numbers: dict[Hashable, int]) -> int | None:
    return None if key is None else numbers.setdefault(key, len(numbers))
