"""Bounds and unique sets of joins against every small table; trees that are too large."""

from collections import Counter
from itertools import combinations_with_replacement, product

import pytest

from xor.errors import PlanError, SchemaError
from xor.plan.predicates import And, Column, Compare, Comparison, IsNull, Predicate, literal
from xor.plan.relations import (
    MAX_NODES,
    Concat,
    Filter,
    Join,
    JoinKind,
    Project,
    Relation,
    Scan,
    padded,
    post_order,
)
from xor.plan.rules import optimise
from xor.testing.oracle import evaluate
from xor.testing.samples import entry

LEFT = {"id": "int64", "x": "int64"}
RIGHT = {"ref": "int64", "y": "int64"}
KEYS = [keys for size in range(4) for keys in combinations_with_replacement((None, 1, 2), size)]


def _table(columns: dict[str, str], keys: tuple[int | None, ...]) -> list[dict[str, int | None]]:
    key, other = columns
    return [{key: value, other: number} for number, value in enumerate(keys)]


def _scan(name: str, columns: dict[str, str], keys: tuple[int | None, ...], is_declared: bool) -> Scan:
    present = [key for key in keys if key is not None]
    is_unique = is_declared and len(set(present)) == len(present)
    unique = [[next(iter(columns))]] if is_unique else []
    return Scan(entry(name, columns, rows=len(keys), unique=unique))


@pytest.mark.parametrize("kind", JoinKind)
def test_the_bound_of_a_join_holds_for_every_small_table(kind: JoinKind) -> None:
    reached: set[tuple[int, int, bool, bool]] = set()
    for (left, right), (first, second) in product(product(KEYS, KEYS), product((False, True), repeat=2)):
        join = Join(_scan("a", LEFT, left, first), _scan("b", RIGHT, right, second), (("id", "ref"),), kind)
        rows = evaluate(join, {"a": _table(LEFT, left), "b": _table(RIGHT, right)})
        assert len(rows) <= join.rows, (left, right)
        _assert_unique(join, rows)
        if len(rows) == join.rows:
            reached.add((len(left), len(right), join.left_is_unique, join.right_is_unique))
    # The bounds are not only safe: with rows on both sides and nothing declared, data exist that reach them.
    assert {(m, n, False, False) for m in (1, 2, 3) for n in (1, 2, 3)} <= reached


def _assert_unique(join: Join, rows: list[tuple[object, ...]]) -> None:
    for group in join.unique:
        places = [join.schema.names.index(name) for name in sorted(group)]
        keys = [tuple(row[place] for place in places) for row in rows]
        whole = [key for key in keys if None not in key]
        assert len(set(whole)) == len(whole)


_CONDITIONS: list[Predicate] = [
    Compare(Comparison.GT, Column("x"), literal(0)),
    Compare(Comparison.GT, Column("y"), literal(0)),
    IsNull(Column("y")),
    IsNull(Column("x")),
    Compare(Comparison.NE, Column("id"), literal(1)),
    Compare(Comparison.LE, Column("x"), Column("y")),
    Compare(Comparison.EQ, literal(1), literal(2)),
]


@pytest.mark.parametrize("kind", JoinKind)
def test_a_filter_after_a_join_means_the_same_wherever_the_rules_put_it(kind: JoinKind) -> None:
    for left, right in product(KEYS[::3], KEYS[::3]):
        join = Join(_scan("a", LEFT, left, False), _scan("b", RIGHT, right, False), (("id", "ref"),), kind)
        contents = {"a": _table(LEFT, left), "b": _table(RIGHT, right)}
        usable = [each for each in _CONDITIONS if each.columns <= set(join.schema.names)]
        for first, second in product(usable, usable):
            relation: Relation = Filter(join, And(first, second))
            optimised = optimise(relation)
            assert Counter(evaluate(optimised, contents)) == Counter(evaluate(relation, contents))


def test_uniqueness_needs_all_columns_of_a_declared_set() -> None:
    pairs = Scan(entry("a", LEFT, unique=[["id", "x"]]))
    other = Scan(entry("b", RIGHT))
    assert not Join(pairs, other, (("id", "ref"),)).left_is_unique
    assert Join(pairs, other, (("id", "ref"), ("x", "y"))).left_is_unique


def test_a_projection_renames_unique_sets_and_loses_those_it_drops() -> None:
    source = Scan(entry("a", LEFT, unique=[["id"], ["x"]]))
    assert Project(source, (("key", "id"),)).unique == {frozenset({"key"})}


def test_a_concat_has_no_unique_set() -> None:
    source = Scan(entry("a", LEFT, unique=[["id"]]))
    assert Concat((source, source)).unique == frozenset()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, 1),
        (1, 1),
        (7, 7),
        (8, 8),
        (9, 10),
        (16, 16),
        (17, 20),
        (5000, 5120),
        (20_000, 20_480),
        (2**24, 2**24),
    ],
)
def test_padding_keeps_three_significant_bits(rows: int, expected: int) -> None:
    assert padded(rows) == expected


def test_padding_adds_at_most_a_quarter_and_grows_with_the_rows() -> None:
    bounds = [padded(rows) for rows in range(1, 5000)]
    assert bounds == sorted(bounds)
    assert all(rows <= bound <= rows * 1.25 for rows, bound in enumerate(bounds, 1))


def test_a_tree_that_doubles_at_every_step_is_refused_before_it_is_walked() -> None:
    relation: Relation = Scan(entry("a", LEFT))
    for _ in range(60):
        relation = Concat((relation, relation))
    with pytest.raises(PlanError) as error:
        post_order(relation)
    assert error.value.code == "plan.too-large"


def test_a_tree_that_is_too_deep_is_refused() -> None:
    relation: Relation = Scan(entry("a", LEFT))
    for _ in range(MAX_NODES - 500):
        relation = Project(relation, (("id", "id"),))
    with pytest.raises(PlanError):
        post_order(relation)


@pytest.mark.parametrize(
    ("left", "right", "code"),
    [
        ("float64", "float64", "schema.float-key"),
        ("int64", "text(4)", "schema.key-mismatch"),
        ("timestamp", "timestamp[UTC]", "schema.key-mismatch"),
        ("decimal(38,2)", "decimal(20,10)", "schema.type-mismatch"),
        ("int64", "decimal(9,2)", "schema.key-mismatch"),
    ],
)
def test_keys_of_different_kinds_are_refused_when_the_join_is_built(left: str, right: str, code: str) -> None:
    with pytest.raises(SchemaError) as error:
        Join(Scan(entry("a", {"id": left})), Scan(entry("b", {"ref": right})), (("id", "ref"),))
    assert error.value.code == code


def test_whole_decimals_are_keys_with_integers() -> None:
    Join(Scan(entry("a", {"id": "int64"})), Scan(entry("b", {"ref": "decimal(9,0)"})), (("id", "ref"),))


def test_concat_names_the_columns_that_differ() -> None:
    with pytest.raises(SchemaError, match="x, y"):
        Concat((Scan(entry("a", LEFT)), Scan(entry("b", {"id": "int64", "y": "int64"}))))
