"""Constants and conditions: what fits, what compares."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from xor.errors import SchemaError
from xor.model.types import BOOL, DATE, FLOAT64, INT64, TEXT, TIMESTAMP, DataType, Kind, decimal
from xor.plan.predicates import (
    MAX_VALUES,
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsTrue,
    Literal,
    Or,
    Predicate,
    all_of,
    check,
    conjuncts,
    literal,
    renamed,
)
from xor.testing.samples import entry

SCHEMA = entry("a", {"n": "int64", "d": "decimal(38,30)", "s": "text(4)", "f": "bool"}).schema
NOON = dt.datetime(2022, 4, 1, 12)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, INT64),
        (1, BOOL),
        (2**63, INT64),
        (1, FLOAT64),
        (float("nan"), FLOAT64),
        (float("inf"), FLOAT64),
        (Decimal("NaN"), decimal(5, 2)),
        (Decimal("1000.00"), decimal(5, 2)),
        (Decimal("0.001"), decimal(5, 2)),
        (Decimal("1E+999999999"), decimal(38, 0)),
        (Decimal("1E-999999999"), decimal(38, 38)),
        (NOON, DATE),
        (NOON, DataType.parse("timestamp[UTC]")),
        (NOON.replace(tzinfo=dt.UTC), TIMESTAMP),
        ("1", INT64),
        (b"bytes", TEXT),
    ],
)
def test_a_constant_that_does_not_fit_its_type_cannot_be_made(value: Any, kind: DataType) -> None:
    with pytest.raises(SchemaError):
        Literal(value, kind)


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        (5, decimal(38, 30), Literal(Decimal(5), decimal(1, 0))),
        (1000.5, decimal(18, 2), Literal(Decimal("1000.5"), decimal(5, 1))),
        (5, FLOAT64, Literal(5.0, FLOAT64)),
        (2**70, None, Literal(Decimal(2**70), decimal(22, 0))),
        (Decimal("1E+5"), None, Literal(Decimal("1E+5"), decimal(6, 0))),
        (NOON, None, Literal(NOON, TIMESTAMP)),
        (NOON.date(), None, Literal(NOON.date(), DATE)),
    ],
)
def test_a_constant_takes_the_type_of_its_column(
    value: Any, like: DataType | None, expected: Literal
) -> None:
    assert literal(value, like) == expected


def test_aware_times_at_the_ends_of_the_calendar_are_refused() -> None:
    """They have no moment in UTC: 9999-12-31 in a zone west of it is one of the year 10000."""
    west, east = (dt.timezone(dt.timedelta(hours=hours)) for hours in (-14, 14))
    kind = DataType(Kind.TIMESTAMP, zone="UTC")
    for ends in (dt.datetime(1, 1, 1, tzinfo=east), dt.datetime(9999, 12, 31, 23, tzinfo=west)):
        for make in (lambda ends=ends: literal(ends), lambda ends=ends: Literal(ends, kind)):
            with pytest.raises(SchemaError) as caught:
                make()
            assert caught.value.code == "schema.type-mismatch"
    assert literal(dt.datetime(9999, 12, 31)).type == TIMESTAMP


def test_the_values_of_an_isin_are_bounded() -> None:
    IsIn(Column("n"), (literal(1),) * MAX_VALUES)
    with pytest.raises(SchemaError) as caught:
        IsIn(Column("n"), (literal(1),) * (MAX_VALUES + 1))
    assert caught.value.code == "schema.too-many-values"


def test_a_small_integer_compares_with_a_decimal_of_many_digits() -> None:
    check(Compare(Comparison.GT, Column("d"), literal(5, SCHEMA["d"].type)), SCHEMA)


@pytest.mark.parametrize(
    "predicate",
    [
        IsIn(Column("nowhere"), ()),
        IsTrue(Column("n")),
        Compare(Comparison.EQ, Column("n"), Column("s")),
        Compare(Comparison.EQ, Column("nowhere"), literal(1)),
        IsIn(Column("n"), (literal("1"),)),
    ],
)
def test_a_condition_that_does_not_fit_the_schema_is_refused(predicate: Predicate) -> None:
    with pytest.raises(SchemaError):
        check(predicate, SCHEMA)


def test_renaming_swaps_names_at_once() -> None:
    swapped = renamed(Compare(Comparison.LT, Column("a"), Column("b")), {"a": "b", "b": "a"})
    assert swapped == Compare(Comparison.LT, Column("b"), Column("a"))


def test_many_conditions_become_a_flat_tree() -> None:
    conditions = [Compare(Comparison.NE, Column("n"), literal(number)) for number in range(1000)]
    joined = all_of(conditions)
    assert list(conjuncts(joined)) == conditions
    depth, level = 0, [joined]
    while level:
        level = [side for each in level if isinstance(each, And | Or) for side in (each.left, each.right)]
        depth += 1
    assert depth <= 11
