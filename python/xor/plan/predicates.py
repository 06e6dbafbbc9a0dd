"""Column predicates: what `frame["a"] > 1` builds. Three-valued, as in SQL; data, never code."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from xor.errors import SchemaError
from xor.model.types import (
    BOOL,
    DATE,
    FLOAT64,
    INT64,
    MAX_PRECISION,
    TEXT,
    TIMESTAMP,
    DataType,
    Kind,
    Schema,
    decimal,
)

MAX_VALUES = 10_000
"""Of one isin: they stand in the plan, which everybody reads and judges."""

Value = bool | int | float | Decimal | str | dt.date | dt.datetime


@dataclass(frozen=True, slots=True)
class Column:
    """The value of a column."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of a stated type.

    Raises:
        SchemaError: the value is not of that type, or does not fit into it.
    """

    value: Value
    type: DataType

    def __post_init__(self) -> None:
        if not _fits(self.value, self.type):
            raise SchemaError(f"a constant is no {self.type}", code="schema.type-mismatch")


Operand = Column | Literal


class Comparison(StrEnum):
    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


class Predicate:
    """Base of predicates: unknown where an operand is NULL (except `IsNull`); a filter keeps what is true."""

    __slots__ = ()

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the predicate reads."""
        return frozenset(name for each in operands(self) if isinstance(each, Column) for name in (each.name,))


@dataclass(frozen=True, slots=True)
class Compare(Predicate):
    operator: Comparison
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class IsNull(Predicate):
    operand: Column


@dataclass(frozen=True, slots=True)
class IsIn(Predicate):
    """Whether a column has one of the values.

    Raises:
        SchemaError: there are more than MAX_VALUES.
    """

    operand: Column
    values: tuple[Literal, ...]

    def __post_init__(self) -> None:
        if len(self.values) > MAX_VALUES:
            raise SchemaError(
                f"isin takes at most {MAX_VALUES:,} values, not {len(self.values):,}",
                code="schema.too-many-values",
                hint="join with a registered table of the values instead.",
            )


@dataclass(frozen=True, slots=True)
class And(Predicate):
    left: Predicate
    right: Predicate


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    left: Predicate
    right: Predicate


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    operand: Predicate


@dataclass(frozen=True, slots=True)
class IsTrue(Predicate):
    """A bool column used as a predicate."""

    operand: Column


def operands(predicate: Predicate) -> Iterator[Operand]:
    """Every column and literal in the predicate."""
    match predicate:
        case And(left, right) | Or(left, right):
            yield from operands(left)
            yield from operands(right)
        case Not(operand):
            yield from operands(operand)
        case Compare(_, first, second):
            yield first
            yield second
        case IsIn(column, values):
            yield column
            yield from values
        case IsNull(column) | IsTrue(column):
            yield column


def conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    """The conditions that must all be true for the predicate to be true."""
    if isinstance(predicate, And):
        yield from conjuncts(predicate.left)
        yield from conjuncts(predicate.right)
    else:
        yield predicate


def disjuncts(predicate: Predicate) -> Iterator[Predicate]:
    """The conditions of which one must be true for the predicate to be true."""
    if isinstance(predicate, Or):
        yield from disjuncts(predicate.left)
        yield from disjuncts(predicate.right)
    else:
        yield predicate


def all_of(conditions: Sequence[Predicate]) -> Predicate:
    """One predicate that is true where all conditions are; nested as flat as can be."""
    return _balanced(And, conditions)


def any_of(conditions: Sequence[Predicate]) -> Predicate:
    """One predicate that is true where one of the conditions is; nested as flat as can be."""
    return _balanced(Or, conditions)


def _balanced(connective: type[And] | type[Or], conditions: Sequence[Predicate]) -> Predicate:
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return connective(_balanced(connective, conditions[:half]), _balanced(connective, conditions[half:]))


def renamed(predicate: Predicate, names: dict[str, str]) -> Predicate:
    """The predicate over columns renamed by `names` (old name to new name)."""

    def swap(operand: Operand) -> Operand:
        return Column(names.get(operand.name, operand.name)) if isinstance(operand, Column) else operand

    match predicate:
        case And(left, right):
            return And(renamed(left, names), renamed(right, names))
        case Or(left, right):
            return Or(renamed(left, names), renamed(right, names))
        case Not(operand):
            return Not(renamed(operand, names))
        case Compare(operator, left, right):
            return Compare(operator, swap(left), swap(right))
        case IsIn(column, values):
            return IsIn(Column(names.get(column.name, column.name)), values)
        case IsNull(column):
            return IsNull(Column(names.get(column.name, column.name)))
        case IsTrue(column):
            return IsTrue(Column(names.get(column.name, column.name)))
        case _:
            raise TypeError(type(predicate).__name__)


