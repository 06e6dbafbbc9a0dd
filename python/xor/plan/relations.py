"""Relations: the nodes of the analyst's tree. Tiny, immutable, checked when built.

A relation knows its schema, an upper bound of its rows and which column sets are unique. All three follow
from what owners declared, so client, service and every machine derive the same ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from xor.errors import PlanError, SchemaError
from xor.model.dataset import DatasetEntry
from xor.model.types import ColumnRef, Field, Schema
from xor.plan.predicates import Predicate, check, comparable

UniqueSets = frozenset[frozenset[str]]
"""Column sets of which no combination of values appears twice (rows with NULL in them aside)."""

MAX_NODES = 1000
MAX_DEPTH = 100
"""Limits of a tree: whoever signs a plan must not be able to exhaust the machine that only judges it."""


class JoinKind(StrEnum):
    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    OUTER = "outer"
    SEMI = "semi"
    ANTI = "anti"

    @property
    def keeps_right_columns(self) -> bool:
        return self not in (JoinKind.SEMI, JoinKind.ANTI)


class Relation(ABC):
    """Base of relations. What is asked of them is derived, never stored."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Relation, ...]:
        """The relations that it is computed from."""

    @abstractmethod
    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:
        """The same relation over other inputs."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """Names and types of the columns."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """No more rows than this, unpadded."""

    @property
    @abstractmethod
    def unique(self) -> UniqueSets:
        """Sets of columns of which no two rows have the same values."""

    @cached_property
    def datasets(self) -> tuple[DatasetEntry, ...]:
        """The datasets below, each once, in order of appearance."""
        found = {entry.name: entry for each in self.inputs for entry in each.datasets}
        return tuple(found.values())

    @cached_property
    def dataset_names(self) -> frozenset[str]:
        return frozenset(entry.name for entry in self.datasets)


@dataclass(frozen=True)
class Scan(Relation):
    """All rows of a dataset."""

    dataset: DatasetEntry

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return ()

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:  # noqa: ARG002
        return self

    @cached_property
    def schema(self) -> Schema:
        return self.dataset.schema

    @property
    def rows(self) -> int:
        return self.dataset.rows

    @cached_property
    def unique(self) -> UniqueSets:
        return frozenset(frozenset(group) for group in self.dataset.unique)

    @cached_property
    def datasets(self) -> tuple[DatasetEntry, ...]:
        return (self.dataset,)


@dataclass(frozen=True)
class Project(Relation):
    """Columns chosen, renamed and reordered: `columns` are pairs (new name, name in `source`)."""

    source: Relation
    columns: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _ = self.schema

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return (self.source,)

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:
        return replace(self, source=inputs[0])

    @cached_property
    def schema(self) -> Schema:
        return Schema(tuple(self.source.schema[old].renamed(new) for new, old in self.columns))

    @property
    def rows(self) -> int:
        return self.source.rows

    @cached_property
    def unique(self) -> UniqueSets:
        new_names = {old: new for new, old in reversed(self.columns)}
        kept = (group for group in self.source.unique if group <= new_names.keys())
        return frozenset(frozenset(new_names[name] for name in group) for group in kept)


@dataclass(frozen=True)
class Filter(Relation):
    """Rows for which the predicate is true. The bound stays the unfiltered one: a count would tell."""

    source: Relation
    predicate: Predicate

    def __post_init__(self) -> None:
        check(self.predicate, self.source.schema)

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return (self.source,)

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:
        return replace(self, source=inputs[0])

    @cached_property
    def schema(self) -> Schema:
        return self.source.schema

    @property
    def rows(self) -> int:
        return self.source.rows

    @property
    def unique(self) -> UniqueSets:
        return self.source.unique


@dataclass(frozen=True)
class Join(Relation):
    """Rows of `left` and `right` whose keys are equal; NULL equals nothing.

    Args:
        keys: pairs (column of left, column of right).
        output: columns kept, in order; None keeps all of left, then (where the kind has them) all of right.

    Raises:
        SchemaError: a key is missing, a pair of key types has no common normal form, or both sides have
            a column of the same name (join frames with suffixes instead).
    """

    left: Relation
    right: Relation
    keys: tuple[tuple[str, str], ...]
    kind: JoinKind = JoinKind.INNER
    output: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.keys:
            raise SchemaError("a join needs at least one pair of keys", code="schema.no-key")
        for left, right in self.keys:
            _check_key(self.left.schema[left], self.right.schema[right])
        _ = self.schema

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return (self.left, self.right)

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:
        return replace(self, left=inputs[0], right=inputs[1])

    @cached_property
    def all_columns(self) -> Schema:
        """The columns that the join could give, before `output` chooses."""
        right = self.right.schema.fields if self.kind.keeps_right_columns else ()
        return Schema(self.left.schema.fields + right)

    @cached_property
    def schema(self) -> Schema:
        return self.all_columns if self.output is None else self.all_columns.select(self.output)

    @cached_property
    def left_is_unique(self) -> bool:
        """No left key appears twice."""
        return _covers(self.left.unique, {left for left, _ in self.keys})

    @cached_property
    def right_is_unique(self) -> bool:
        """No right key appears twice."""
        return _covers(self.right.unique, {right for _, right in self.keys})

    @cached_property
    def rows(self) -> int:
        left, right = self.left.rows, self.right.rows
        match self.kind:
            case JoinKind.SEMI | JoinKind.ANTI:
                return left
            case JoinKind.INNER:
                # A row whose partners have distinct keys meets at most one of them.
                bounds = [left] * self.right_is_unique + [right] * self.left_is_unique + [left * right]
                return min(bounds)
            case JoinKind.LEFT:
                return _preserving(left, right, self.left_is_unique, self.right_is_unique)
            case JoinKind.RIGHT:
                return _preserving(right, left, self.right_is_unique, self.left_is_unique)
            case JoinKind.OUTER:
                # With a unique side, rows pair one to many: what a pair takes from one side is not unmatched.
                is_unique = self.left_is_unique or self.right_is_unique
                return left + right if is_unique else max(left * right, left + right)

    @cached_property
    def unique(self) -> UniqueSets:
        groups: set[frozenset[str]] = set()
        if self.right_is_unique or not self.kind.keeps_right_columns:
            groups |= self.left.unique
        if self.left_is_unique and self.kind.keeps_right_columns:
            groups |= self.right.unique
        kept = set(self.schema.names)
        return frozenset(group for group in groups if group <= kept)


@dataclass(frozen=True)
class Concat(Relation):
    """UNION ALL by column name: the columns of the first source, in its order.

    Raises:
        SchemaError: a source has other names or types.
    """

    sources: tuple[Relation, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise SchemaError("concat needs at least one frame", code="schema.no-input")
        first = {each.name: each.type for each in self.sources[0].schema}
        for source in self.sources[1:]:
            other = {each.name: each.type for each in source.schema}
            if other != first:
                names = first.keys() | other.keys()
                differing = sorted(name for name in names if first.get(name) != other.get(name))
                raise SchemaError(
                    f"the frames to concat differ in: {', '.join(differing)}",
                    code="schema.concat-mismatch",
                    hint="select and rename so that all have the same column names and types.",
                )

    @property
    def inputs(self) -> tuple[Relation, ...]:
        return self.sources

    def with_inputs(self, inputs: tuple[Relation, ...]) -> Relation:
        return replace(self, sources=inputs)

    @cached_property
    def schema(self) -> Schema:
        return Schema(tuple(self._merged(each) for each in self.sources[0].schema))

    def _merged(self, first: Field) -> Field:
        all_of = [source.schema[first.name] for source in self.sources]
        bounds = [each.max_bytes for each in all_of if each.max_bytes is not None]
        origins = frozenset[ColumnRef]().union(*(each.origins for each in all_of))
        return replace(first, max_bytes=max(bounds) if bounds else None, origins=origins)

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def unique(self) -> UniqueSets:
        return self.sources[0].unique if len(self.sources) == 1 else frozenset()


def padded(rows: int) -> int:
    """Rounds a bound up to three significant bits (at most 25 % more): the size that others see."""
    if rows <= 7:
        return max(rows, 1)
    step = 1 << (rows.bit_length() - 3)
    return -(-rows // step) * step


def is_streamable(relation: Relation) -> bool:
    """Whether each row comes of one row of one dataset, so that nobody has to hold them together."""
    match relation:
        case Scan():
            return True
        case Project(source, _) | Filter(source, _):
            return is_streamable(source)
    return False


def post_order(root: Relation) -> tuple[Relation, ...]:
    """All nodes, inputs before outputs; a node's position is its number in a plan.

    Raises:
        PlanError: there are more than MAX_NODES, or they are nested deeper than MAX_DEPTH.
    """
    found: list[Relation] = []
    waiting: list[tuple[Relation, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        found.append(node)
        if len(found) > MAX_NODES or depth > MAX_DEPTH:
            raise PlanError(
                f"the plan has more than {MAX_NODES} steps, or more than {MAX_DEPTH} on top of each other",
                code="plan.too-large",
                hint="run it in parts.",
            )
        waiting.extend((each, depth + 1) for each in node.inputs)
    return tuple(reversed(found))


def _preserving(kept: int, other: int, kept_is_unique: bool, other_is_unique: bool) -> int:
    """The bound of a join that keeps every row of one side: a row appears once per partner, or once alone."""
    if other_is_unique:
        return kept
    return min(kept * max(other, 1), kept + other) if kept_is_unique else kept * max(other, 1)


def _check_key(left: Field, right: Field) -> None:
    if left.type.key_kind != right.type.key_kind:
        raise SchemaError(
            f"keys '{left.name}' ({left.type}) and '{right.name}' ({right.type}) never match",
            code="schema.key-mismatch",
            hint="keys match within one kind: text with text, whole numbers with whole numbers, "
            "aware with aware timestamps.",
        )
    comparable(left.type, right.type)


def _covers(unique: UniqueSets, key: set[str]) -> bool:
    return any(group <= key for group in unique)
