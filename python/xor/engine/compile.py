"""Relations as SQL. ibis writes it; nothing here pastes a name or a value into text.

Names of columns and datasets never reach the SQL at all: tables are `t0`, `t1`, …, their columns `c0`,
`c1`, …, so names may hold quotes, differ only in case or be as long as they like. Aware timestamps are
computed as naive ones in UTC; `local` puts their zones back.
"""

import datetime as dt
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import ibis
import ibis.backends.sql.compilers  # loaded at the first query otherwise, when the worker is confined
import ibis.expr.datatypes as ibis_types

from xor.engine.arrived import Arrived
from xor.errors import PlanError
from xor.model.types import DataType, Kind, Schema, decimal
from xor.plan.predicates import (
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Literal,
    Not,
    Operand,
    Or,
    Predicate,
    operands,
    type_of,
)
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan, post_order

DUCKDB, POSTGRES = "duckdb", "postgres"

_OPERATORS: Mapping[Comparison, Callable[[Any, Any], Any]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
}
_HOW = {kind: kind.value for kind in JoinKind if kind.keeps_right_columns}
_PLAIN: Mapping[Kind, Any] = {
    Kind.BOOL: ibis_types.boolean,
    Kind.INT64: ibis_types.int64,
    Kind.FLOAT64: ibis_types.float64,
    Kind.TEXT: ibis_types.string,
    Kind.DATE: ibis_types.date,
    Kind.TIMESTAMP: ibis_types.Timestamp(scale=6),
}


@ibis.udf.scalar.builtin(name="nfc_normalize")  # type: ignore[untyped-decorator]
def _nfc(text: str) -> str:  # type: ignore[empty-body]  # ibis takes the signature only
    """Unicode NFC: the normal form in which text keys compare."""


@ibis.udf.scalar.builtin(name="normalize")  # type: ignore[untyped-decorator]
def _normalize(text: str) -> str:  # type: ignore[empty-body]  # as above
    """The same in PostgreSQL."""


_NFC = {DUCKDB: _nfc, POSTGRES: _normalize}


@ibis.udf.scalar.builtin(name="chr")  # type: ignore[untyped-decorator]
def _character(code: int) -> str:  # type: ignore[empty-body]  # as above
    """The character of a code point."""


@ibis.udf.scalar.builtin(name="hash")  # type: ignore[untyped-decorator]
def _hash(value) -> ibis_types.uint64:  # type: ignore  # noqa: PGH003  any type, as above
    """DuckDB's hash of 64 bits; equal values have the same."""


def compile_query(
    relation: Relation, columns: Sequence[str], tables: Sequence[str | Arrived], dialect: str = DUCKDB
) -> str:
    """The SQL that gives `columns` of a relation, as `c0`, `c1`, …

    Args:
        columns: names in the relation's schema; they may repeat.
        tables: dataset names, and rows that have arrived; what stands at position i is the SQL table `t<i>`,
            its columns `c0`, `c1`, …

    Raises:
        PlanError: the relation is nested too deeply.
    """
    with _not_too_deep():
        node, names = _Compiler(tables, dialect).relation(relation)
        chosen = node.select(**{f"c{index}": node[names[name]] for index, name in enumerate(columns)})
        return str(ibis.to_sql(chosen, dialect=dialect, pretty=False))


def text_constants(relation: Relation) -> list[str]:
    """The text constants in the predicates of a relation.

    Raises:
        PlanError: the relation is nested too deeply.
    """
    with _not_too_deep():
        filters = [node for node in post_order(relation) if isinstance(node, Filter)]
        found = [each for node in filters for each in operands(node.predicate) if isinstance(each, Literal)]
    return [each.value for each in found if isinstance(each.value, str)]


@contextmanager
def _not_too_deep() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise PlanError(
            "the plan is nested too deeply",
            code="plan.too-deep",
            hint="use isin() instead of a long chain of comparisons.",
        ) from None


def compile_duplicates(types: Sequence[DataType], dialect: str = DUCKDB) -> str:
    """The SQL that gives a row if some row of `t0` has a twin: all columns equal as join keys, none NULL."""
    keys = _keys_of_present(types, dialect)
    groups = keys.group_by(list(keys.columns)).aggregate(rows=ibis._.count())
    return str(ibis.to_sql(groups.filter(groups["rows"] > 1).limit(1), dialect=dialect, pretty=False))