def check(predicate: Predicate, schema: Schema) -> None:
    """Checks that the columns exist and the operands are comparable.

    Raises:
        SchemaError: an unknown column, or types that have no common comparison.
    """
    match predicate:
        case And(left, right) | Or(left, right):
            check(left, schema)
            check(right, schema)
        case Not(operand):
            check(operand, schema)
        case Compare(_, left, right):
            comparable(type_of(left, schema), type_of(right, schema))
        case IsIn(column, values):
            kind = type_of(column, schema)
            for value in values:
                comparable(kind, value.type)
        case IsNull(column):
            type_of(column, schema)
        case IsTrue(column):
            if type_of(column, schema).kind is not Kind.BOOL:
                raise SchemaError(
                    f"column '{column.name}' is no bool, so it is no condition",
                    code="schema.type-mismatch",
                    hint="compare it with something.",
                )


def type_of(operand: Operand, schema: Schema) -> DataType:
    return schema[operand.name].type if isinstance(operand, Column) else operand.type


def comparable(left: DataType, right: DataType) -> None:
    """Checks that two types compare exactly.

    Raises:
        SchemaError: different kinds, naive with aware timestamps, floats with exact numbers, or decimals
            whose common type would need more than 38 digits.
    """
    exact = (Kind.INT64, Kind.DECIMAL)
    if left.kind in exact and right.kind in exact:
        scale = max(left.scale, right.scale)
        if max(_whole_digits(left), _whole_digits(right)) + scale <= MAX_PRECISION:
            return
    elif left.kind is right.kind and (left.zone is None) == (right.zone is None):
        return
    raise SchemaError(
        f"{left} and {right} cannot be compared exactly",
        code="schema.type-mismatch",
        hint="compare values of one kind: dates with dates, numbers with numbers, aware with aware times.",
    )


def literal(value: Value, like: DataType | None = None) -> Literal:
    """A Python constant as a literal; with `like`, in the type of the column that it is compared with.

    A float against a decimal column is taken by its shortest text: `amount > 1000.5` means what it says.

    Raises:
        SchemaError: the value has no column type (NaN, infinity, integers beyond 64 bits, other objects).
    """
    match value:
        case bool():
            return Literal(value, BOOL)
        case int() if like is not None and like.kind is Kind.FLOAT64:
            return Literal(float(value), FLOAT64)
        case int() if like is not None and like.kind is Kind.DECIMAL and abs(value) < 10**MAX_PRECISION:
            # Its own few digits: 5 compares with decimal(38,30), where 19 digits of int64 would not.
            return _decimal_literal(Decimal(value))
        case int() if -(2**63) <= value < 2**63:
            return Literal(value, INT64)
        case int() if abs(value) < 10**MAX_PRECISION:
            return Literal(Decimal(value), decimal(len(str(abs(value))), 0))
        case float() if math.isfinite(value):
            if like is not None and like.kind in (Kind.DECIMAL, Kind.INT64):
                return literal(Decimal(repr(value)), like)
            return Literal(value, FLOAT64)
        case Decimal() if value.is_finite():
            return _decimal_literal(value)
        case str():
            return Literal(value, TEXT)
        case dt.datetime():
            return _timestamp_literal(value)
        case dt.date():
            return Literal(value, DATE)
    raise SchemaError(
        f"a value of type {type(value).__name__} cannot be compared with a column",
        code="schema.type-mismatch",
        hint="use bool, int, Decimal, float, str, date or datetime; is_null() finds NULL.",
    )


def _timestamp_literal(value: dt.datetime) -> Literal:
    if value.tzinfo is None:
        return Literal(value, TIMESTAMP)
    if not _is_a_moment(value):
        raise SchemaError(
            "an aware time is, in UTC, not one of the years 1 to 9999",
            code="schema.type-mismatch",
            hint="use a later or an earlier one; is_null() finds what has no time.",
        )
    return Literal(value.astimezone(dt.UTC), DataType(Kind.TIMESTAMP, zone="UTC"))


def _decimal_literal(value: Decimal) -> Literal:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    return Literal(value, decimal(precision, scale))


def _whole_digits(each: DataType) -> int:
    return 19 if each.kind is Kind.INT64 else each.precision - each.scale


def _is_a_moment(value: dt.datetime) -> bool:
    """Whether an aware time is, in UTC, one of the years 1 to 9999: it is converted and compared there."""
    try:
        return value.tzinfo is None or bool(value.astimezone(dt.UTC))
    except OverflowError:
        return False


def _fits(value: Value, type: DataType) -> bool:
    match type.kind, value:
        case (Kind.BOOL, bool()) | (Kind.TEXT, str()):
            return True
        case Kind.INT64, int():
            return not isinstance(value, bool) and -(2**63) <= value < 2**63
        case Kind.FLOAT64, float():
            return math.isfinite(value)
        case Kind.DECIMAL, Decimal() if value.is_finite():
            _, digits, exponent = value.as_tuple()
            assert isinstance(exponent, int)
            # Bounded first: a short text like 1E+999999999 must not become a long number.
            return (
                -type.scale <= exponent <= type.precision
                and len(digits) + exponent <= type.precision - type.scale
            )
        case Kind.TIMESTAMP, dt.datetime():
            return (value.tzinfo is None) == (type.zone is None) and _is_a_moment(value)
        case Kind.DATE, dt.date():
            return not isinstance(value, dt.datetime)
        case _:
            return False
