"""Random plans over random tables: rules keep rows, bounds hold, bytes come back, nothing is left unsaid."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from xor.errors import PlanError
from xor.model.disclosure import Subject
from xor.model.types import Kind, Schema
from xor.plan.codec import decode_plan, encode_plan
from xor.plan.disclosures import disclosures
from xor.plan.explain import explain
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
    Or,
    Predicate,
)
from xor.plan.relations import Concat, Filter, JoinKind, Project, Relation, Scan, post_order
from xor.plan.rules import optimise
from xor.testing.oracle import evaluate
from xor.testing.samples import entry, placed
from xor.testing.three_banks import agreement, join

COLUMNS = {"k": "int64", "m": "decimal(6,2)", "s": "text(4)", "t": "timestamp[UTC]", "f": "bool"}
VALUES: Mapping[Kind, Sequence[Any]] = {
    Kind.INT64: (0, 1, 2, -(2**63)),
    Kind.DECIMAL: (Decimal("0.10"), Decimal("1.00"), Decimal("-9999.99")),
    Kind.TEXT: ("", "a", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    Kind.TIMESTAMP: tuple(dt.datetime(2022, 4, day, tzinfo=dt.UTC) for day in (1, 2)),
    Kind.BOOL: (True, False),
}
Draw = Callable[..., Any]
Table = list[dict[str, Any]]


@st.composite
def tables(draw: Draw) -> dict[str, Table]:
    kinds = {name: _kind(name) for name in COLUMNS}
    row = st.fixed_dictionaries(
        {name: st.none() | st.sampled_from(VALUES[kind]) for name, kind in kinds.items()}
    )
    return {name: draw(st.lists(row, max_size=4)) for name in ("a", "b", "c")}


def _kind(column: str) -> Kind:
    return Kind(COLUMNS[column].partition("(")[0].partition("[")[0])


@st.composite
def relations(draw: Draw, contents: Mapping[str, Table], depth: int = 3) -> Relation:
    """A relation over datasets that declare every bound that is true of `contents`."""
    steps = ["project", "filter", "join", "join", "concat"]
    shape = draw(st.sampled_from(["scan"] if depth == 0 else steps if depth == 3 else ["scan", *steps]))
    if shape == "scan":
        return _scan(draw(st.sampled_from(sorted(contents))), contents)
    source = draw(relations(contents, depth - 1))
    match shape:
        case "project":
            return draw(_projections(source))
        case "filter":
            return Filter(source, draw(predicates(source.schema)))
        case "concat":
            return Concat((draw(_projections(source, keep=True)), source))
        case _:
            return draw(_joins(source, draw(relations(contents, depth - 1))))


def _scan(name: str, contents: Mapping[str, Table]) -> Scan:
    table = contents[name]
    unique = [[column] for column in COLUMNS if _is_unique([row[column] for row in table])]
    player = "player-1" if name == "c" else "player-0"
    return Scan(entry(name, COLUMNS, player=player, rows=len(table), unique=unique))


def _is_unique(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return len(set(present)) == len(present)


@st.composite
def _projections(draw: Draw, source: Relation, keep: bool = False) -> Relation:
    names = draw(st.permutations(source.schema.names))
    if keep:
        return Project(source, tuple((name, name) for name in names))
    chosen = names[: draw(st.integers(1, len(names)))]
    return Project(source, tuple((draw(st.sampled_from([name, f"new_{name}"])), name) for name in chosen))


@st.composite
def _joins(draw: Draw, left: Relation, right: Relation) -> Relation:
    pairs = [(one.name, two.name) for one in left.schema for two in right.schema if one.type == two.type]
    assume(pairs)
    keys = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=2, unique=True))
    return join(left, right, *keys, kind=draw(st.sampled_from(list(JoinKind))))


@st.composite
def predicates(draw: Draw, schema: Schema, depth: int = 2) -> Predicate:
    shape = draw(st.sampled_from(["atom", "and", "or", "not"] if depth else ["atom"]))
    match shape:
        case "and" | "or":
            sides = draw(predicates(schema, depth - 1)), draw(predicates(schema, depth - 1))
            return (And if shape == "and" else Or)(*sides)
        case "not":
            return Not(draw(predicates(schema, depth - 1)))
        case _:
            return draw(_atoms(schema))


@st.composite
def _atoms(draw: Draw, schema: Schema) -> Predicate:
    field = draw(st.sampled_from(schema.fields))
    column = Column(field.name)
    literals = st.sampled_from(VALUES[field.type.kind]).map(lambda value: Literal(value, field.type))
    alike = st.sampled_from([Column(each.name) for each in schema if each.type == field.type])
    atoms = [
        st.just(IsNull(column)),
        st.builds(IsIn, st.just(column), st.lists(literals, max_size=2).map(tuple)),
        st.builds(Compare, st.sampled_from(list(Comparison)), st.just(column), literals | alike),
    ]
    if field.type.kind is Kind.BOOL:
        atoms.append(st.just(IsTrue(column)))
    return draw(st.one_of(atoms))


@st.composite
def cases(draw: Draw) -> tuple[Relation, dict[str, Table]]:
    contents = draw(tables())
    return draw(relations(contents)), contents


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_rules_keep_rows_and_schema(case: tuple[Relation, dict[str, Table]]) -> None:
    relation, contents = case
    optimised = optimise(relation)
    event("rewritten" if optimised is not relation else "as it was")
    assert [(each.name, each.type) for each in optimised.schema] == [
        (each.name, each.type) for each in relation.schema
    ]
    assert Counter(evaluate(optimised, contents)) == Counter(evaluate(relation, contents))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_bounds_and_unique_sets_hold_at_every_step(case: tuple[Relation, dict[str, Table]]) -> None:
    relation, contents = case
    for node in post_order(relation):
        rows = [dict(zip(node.schema.names, row, strict=True)) for row in evaluate(node, contents)]
        assert len(rows) <= node.rows
        for group in node.unique:
            keys = [tuple(row[name] for name in sorted(group)) for row in rows]
            whole = [key for key in keys if None not in key]
            assert len(set(whole)) == len(whole)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_placed_plan_comes_back_from_its_bytes(case: tuple[Relation, dict[str, Table]]) -> None:
    relation, contents = case
    plan = _placed(relation)
    again = decode_plan(encode_plan(plan))
    assert encode_plan(again) == encode_plan(plan)
    assert again.placements == plan.placements
    assert max(len(line) for line in explain(again, agreement()).text.splitlines()) <= 110
    assert Counter(evaluate(again.root, contents)) == Counter(evaluate(relation, contents))


@settings(max_examples=100, deadline=None)
@given(cases(), st.data())
def test_what_no_disclosure_names_does_not_change_the_result(
    case: tuple[Relation, dict[str, Table]], data: st.DataObject
) -> None:
    relation, contents = case
    plan = _placed(relation)
    named: dict[str, set[str]] = {name: set() for name in contents}
    for each in disclosures(plan, agreement()):
        if each.subject in (Subject.ROWS, Subject.CONDITION, Subject.KEY):
            named[each.dataset] |= each.columns
    changed = {
        name: [{**row, **_other_values(data, set(row) - named[name])} for row in table]
        for name, table in contents.items()
    }
    event(f"{sum(len(COLUMNS) - len(each) for each in named.values())} columns unnamed")
    assert Counter(evaluate(relation, changed)) == Counter(evaluate(relation, contents))


def _other_values(data: st.DataObject, columns: set[str]) -> dict[str, Any]:
    return {name: data.draw(st.none() | st.sampled_from(VALUES[_kind(name)])) for name in sorted(columns)}


def _placed(relation: Relation) -> Any:
    try:
        return placed(relation)
    except PlanError as error:
        event(error.code)
        assume(False)
