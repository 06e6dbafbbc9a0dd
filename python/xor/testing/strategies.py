"""Hypothesis strategies: random tables of every type, and random relations over them. For tests only.

Values come from small pools, so that joins match, and the pools are full of what breaks naive code: NFC
twins, empty text beside NULL, NUL characters, the ends of every range, NaN beside infinity.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import strategies as st

from xor.errors import SchemaError
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.types import DataType, Field, Kind, Schema
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
    comparable,
    literal,
)
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.testing.oracle import Value, normal_form

TYPES = (
    "int64", "decimal(4,0)", "decimal(9,2)", "decimal(12,4)", "decimal(19,0)", "text", "date", "timestamp",
    "timestamp[UTC]", "timestamp[Europe/Zurich]", "bool", "float64",
)  # fmt: skip
NAMES = ("id", "Id", "account", 'quo"ted', "semi;colon--", "spa ce", "été", "../up", "$(x)", "c0")
MAX_TEXT_BYTES = 64
_ZONED = dt.timezone(dt.timedelta(hours=-9, minutes=-30))
_POOLS: Mapping[Kind, tuple[Value, ...]] = {
    Kind.BOOL: (True, False),
    Kind.INT64: (0, 1, -1, 7, 42, 2**63 - 1, -(2**63)),
    Kind.FLOAT64: (0.0, -0.0, 1.5, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan),
    Kind.TEXT: (
        "", " ", "a", "A", "NULL", "02139", "\\", "\0", "x\0y", "x\0z", "line\nbreak", "cr\r\nlf", "a,b",
        'a "b"', "'); DROP TABLE t0; --", "🦀", "é", "e\N{COMBINING ACUTE ACCENT}",
        "e\N{COMBINING ACUTE ACCENT}\0é", "Å", "\N{ANGSTROM SIGN}", "A\N{COMBINING RING ABOVE}", "가",
        "\N{HANGUL CHOSEONG KIYEOK}\N{HANGUL JUNGSEONG A}",
    ),
    Kind.DATE: (dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(2022, 4, 1), dt.date(9999, 12, 31)),
    Kind.TIMESTAMP: (
        dt.datetime(1, 1, 2),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        dt.datetime(2022, 4, 1, 0, 2, 3),
        dt.datetime(2022, 4, 1, 0, 2, 3, 1),
        dt.datetime(9999, 12, 30, 23, 59, 59, 999_999),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A dataset and its rows; what the entry declares is true of them."""

    entry: DatasetEntry
    rows: tuple[Mapping[str, Value], ...]


def rows_of(samples: Mapping[str, Sample]) -> dict[str, tuple[Mapping[str, Value], ...]]:
    """The rows by dataset name, as the oracle takes them."""
    return {name: sample.rows for name, sample in samples.items()}


def values(type_: DataType) -> st.SearchStrategy[Value]:
    """Values of a type, never NULL."""
    match type_.kind:
        case Kind.DECIMAL:
            greatest = 10**type_.precision - 1
            numbers = st.sampled_from([0, 1, -1, 7, 42, 4200, greatest, -greatest]) | st.integers(-999, 999)
            return numbers.filter(lambda number: abs(number) <= greatest).map(
                lambda number: _scaled(number, type_)
            )
        case Kind.TEXT:
            other = st.text(st.characters(codec="utf-8"), max_size=8)
            return st.sampled_from(_POOLS[Kind.TEXT]) | other.filter(
                lambda text: len(text.encode()) <= MAX_TEXT_BYTES
            )
        case Kind.TIMESTAMP if type_.zone:
            return st.sampled_from(_POOLS[Kind.TIMESTAMP]).map(_in_utc)
        case kind:
            return st.sampled_from(_POOLS[kind])


def _scaled(number: int, type_: DataType) -> Decimal:
    digits = tuple(int(each) for each in str(abs(number)))
    return Decimal((int(number < 0), digits, -type_.scale))


def _in_utc(time: Value) -> Value:
    assert isinstance(time, dt.datetime)
    return time.replace(tzinfo=dt.UTC)


@st.composite
def tables(
    draw: st.DrawFn, names: Sequence[str] = ("a", "b"), types: Sequence[str] = TYPES, max_rows: int = 5
) -> dict[str, Sample]:
    """A few datasets by name. Often empty, often all NULL in a column, often with duplicates."""
    return {name: draw(samples(name, types, max_rows)) for name in names}


@st.composite
def samples(
    draw: st.DrawFn, name: str, types: Sequence[str] = TYPES, max_rows: int = 5, player: str = "player-0"
) -> Sample:
    """One dataset. Its declared bounds are true; some of what is unique is declared so."""
    columns = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    kinds = {column: DataType.parse(draw(st.sampled_from(list(types)))) for column in columns}
    fields = {column: _with_nulls(draw, values(type_)) for column, type_ in kinds.items()}
    rows = tuple(draw(st.lists(st.fixed_dictionaries(fields), max_size=max_rows)))
    unique = tuple(
        (column,)
        for column, type_ in kinds.items()
        if type_.kind is not Kind.FLOAT64 and _is_unique(rows, column) and draw(st.booleans())
    )
    entry = DatasetEntry(
        network="test",
        name=name,
        owner=f"bank-{name}",
        player=player,
        columns=tuple(
            ColumnEntry(
                name=column, type=str(type_), max_bytes=MAX_TEXT_BYTES if type_.kind is Kind.TEXT else None
            )
            for column, type_ in kinds.items()
        ),
        rows=len(rows) + draw(st.sampled_from([0, 0, 3])),
        unique=unique,
    )
    return Sample(entry, rows)