def compile_hashes(types: Sequence[DataType]) -> str:
    """The SQL that gives a hash of each row of `t0` that could have a twin; twins have the same one."""
    keys = _keys_of_present(types, DUCKDB)
    names = keys.columns
    all_of_a_row = ibis.struct({name: keys[name] for name in names}) if len(names) > 1 else keys[names[0]]
    hashes = keys.select(hash=_hash(all_of_a_row))
    return str(ibis.to_sql(hashes, dialect=DUCKDB, pretty=False))


def _keys_of_present(types: Sequence[DataType], dialect: str) -> Any:
    """The columns of `t0` as join keys, without the rows that have a NULL among them."""
    table = _table(0, types)
    present = table.filter([table[name].notnull() for name in table.columns])
    return present.select(
        **{
            f"k{index}": _key(present[f"c{index}"], type_, type_, dialect)
            for index, type_ in enumerate(types)
        }
    )


_Node = tuple[Any, Mapping[str, str]]
"""An ibis table, and for each column of the relation its name in that table."""


class _Compiler:
    """One query. Every leaf and concat gets column names of its own, so that no two sides of a join clash."""

    def __init__(self, tables: Sequence[str | Arrived], dialect: str) -> None:
        self._dialect = dialect
        self._tables = {each: index for index, each in enumerate(tables)}
        self._made = 0

    def relation(self, relation: Relation) -> _Node:
        match relation:
            case Scan(dataset):
                return self._leaf(relation, dataset.name)
            case Arrived():
                return self._leaf(relation, relation)
            case Project(source, columns):
                node, names = self.relation(source)
                return node, {new: names[old] for new, old in columns}
            case Filter(source, predicate):
                node, names = self.relation(source)
                return node.filter(_Condition(node, names, source.schema).of(predicate)), names
            case Join():
                return self._join(relation)
            case Concat(sources):
                return self._concat(sources)
        raise TypeError(type(relation).__name__)

    def _prefix(self) -> str:
        self._made += 1
        return f"n{self._made}"

    def _leaf(self, leaf: Relation, key: str | Arrived) -> _Node:
        table = _table(self._tables[key], [field.type for field in leaf.schema])
        prefix = self._prefix()
        names = {name: f"{prefix}_{index}" for index, name in enumerate(leaf.schema.names)}
        return table.select(**{new: f"c{index}" for index, new in enumerate(names.values())}), names

    def _join(self, join: Join) -> _Node:
        (left, left_names), (right, right_names) = self.relation(join.left), self.relation(join.right)
        same = []
        for left_key, right_key in join.keys:
            left_type, right_type = join.left.schema[left_key].type, join.right.schema[right_key].type
            same.append(
                _key(left[left_names[left_key]], left_type, right_type, self._dialect)
                == _key(right[right_names[right_key]], right_type, left_type, self._dialect)
            )
        match join.kind:
            case JoinKind.SEMI:
                node = left.semi_join(right, same)
            case JoinKind.ANTI:
                node = left.anti_join(right, same)
            case kind:
                node = left.join(right, same, how=_HOW[kind])
        names = {**left_names, **right_names} if join.kind.keeps_right_columns else left_names
        return node, {name: names[name] for name in join.schema.names}

    def _concat(self, sources: tuple[Relation, ...]) -> _Node:
        prefix = self._prefix()
        names = {name: f"{prefix}_{index}" for index, name in enumerate(sources[0].schema.names)}
        parts = []
        for source in sources:
            node, below = self.relation(source)
            # The constant keeps the rows of a relation without columns.
            chosen = {new: node[below[name]] for name, new in names.items()}
            parts.append(node.select(**chosen, **{f"{prefix}_row": ibis.literal(True)}))
        return reduce(lambda first, second: first.union(second, distinct=False), parts), names


