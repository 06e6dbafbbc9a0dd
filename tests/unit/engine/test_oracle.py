"""The oracle says what SQL says. Small enough to check by eye."""

from decimal import Decimal

import pytest

from xor.plan.predicates import (
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Not,
    Or,
    Predicate,
    literal,
)
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.testing.oracle import Row, evaluate, truth

from .conftest import entry

LEFT = Scan(entry("l", {"k": "text", "v": "int64"}))
RIGHT = Scan(entry("r", {"j": "text", "w": "decimal(4,2)"}))
TABLES: dict[str, list[Row]] = {
    "l": [{"k": "a", "v": 1}, {"k": "a", "v": 2}, {"k": None, "v": 3}, {"k": "é", "v": 4}],
    "r": [
        {"j": "a", "w": Decimal("1.00")},
        {"j": "e\N{COMBINING ACUTE ACCENT}", "w": None},
        {"j": None, "w": Decimal("3.00")},
        {"j": "z", "w": Decimal("4.00")},
    ],
}
INNER = {("a", 1, "a"), ("a", 2, "a"), ("é", 4, "e\N{COMBINING ACUTE ACCENT}")}
LONELY_LEFT = {(None, 3, None)}
LONELY_RIGHT = {(None, None, None), (None, None, "z")}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (JoinKind.INNER, INNER),
        (JoinKind.LEFT, INNER | LONELY_LEFT),
        (JoinKind.RIGHT, INNER | LONELY_RIGHT),
        (JoinKind.OUTER, INNER | LONELY_LEFT | LONELY_RIGHT),
        (JoinKind.SEMI, {("a", 1), ("a", 2), ("é", 4)}),
        (JoinKind.ANTI, {(None, 3)}),
    ],
)
def test_joins(kind: JoinKind, expected: set[tuple[object, ...]]) -> None:
    output = ("k", "v", "j") if kind.keeps_right_columns else None
    found = evaluate(Join(LEFT, RIGHT, (("k", "j"),), kind, output), TABLES)
    assert len(found) == len(expected)
    assert set(found) == expected


def test_every_part_of_a_key_must_match() -> None:
    both = Join(LEFT, Project(LEFT, (("j", "k"), ("w", "v"))), (("k", "j"), ("v", "w")))
    assert evaluate(both, TABLES) == [("a", 1, "a", 1), ("a", 2, "a", 2), ("é", 4, "é", 4)]


def test_concat_keeps_duplicates_and_goes_by_name() -> None:
    turned: Relation = Project(LEFT, (("v", "v"), ("k", "k")))
    assert evaluate(Concat((LEFT, turned)), TABLES) == 2 * [("a", 1), ("a", 2), (None, 3), ("é", 4)]


def test_a_filter_keeps_what_is_true() -> None:
    kept = Filter(LEFT, Not(Compare(Comparison.EQ, Column("k"), literal("a"))))
    assert evaluate(kept, TABLES) == [("é", 4)]


N, T, F = Column("null"), Column("true"), Column("false")
UNKNOWN, TRUE, FALSE = IsTrue(N), IsTrue(T), IsTrue(F)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (And(UNKNOWN, TRUE), None),
        (And(UNKNOWN, FALSE), False),
        (And(TRUE, TRUE), True),
        (Or(UNKNOWN, TRUE), True),
        (Or(UNKNOWN, FALSE), None),
        (Or(FALSE, FALSE), False),
        (Not(UNKNOWN), None),
        (Not(FALSE), True),
        (IsNull(N), True),
        (IsNull(F), False),
        (IsIn(N, ()), None),
        (IsIn(N, (literal(True),)), None),
        (IsIn(T, ()), False),
        (IsIn(T, (literal(False), literal(True))), True),
        (Compare(Comparison.EQ, N, N), None),
        (Compare(Comparison.NE, T, F), True),
        (Compare(Comparison.EQ, Column("nan"), Column("nan")), True),
        (Compare(Comparison.GT, Column("nan"), literal(1e300)), True),
        (Compare(Comparison.EQ, Column("e"), literal("e\N{COMBINING ACUTE ACCENT}")), False),
        (Compare(Comparison.EQ, Column("d"), literal(1)), True),
    ],
)
def test_predicates_are_three_valued(predicate: Predicate, expected: bool | None) -> None:
    row: Row = {
        "null": None,
        "true": True,
        "false": False,
        "nan": float("nan"),
        "e": "é",
        "d": Decimal("1.00"),
    }
    assert truth(predicate, row) is expected