def _with_nulls(draw: st.DrawFn, present: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return draw(st.sampled_from([present | st.none(), present | st.none(), present, st.none()]))


def _is_unique(rows: Sequence[Mapping[str, Value]], column: str) -> bool:
    present = [normal_form(row[column]) for row in rows if row[column] is not None]
    return len(set(present)) == len(present)


@st.composite
def relations(draw: st.DrawFn, tables: Mapping[str, Sample], depth: int = 3) -> Relation:
    """A relation over some of the tables: scans, projections, filters, joins of all kinds, concats."""
    shape = (
        draw(st.sampled_from(["scan", "project", "filter", "join", "join", "concat"])) if depth else "scan"
    )
    match shape:
        case "project":
            return draw(projections(draw(relations(tables, depth - 1))))
        case "filter":
            source = draw(relations(tables, depth - 1))
            return Filter(source, draw(predicates(source.schema)))
        case "join":
            left, right = draw(relations(tables, depth - 1)), draw(relations(tables, depth - 1))
            return draw(joins(left, right))
        case "concat":
            return draw(concats(draw(relations(tables, depth - 1))))
    return Scan(tables[draw(st.sampled_from(sorted(tables)))].entry)


@st.composite
def projections(draw: st.DrawFn, source: Relation) -> Relation:
    """Some columns, in another order, some twice and some under other names."""
    chosen = draw(st.lists(st.sampled_from(source.schema.names), min_size=1, max_size=5))
    return Project(source, tuple((f"{name}~{index}", name) for index, name in enumerate(chosen)))


@st.composite
def concats(draw: st.DrawFn, source: Relation) -> Relation:
    """The source under itself, its columns in another order, perhaps filtered."""
    shuffled = draw(st.permutations(source.schema.names))
    below: Relation = Project(source, tuple((name, name) for name in shuffled))
    if draw(st.booleans()):
        below = Filter(below, draw(predicates(below.schema)))
    return Concat((source, below))


@st.composite
def joins(
    draw: st.DrawFn, left: Relation, right: Relation, kinds: Sequence[JoinKind] = tuple(JoinKind)
) -> Relation:
    """A join on one or two pairs of keys that fit; `left` itself where none do."""
    left, right = suffixed(left, "_0"), suffixed(right, "_1")
    fitting = [(one.name, two.name) for one in left.schema for two in right.schema if _are_keys(one, two)]
    if not fitting:
        return left
    keys = tuple(draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=2, unique=True)))
    kind = draw(st.sampled_from(list(kinds)))
    join = Join(left, right, keys, kind)
    if draw(st.booleans()):
        output = draw(st.lists(st.sampled_from(join.schema.names), min_size=1, unique=True))
        join = Join(left, right, keys, kind, tuple(output))
    return join


def suffixed(relation: Relation, suffix: str) -> Relation:
    """The relation with a suffix on every column, as inputs of a join have."""
    return Project(relation, tuple((name + suffix, name) for name in relation.schema.names))


def _are_keys(left: Field, right: Field) -> bool:
    if Kind.FLOAT64 in (left.type.kind, right.type.kind) or left.type.key_kind != right.type.key_kind:
        return False
    return _are_comparable(left.type, right.type)


def _are_comparable(left: DataType, right: DataType) -> bool:
    try:
        comparable(left, right)
    except SchemaError:
        return False
    return True


@st.composite
def predicates(draw: st.DrawFn, schema: Schema, depth: int = 2) -> Predicate:
    """A condition on columns of a schema."""
    shape = draw(
        st.sampled_from(["compare", "compare", "in", "null", "true", "not", "and", "or"][: 8 if depth else 5])
    )
    match shape:
        case "not":
            return Not(draw(predicates(schema, depth - 1)))
        case "and":
            return And(draw(predicates(schema, depth - 1)), draw(predicates(schema, depth - 1)))
        case "or":
            return Or(draw(predicates(schema, depth - 1)), draw(predicates(schema, depth - 1)))
        case "true":
            flags = [field.name for field in schema if field.type.kind is Kind.BOOL]
            return IsTrue(Column(draw(st.sampled_from(flags)))) if flags else draw(_comparisons(schema))
        case "null":
            return IsNull(Column(draw(st.sampled_from(schema.names))))
        case "in":
            field = draw(st.sampled_from(schema.fields))
            return IsIn(Column(field.name), tuple(draw(st.lists(literals(field.type), max_size=4))))
    return draw(_comparisons(schema))


@st.composite
def _comparisons(draw: st.DrawFn, schema: Schema) -> Predicate:
    field = draw(st.sampled_from(schema.fields))
    others: list[Operand] = [Column(each.name) for each in schema if _are_comparable(field.type, each.type)]
    other = draw(st.sampled_from(others) | literals(field.type) | literals(field.type))
    return Compare(
        draw(st.sampled_from(list(Comparison))), *draw(st.permutations([Column(field.name), other]))
    )


@st.composite
def literals(draw: st.DrawFn, type_: DataType) -> Literal:
    """A constant that a column of the type may be compared with; exact numbers may have another scale."""
    if type_.kind in (Kind.INT64, Kind.DECIMAL):
        other = DataType.parse(
            draw(st.sampled_from(["int64", "decimal(4,0)", "decimal(9,2)", "decimal(12,4)"]))
        )
        type_ = other if _are_comparable(type_, other) else type_
    value = draw(values(type_).filter(lambda value: not isinstance(value, float) or math.isfinite(value)))
    assert value is not None
    if isinstance(value, dt.datetime) and value.tzinfo and dt.MINYEAR < value.year < dt.MAXYEAR:
        value = value.astimezone(_ZONED)
    made = literal(value, type_)
    return made if _are_comparable(type_, made.type) else Literal(value, type_)