class _Condition:
    """Predicates over one relation, three-valued as SQL's own."""

    def __init__(self, node: Any, names: Mapping[str, str], schema: Schema) -> None:
        self._node, self._names, self._schema = node, names, schema

    def of(self, predicate: Predicate) -> Any:
        match predicate:
            case And(left, right):
                return self.of(left) & self.of(right)
            case Or(left, right):
                return self.of(left) | self.of(right)
            case Not(operand):
                return ~self.of(operand)
            case Compare(comparison, left, right):
                return self._compare(comparison, left, right)
            case IsIn(column, values):
                return self._is_in(column, values)
            case IsNull(column):
                return self._operand(column).isnull()
            case IsTrue(column):
                return self._operand(column)
        raise TypeError(type(predicate).__name__)

    def _operand(self, operand: Operand) -> Any:
        return self._node[self._names[operand.name]] if isinstance(operand, Column) else _literal(operand)

    def _compare(self, comparison: Comparison, left: Operand, right: Operand) -> Any:
        left_type, right_type = type_of(left, self._schema), type_of(right, self._schema)
        return _OPERATORS[comparison](
            _widened(self._operand(left), left_type, right_type),
            _widened(self._operand(right), right_type, left_type),
        )

    def _is_in(self, column: Column, values: tuple[Literal, ...]) -> Any:
        """One IN per literal type: decimals of any scale meet the column in a common type, exactly."""
        value, type_ = self._operand(column), self._schema[column.name].type
        groups: dict[DataType, list[Literal]] = {}
        for each in values:
            groups.setdefault(each.type, []).append(each)
        unknown_if_null = ibis.ifelse(value.isnull(), ibis.null("boolean"), ibis.literal(False))
        tests = [
            _one_of(_widened(value, type_, other), [_widened(_literal(each), other, type_) for each in group])
            for other, group in groups.items()
        ]
        return reduce(operator.or_, tests) if tests else unknown_if_null


def _one_of(value: Any, constants: list[Any]) -> Any:
    if value.type().is_floating():
        # DuckDB's IN looks floats up by their bits, where 0.0 is not -0.0.
        return reduce(operator.or_, [value == constant for constant in constants])
    return value.isin(constants)


def _table(index: int, types: Sequence[DataType]) -> Any:
    return ibis.table({f"c{each}": _ibis_type(type_) for each, type_ in enumerate(types)}, name=f"t{index}")


def _ibis_type(type_: DataType) -> Any:
    return (
        ibis_types.Decimal(type_.precision, type_.scale) if type_.kind is Kind.DECIMAL else _PLAIN[type_.kind]
    )


def _key(value: Any, own: DataType, other: DataType, dialect: str) -> Any:
    """A key column in the normal form in which it compares with a key of type `other`."""
    return _NFC[dialect](value) if own.kind is Kind.TEXT else _widened(value, own, other)


def _widened(value: Any, own: DataType, other: DataType) -> Any:
    """An exact number in the common type of two; DuckDB alone might go through a double."""
    if own == other or Kind.DECIMAL not in (own.kind, other.kind):
        return value
    common = _common(own, other)
    return value if own == common else value.cast(_ibis_type(common))


def _common(left: DataType, right: DataType) -> DataType:
    """The decimal that holds all values of both; `predicates.comparable` has checked that there is one."""
    whole, scale = max(_whole_digits(left), _whole_digits(right)), max(left.scale, right.scale)
    return decimal(whole + scale, scale)


def _whole_digits(type_: DataType) -> int:
    return 19 if type_.kind is Kind.INT64 else type_.precision - type_.scale


def _literal(literal: Literal) -> Any:
    """A constant by way of its text: exact for decimals, floats and microseconds."""
    match literal.value:
        case bool(value):
            return ibis.literal(value)
        case str(text):
            return _text(text)
        case float(number):
            text = repr(number)
        case dt.datetime() as time:
            text = (time.astimezone(dt.UTC).replace(tzinfo=None) if time.tzinfo else time).isoformat(" ")
        case dt.date() as day:
            text = day.isoformat()
        case whole_or_decimal:
            text = format(whole_or_decimal, "f" if literal.type.kind is Kind.DECIMAL else "d")
    return ibis.literal(text).cast(_ibis_type(literal.type))


def _text(text: str) -> Any:
    """A text constant. SQL text cannot hold the character NUL, so it is joined from its parts."""
    first, *rest = (ibis.literal(part) for part in text.split("\0"))
    return reduce(lambda joined, part: joined + _character(0) + part, rest, first)
