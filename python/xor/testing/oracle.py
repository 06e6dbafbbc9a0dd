"""The plaintext oracle: SQL semantics of relations as nested loops over Python values.

Knows nothing of the engine, the core or any database. What it says is right by being short.

NULL is None. Comparisons are three-valued; a filter keeps what is true. Join keys compare in their normal
form: texts after Unicode NFC, whole numbers and decimals by value, aware timestamps as instants; NULL
matches nothing and survives on a preserved side. In filters texts compare by code points as they are, and
NaN equals itself and is above every number, as SQL databases order it.
"""

import datetime as dt
import math
import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

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
)
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan

Value = bool | int | float | Decimal | str | dt.date | dt.datetime | None
Row = Mapping[str, Value]
Truth = bool | None
"""True, False or unknown."""

_OPERATORS: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
}


def evaluate(relation: Relation, tables: Mapping[str, Sequence[Row]]) -> list[tuple[Value, ...]]:
    """The rows of a relation, columns in the order of its schema; the order of rows means nothing.

    Args:
        tables: for each dataset its rows, by column name.
    """
    return [tuple(row[name] for name in relation.schema.names) for row in _rows(relation, tables)]


def _rows(relation: Relation, tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    match relation:
        case Scan(dataset):
            return list(tables[dataset.name])
        case Project(source, columns):
            return [{new: row[old] for new, old in columns} for row in _rows(source, tables)]
        case Filter(source, predicate):
            return [row for row in _rows(source, tables) if truth(predicate, row) is True]
        case Concat(sources):
            return [row for source in sources for row in _rows(source, tables)]
        case Join():
            return _join(relation, _rows(relation.left, tables), _rows(relation.right, tables))
    raise TypeError(type(relation).__name__)


def _join(join: Join, left: list[Row], right: list[Row]) -> list[Row]:
    pairs = [(i, j) for i, one in enumerate(left) for j, two in enumerate(right) if _matches(join, one, two)]
    met_left, met_right = {i for i, _ in pairs}, {j for _, j in pairs}
    lonely_left = [row for i, row in enumerate(left) if i not in met_left]
    lonely_right = [row for j, row in enumerate(right) if j not in met_right]
    match join.kind:
        case JoinKind.SEMI:
            return [left[i] for i in sorted(met_left)]
        case JoinKind.ANTI:
            return lonely_left
    rows: list[Row] = [{**left[i], **right[j]} for i, j in pairs]
    if join.kind in (JoinKind.LEFT, JoinKind.OUTER):
        rows += [{**row, **dict.fromkeys(join.right.schema.names)} for row in lonely_left]
    if join.kind in (JoinKind.RIGHT, JoinKind.OUTER):
        rows += [{**dict.fromkeys(join.left.schema.names), **row} for row in lonely_right]
    return rows


def _matches(join: Join, left: Row, right: Row) -> bool:
    for left_key, right_key in join.keys:
        one, two = left[left_key], right[right_key]
        if one is None or two is None or normal_form(one) != normal_form(two):
            return False
    return True


def normal_form(value: Value) -> Value:
    """A key in the form in which keys compare."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def truth(predicate: Predicate, row: Row) -> Truth:
    """What a predicate says of a row."""
    match predicate:
        case And(left, right):
            one, two = truth(left, row), truth(right, row)
            if one is False or two is False:
                return False
            return None if one is None or two is None else True
        case Or(left, right):
            one, two = truth(left, row), truth(right, row)
            if one is True or two is True:
                return True
            return None if one is None or two is None else False
        case Not(operand):
            inner = truth(operand, row)
            return None if inner is None else not inner
        case Compare(comparison, left, right):
            return _compare(comparison, _value(left, row), _value(right, row))
        case IsIn(column, values):
            found = _value(column, row)
            return (
                None if found is None else any(_compare(Comparison.EQ, found, each.value) for each in values)
            )
        case IsNull(column):
            return _value(column, row) is None
        case IsTrue(column):
            value = _value(column, row)
            assert value is None or isinstance(value, bool)
            return value
    raise TypeError(type(predicate).__name__)


def _value(operand: Operand, row: Row) -> Value:
    match operand:
        case Column(name):
            return row[name]
        case Literal(value, _):
            return value


def _compare(comparison: Comparison, left: Value, right: Value) -> Truth:
    if left is None or right is None:
        return None
    return _OPERATORS[comparison](_ordered(left), _ordered(right))


def _ordered(value: Value) -> Any:
    """NaN after every float; everything else as Python orders it, which for numbers is exact."""
    if not isinstance(value, float):
        return value
    return (True, 0.0) if math.isnan(value) else (False, value)
