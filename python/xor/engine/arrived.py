"""Rows that a matched join gave, as the leaf of the relation above it."""

from dataclasses import dataclass, field

import pyarrow as pa

from xor.model.dataset import DatasetEntry
from xor.model.types import Schema
from xor.plan.relations import Join, Relation, UniqueSets


@dataclass(frozen=True, eq=False)
class Arrived(Relation):
    """The result of `join` at the player that has received it, columns named as in its schema.

    It stands for the join, so nothing is below it: what was, was read where it lies.
    """

    join: Join
    arrow: pa.Table = field(repr=False)

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return ()

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:  # noqa: ARG002
        return self

    @property
    def schema(self) -> Schema:
        return self.join.schema

    @property
    def rows(self) -> int:
        return self.join.rows

    @property
    def unique(self) -> UniqueSets:
        return self.join.unique

    @property
    def datasets(self) -> tuple[DatasetEntry, ...]:
        return ()
