"""Plaintext relations: bounds first, SQL semantics, names that are only names, a DuckDB without a way out."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from xor.engine import bounds, local
from xor.engine.bounds import check_bounds
from xor.engine.compile import compile_query
from xor.engine.duck import Limits, locked
from xor.errors import DataError, InternalError, PlanError, ResourceError
from xor.model.types import FLOAT64, INT64, TEXT
from xor.plan.predicates import (
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsNull,
    Literal,
    Not,
    Predicate,
    literal,
)
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan

from .conftest import MakeSource, entry

SMALL = Limits(memory_bytes=200_000_000, threads=1)


def dataset(name: str, columns: dict[str, str], rows: list[tuple[Any, ...]], **bounds: Any) -> local.Dataset:
    declared = entry(name, columns, **bounds)
    types = [local.arrow_type(field.type) for field in declared.schema]
    arrays = [pa.array([row[index] for row in rows], type_) for index, type_ in enumerate(types)]
    return local.Dataset(declared, pa.table(arrays, names=list(columns)))


def rows_of(relation: Relation, *datasets: local.Dataset) -> list[tuple[Any, ...]]:
    found = local.run(relation, {each.entry.name: each for each in datasets}, limits=SMALL).arrow
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return sorted(rows, key=repr)


def joined(left: local.Dataset, right: local.Dataset, on: str, kind: JoinKind = JoinKind.INNER) -> Join:
    one, two = (
        Project(Scan(each.entry), tuple((f"{name}_{side}", name) for name in each.entry.schema.names))
        for side, each in enumerate((left, right))
    )
    return Join(one, two, ((f"{on}_0", f"{on}_1"),), kind)


def test_more_rows_than_declared_stop_the_job(csv_source: MakeSource) -> None:
    source = csv_source(b"a\n1\n2\n3\n", {"a": "int64"}, rows=2)
    with pytest.raises(
        ResourceError, match="'accounts' has more rows than its declaration 'rows'"
    ) as refusal:
        local.run(Scan(source.entry), {"accounts": source})
    assert "3" not in str(refusal.value)
    assert refusal.value.code == "resource.rows"


def test_a_longer_text_than_declared_stops_the_job(csv_source: MakeSource) -> None:
    assert local.load(csv_source(("a\n" + "é" * 10 + "\n").encode(), {"a": "text"})).arrow.num_rows == 1
    with pytest.raises(ResourceError, match="above its declaration 'max_bytes'") as refusal:
        local.load(csv_source(("a\n" + "é" * 10 + "x\n").encode(), {"a": "text"}))
    assert refusal.value.code == "resource.max-bytes"


@pytest.mark.parametrize(
    ("content", "is_unique"),
    [
        ("a,b\nx,1\nx,2\n", True),
        ("a,b\nx,1\nx,1\n", False),
        ("a,b\nx,\nx,\n,\n,\n,1\n,1\n", True),
        ("a,b\né,1\ne\N{COMBINING ACUTE ACCENT},1\n", False),
        ('a,b\n"",1\n,1\n', True),
    ],
)
def test_what_is_declared_unique_is_unique(csv_source: MakeSource, content: str, is_unique: bool) -> None:
    source = csv_source(content.encode(), {"a": "text", "b": "int64"}, unique=(("a", "b"),))
    if is_unique:
        local.load(source)
        return
    with pytest.raises(DataError, match="'accounts' breaks its declaration 'unique' on 'a', 'b'") as refusal:
        local.load(source)
    assert refusal.value.code == "data.not-unique"


@pytest.mark.parametrize(("rows", "is_twice"), [([("a",), ("b",)], False), ([("a",), ("b",), ("a",)], True)])
def test_equal_hashes_are_no_proof_of_equal_values(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str]], is_twice: bool
) -> None:
    monkeypatch.setattr(bounds, "compile_hashes", lambda _: "SELECT 7 AS hash FROM t0")
    data = dataset("t", {"a": "text"}, rows)
    assert bounds.has_duplicates([data.arrow.column("a")], [TEXT], SMALL) is is_twice


def test_timestamps_are_unique_as_instants() -> None:
    tokyo = dt.timezone(dt.timedelta(hours=9))
    rows = [(dt.datetime(2022, 4, 1, 9, tzinfo=tokyo),), (dt.datetime(2022, 4, 1, tzinfo=dt.UTC),)]
    twice = dataset("t", {"a": "timestamp[UTC]"}, rows, unique=(("a",),))
    with pytest.raises(DataError, match="'unique'"):
        check_bounds(twice.arrow, twice.entry, SMALL)


def test_another_declaration_than_the_plans_is_refused(csv_source: MakeSource) -> None:
    source = csv_source(b"a\n1\n", {"a": "int64"}, rows=2)
    with pytest.raises(PlanError, match="another declaration of dataset 'accounts'") as refusal:
        local.run(Scan(entry("accounts", {"a": "int64"}, rows=3)), {"accounts": source})
    assert refusal.value.code == "plan.dataset-differs"


def test_where_nothing_is_computed_the_columns_are_those_that_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(local, "locked")
    data = dataset("t", {"a": "int64", "b": "text"}, [(1, "x"), (2, "y")])
    renamed = Project(Project(Scan(data.entry), (("c", "a"), ("d", "b"))), (("e", "d"), ("f", "c")))
    found = local.run(renamed, {"t": data}, ["f", "e", "f"]).arrow
    assert found.column_names == ["c0", "c1", "c2"]
    assert found.to_pydict() == {"c0": [1, 2], "c1": ["x", "y"], "c2": [1, 2]}
    column, read = found.column("c0").chunk(0), data.arrow.column("a").chunk(0)
    assert column.buffers()[1].address == read.buffers()[1].address


def test_columns_come_in_the_order_asked_for_and_may_repeat() -> None:
    data = dataset("t", {"a": "int64", "b": "text"}, [(1, "x")])
    table = local.run(Scan(data.entry), {"t": data}, ["b", "a", "b"])
    assert pa.table(table).to_pydict() == {"c0": ["x"], "c1": [1], "c2": ["x"]}
    assert table.rows == 1


def test_a_result_without_columns_is_refused() -> None:
    data = dataset("t", {"a": "int64"}, [(1,)])
    with pytest.raises(PlanError, match="at least one column"):
        local.run(Scan(data.entry), {"t": data}, [])


def test_tables_and_datasets_show_no_value() -> None:
    data = dataset("t", {"a": "text"}, [("9182736450",)])
    assert "9182736450" not in repr(data) + repr(local.run(Scan(data.entry), {"t": data}))


def test_zones_come_back_with_the_columns() -> None:
    moment = dt.datetime(2022, 4, 1, tzinfo=dt.UTC)
    columns = {"a": "timestamp[Europe/Zurich]", "b": "timestamp[Asia/Tokyo]"}
    data = dataset("t", columns, [(moment, moment)])
    table = local.run(Scan(data.entry), {"t": data}).arrow
    assert [type_.tz for type_ in table.schema.types] == ["Europe/Zurich", "Asia/Tokyo"]
    assert table.to_pylist() == [{"c0": moment, "c1": moment}]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (JoinKind.INNER, 1),
        (JoinKind.LEFT, 3),
        (JoinKind.RIGHT, 3),
        (JoinKind.OUTER, 5),
        (JoinKind.SEMI, 1),
        (JoinKind.ANTI, 2),
    ],
)
def test_null_keys_match_nothing_and_survive_where_preserved(kind: JoinKind, expected: int) -> None:
    left = dataset("l", {"k": "text"}, [("é",), (None,), ("x",)])
    right = dataset("r", {"k": "text"}, [("e\N{COMBINING ACUTE ACCENT}",), (None,), ("y",)])
    assert len(rows_of(joined(left, right, "k", kind), left, right)) == expected


def test_decimals_of_any_scale_meet_whole_numbers_exactly() -> None:
    near = Decimal(2**53 + 1)
    left = dataset("l", {"k": "int64"}, [(2**53,), (2**53 + 1,)])
    right = dataset("r", {"k": "decimal(19,0)"}, [(near,)])
    assert rows_of(joined(left, right, "k"), left, right) == [(2**53 + 1, near)]


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        (Not(IsIn(Column("a"), ())), [1, 2]),
        (IsIn(Column("a"), ()), []),
        (IsIn(Column("a"), (literal(1), literal(Decimal("2.0")))), [1, 2]),
        (Not(Compare(Comparison.EQ, Column("a"), literal(1))), [2]),
        (And(Not(IsNull(Column("a"))), Compare(Comparison.GT, Column("f"), literal(0.3))), [2]),
        (Compare(Comparison.EQ, Column("f"), Literal(0.30000000000000004, FLOAT64)), [2]),
        (Compare(Comparison.EQ, Column("t"), literal("x\0';--")), [2]),
        (Compare(Comparison.GT, Column("a"), Literal(-(2**63), INT64)), [1, 2]),
    ],
)
def test_filters_keep_what_is_true(predicate: Predicate, kept: list[int]) -> None:
    rows = [(1, 0.3, "x"), (2, 0.1 + 0.2, "x\0';--"), (None, None, None)]
    data = dataset("d", {"a": "int64", "f": "float64", "t": "text"}, rows)
    relation = Project(Filter(Scan(data.entry), predicate), (("a", "a"),))
    assert [a for (a,) in rows_of(relation, data)] == kept


def test_zero_is_minus_zero_in_a_list_too() -> None:
    data = dataset("d", {"f": "float64"}, [(0.0,), (-0.0,), (1.0,), (2.0,)])
    kept = Filter(Scan(data.entry), IsIn(Column("f"), (literal(0.0), literal(1.0))))
    assert len(rows_of(kept, data)) == 3


@pytest.mark.parametrize(
    ("comparison", "count"),
    [
        (Comparison.GT, 2),
        (Comparison.GE, 3),
        (Comparison.EQ, 1),
        (Comparison.NE, 3),
        (Comparison.LT, 1),
        (Comparison.LE, 2),
    ],
)
def test_nan_is_above_every_number(comparison: Comparison, count: int) -> None:
    data = dataset("d", {"f": "float64"}, [(0.0,), (1.0,), (float("nan"),), (float("inf"),), (None,)])
    kept = Filter(Scan(data.entry), Compare(comparison, Column("f"), literal(1.0)))
    assert len(rows_of(kept, data)) == count


def test_one_dataset_may_stand_on_both_sides() -> None:
    data = dataset("d", {"k": "int64", "v": "text"}, [(1, "x"), (2, "y")])
    assert rows_of(joined(data, data, "k"), data) == [(1, "x", 1, "x"), (2, "y", 2, "y")]


def test_concat_appends_by_name() -> None:
    data = dataset("d", {"a": "int64", "b": "text"}, [(1, "x")])
    turned = Project(Scan(data.entry), (("b", "b"), ("a", "a")))
    assert rows_of(Concat((Scan(data.entry), turned, turned)), data) == [(1, "x")] * 3


def test_names_never_reach_the_sql() -> None:
    names = ['a"; DROP TABLE t0; --', "A", "a", "$(reboot)", "../x", "\N{RIGHT-TO-LEFT OVERRIDE}"]
    data = dataset("d", dict.fromkeys(names, "int64"), [(1, 2, 3, 4, 5, 6)])
    assert rows_of(Scan(data.entry), data) == [(1, 2, 3, 4, 5, 6)]
    sql = compile_query(Scan(data.entry), names, ["d"])
    assert not any(name in sql for name in names[3:] + names[:1])


def test_text_constants_are_escaped() -> None:
    nasty = "'; ATTACH 'x' AS y; --\\"
    data = dataset("d", {"a": "text"}, [(nasty,), ("b",)])
    kept = Filter(Scan(data.entry), Compare(Comparison.EQ, Column("a"), literal(nasty)))
    assert rows_of(kept, data) == [(nasty,)]


def test_a_plan_that_is_nested_too_deeply_is_refused() -> None:
    data = dataset("d", {"a": "int64"}, [(1,)])
    predicate: Predicate = IsNull(Column("a"))
    for _ in range(3000):
        predicate = Not(predicate)
    deep = Scan(data.entry)
    filtered = object.__new__(Filter)  # its own check recurses as well
    object.__setattr__(filtered, "source", deep)
    object.__setattr__(filtered, "predicate", predicate)
    with pytest.raises(PlanError) as refusal:
        local.run(filtered, {"d": data}, limits=SMALL)
    assert refusal.value.code == "plan.too-deep"


def test_a_million_equal_keys_on_both_sides_are_stopped_and_not_swapped() -> None:
    keys = pa.table([pa.array(["same"] * 1_000_000)], names=["k"])
    left, right = (local.Dataset(entry(name, {"k": "text"}, rows=1_000_000), keys) for name in ("l", "r"))
    with pytest.raises(ResourceError, match="needs more memory than it may take") as refusal:
        local.run(joined(left, right, "k"), {"l": left, "r": right}, limits=SMALL)
    assert refusal.value.code == "resource.memory"


def test_a_million_equal_keys_on_one_side_are_joined() -> None:
    keys = pa.table([pa.array(["same"] * 1_000_000)], names=["k"])
    left = local.Dataset(entry("l", {"k": "text"}, rows=1_000_000), keys)
    right = dataset("r", {"k": "text"}, [("same",), (None,)])
    assert local.run(joined(left, right, "k"), {"l": left, "r": right}).rows == 1_000_000


def execute(sql: str) -> None:
    with locked(SMALL) as connection:
        connection.register("t0", pa.table({"c0": [1]}))
        connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('{path}')",
        "SELECT * FROM '{path}'",
        "SELECT * FROM secret_frame",
        "COPY t0 TO '{path}'",
        "ATTACH '{path}'",
        "EXPORT DATABASE '{path}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET max_temp_directory_size = '1GB'",
        "SET python_enable_replacements = true",
        "PRAGMA temp_directory = '{path}'",
    ],
)
def test_nothing_leads_out_of_the_engine(sql: str, tmp_path: Path) -> None:
    secret_frame = pa.table({"a": [1]})
    assert secret_frame.num_rows == 1
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    with pytest.raises(InternalError, match="the local engine failed") as refusal:
        execute(sql.format(path=path))
    assert str(path) not in str(refusal.value)
    assert path.read_text() == "a\n1\n"


def test_nothing_spills_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResourceError), locked(Limits(memory_bytes=50_000_000, threads=1)) as connection:
        connection.execute("SELECT * FROM range(20_000_000) AS r(a) ORDER BY hash(a)").fetchone()
    assert not list(tmp_path.iterdir())
