"""A matched join at its receiver: from what the core opened to rows, and into the relations above it.

Security: the sender's rows are what it wrote, so nothing here may fail because of them: whether a step fails
would tell it what matched. The core gives no more rows than are declared, in all and for one key, and each as
its column is declared; what is declared unique beyond that is enforced here by leaving out the others, as if
the sender had done so itself.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xor.engine.arrived import Arrived
from xor.engine.arrow import arrow_type
from xor.engine.local import Table
from xor.errors import InternalError
from xor.plan.cost import payload
from xor.plan.placed import Exchange, Matched, PlacedPlan
from xor.plan.relations import Join, JoinKind, Relation

if TYPE_CHECKING:
    from xor._core import ArrowStreamExportable

Rows = TypeVar("Rows", pa.Table, pa.ChunkedArray)
Indices = npt.NDArray[np.int64]
NONE = -1
"""The number of no key and the index of no row: its columns are NULL."""


def own_keys(join: Join, own: Table) -> Table:
    """What the receiver's core takes of a table from `stage.side_table`: the keys alone."""
    return Table(own.arrow.select(range(len(join.keys))))


def joined(
    exchange: Exchange, own: Table, numbers: ArrowStreamExportable, rows: ArrowStreamExportable
) -> Arrived:
    """The rows of a matched join.

    Args:
        own: what the receiver brings, from `stage.side_table`.
        numbers: one column: of each of those rows the number of its key; NULL where the key has a NULL.
        rows: of the sender, each with the number of its key first, then its columns as in the spec.
    """
    join, placement = exchange.join, exchange.placement
    if not isinstance(placement, Matched):
        raise InternalError(f"step {exchange.node} is no matched join")
    sent = payload(join, placement.sender).names
    found = pa.table(rows).rename_columns(["", *sent])
    found = _taken(found, _first_of_each(found, (group for group in join.unique if group <= set(sent))))
    kept, met = _pairs(
        join.kind, placement.receiver, *(_numbers(each.column(0)) for each in (pa.table(numbers), found))
    )
    names = payload(join, placement.receiver).names
    at_home = own.arrow.select(range(len(join.keys), own.arrow.num_columns)).rename_columns(list(names))
    sides = dict.fromkeys(names, (at_home, kept)) | dict.fromkeys(sent, (found, met))
    columns = {}
    for each in join.schema:
        table, indices = sides[each.name]
        columns[each.name] = _taken(table.column(each.name), indices).cast(arrow_type(each.type))
    return Arrived(join, pa.table(columns))


def over(plan: PlacedPlan, node: int, arrived: MutableMapping[int, Arrived]) -> Relation:
    """The relation of a step, with what has arrived in place of the matched joins that it is built on.

    Nothing else is built on those, so they leave `arrived` and are gone once the relation is.
    """
    if node in arrived:
        return arrived.pop(node)
    relation = plan.nodes[node]
    return relation.with_inputs(tuple(over(plan, each, arrived) for each in plan.inputs_of[node]))


def _pairs(kind: JoinKind, receiver: int, own: Indices, met: Indices) -> tuple[Indices, Indices]:
    """The rows of the result: of each the index of the receiver's row and that of the sender's, or NONE.

    Args:
        own, met: numbers of the keys of the receiver's rows and of the sender's.
    """
    order = np.argsort(met, kind="stable")
    keys = 1 + max(own.max(initial=NONE), met.max(initial=NONE))
    # How often each key was met, and a place at the end that NONE counts as.
    of_key = np.append(np.bincount(met, minlength=keys), 0)
    counts, first = of_key[own], (np.cumsum(of_key) - of_key)[own]
    if kind is JoinKind.ANTI or (kind is JoinKind.SEMI and receiver == 0):
        kept = np.flatnonzero((counts > 0) == (kind is JoinKind.SEMI))
        return kept, np.full(len(kept), NONE)
    if kind is JoinKind.SEMI:
        # Whatever has come has met one of our keys.
        return np.full(len(met), NONE), np.arange(len(met))
    is_lonely = counts == 0
    if kind is not JoinKind.INNER:
        counts = np.maximum(counts, 1)
    kept = np.repeat(np.arange(len(own)), counts)
    places = np.arange(len(kept)) - np.repeat(np.cumsum(counts) - counts, counts) + first[kept]
    if not len(met):
        return kept, np.full(len(kept), NONE)
    return kept, np.where(is_lonely[kept], NONE, order[np.minimum(places, len(met) - 1)])


def _numbers(column: pa.ChunkedArray) -> Indices:
    """The numbers, NONE where they are NULL."""
    found: Indices = pc.fill_null(column, NONE).to_numpy()
    return found


def _taken(rows: Rows, indices: Indices) -> Rows:
    return rows.take(pa.array(indices, mask=indices == NONE))


def _first_of_each(rows: pa.Table, groups: Iterable[frozenset[str]]) -> Indices:
    """The rows that are left if no combination of values in a group of columns may appear twice."""
    kept = np.arange(rows.num_rows)
    for group in sorted(groups, key=sorted) if rows.num_rows else ():
        codes = np.stack([_codes(rows.column(name))[kept] for name in sorted(group)], axis=1)
        is_kept = (codes == NONE).any(axis=1)
        is_kept[np.unique(codes, axis=0, return_index=True)[1]] = True
        kept = kept[is_kept]
    return kept


def _codes(column: pa.ChunkedArray) -> Indices:
    """A number for each value, the same for values that count as equal; NONE for NULL."""
    if pa.types.is_string(column.type):
        column = pc.utf8_normalize(column, "NFC")
    encoded = column.dictionary_encode().unify_dictionaries()
    return _numbers(pa.chunked_array([each.indices for each in encoded.chunks], pa.int32()))
