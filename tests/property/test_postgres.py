"""A plan over tables in PostgreSQL gives the very rows and types that DuckDB and the oracle give."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pg8000.native
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from xor.engine import local, postgres
from xor.engine.arrow import arrow_type
from xor.engine.postgres import PostgresSource, Snapshot
from xor.engine.streaming import stream
from xor.errors import DataError, ResourceError, XorError
from xor.model.address import DatabaseUrl
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.types import DataType, Kind
from xor.plan.predicates import Column, Compare, Comparison, IsIn, literal
from xor.plan.relations import Filter, Join, Project, Relation, Scan, is_streamable, post_order
from xor.testing.oracle import Value, evaluate
from xor.testing.postgres import Server
from xor.testing.rows import dataset, exact, rows_in
from xor.testing.strategies import Sample, joins, predicates, relations, rows_of, samples, tables

ONE_CORE = local.Limits(threads=1)
SCHEMA = 'bank\'s "own"'


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


class Bank:
    """A database of one bank, emptied and filled for each example."""

    def __init__(self, url: str) -> None:
        self.url = DatabaseUrl.parse(url)
        self._line = pg8000.native.Connection(
            self.url.user,
            host=self.url.host,
            port=self.url.port,
            password=self.url.password,
            database=self.url.database,
        )
        self._snapshots: list[Snapshot] = []

    def run(self, sql: str) -> None:
        self._line.run(sql)

    def empty(self) -> None:
        for each in self._snapshots:
            each.close()
        self._snapshots.clear()
        self.run(f"DROP SCHEMA IF EXISTS {quoted(SCHEMA)} CASCADE; CREATE SCHEMA {quoted(SCHEMA)}")

    def snapshot(self) -> Snapshot:
        made = Snapshot(self.url, timeout_s=60)
        self._snapshots.append(made)
        return made

    def fill(self, contents: Mapping[str, Sample]) -> dict[str, PostgresSource]:
        """Tables with these rows, and as sources."""
        self.empty()
        for name, sample in contents.items():
            fields = list(sample.entry.schema)
            columns = ", ".join(f"{quoted(each.name)} {sql_type(each.type)}" for each in fields)
            self.run(f"CREATE TABLE {quoted(SCHEMA)}.{quoted(name)} ({columns})")
            for row in sample.rows:
                values = ", ".join(sql_value(row[each.name]) for each in fields)
                self.run(f"INSERT INTO {quoted(SCHEMA)}.{quoted(name)} VALUES ({values})")
        snapshot = self.snapshot()
        return {
            name: PostgresSource(sample.entry, snapshot, SCHEMA, name) for name, sample in contents.items()
        }

    def close(self) -> None:
        self.empty()
        self._line.close()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sql_type(type_: DataType) -> str:
    match type_.kind:
        case Kind.DECIMAL:
            return f"numeric({type_.precision},{type_.scale})"
        case Kind.TIMESTAMP:
            return "timestamptz" if type_.zone else "timestamp"
    return {"int64": "bigint", "float64": "float8", "bool": "bool", "text": "text", "date": "date"}[
        str(type_)
    ]


def sql_value(value: Value) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | Decimal():
            return f"'{value}'"
        case float():
            return f"'{'NaN' if math.isnan(value) else repr(value)}'::float8"
        case dt.datetime():
            return f"'{value.isoformat(' ')}'"
        case dt.date():
            return f"'{value.isoformat()}'"
    text = str(value).replace("'", "''")
    return f"'{text}'"


@pytest.fixture(scope="module")
def bank(postgres_server: Server) -> Iterator[Bank]:
    made = Bank(postgres_server.new_database())
    yield made
    made.close()


def has_nul(contents: Mapping[str, Sample]) -> bool:
    """PostgreSQL has no text with the character NUL."""
    return any(
        isinstance(value, str) and "\0" in value
        for sample in contents.values()
        for row in sample.rows
        for value in row.values()
    )


def check(relation: Relation, sources: Mapping[str, PostgresSource], contents: Mapping[str, Sample]) -> None:
    there = local.run(relation, sources, limits=ONE_CORE)
    here = local.run(relation, {name: dataset(sample) for name, sample in contents.items()}, limits=ONE_CORE)
    assert pa.table(there).schema.types == [arrow_type(field.type) for field in relation.schema]
    assert exact(rows_in(there)) == exact(rows_in(here)) == exact(evaluate(relation, rows_of(contents)))


@examples(150)
@given(data=st.data())
def test_a_random_plan_gives_the_same_rows_in_both_engines(bank: Bank, data: st.DataObject) -> None:
    contents = data.draw(tables())
    assume(not has_nul(contents))
    relation = data.draw(relations(contents))
    for node in post_order(relation):
        event(type(node).__name__)
    check(relation, bank.fill(contents), contents)


@examples(60)
@given(data=st.data())
def test_a_filter_gives_the_same_rows_in_both_engines(bank: Bank, data: st.DataObject) -> None:
    sample = data.draw(samples("a", max_rows=10))
    assume(not has_nul({"a": sample}))
    relation = Filter(Scan(sample.entry), data.draw(predicates(sample.entry.schema, depth=3)))
    check(relation, bank.fill({"a": sample}), {"a": sample})


@examples(40)
@given(data=st.data())
def test_a_join_on_keys_of_any_type_gives_the_same_rows_in_both_engines(
    bank: Bank, data: st.DataObject
) -> None:
    contents = data.draw(tables())
    assume(not has_nul(contents))
    join = data.draw(joins(Scan(contents["a"].entry), Scan(contents["b"].entry)))
    check(join, bank.fill(contents), contents)


@examples(40)
@given(data=st.data())
def test_a_stream_gives_the_rows_of_the_oracle(bank: Bank, data: st.DataObject) -> None:
    sample = data.draw(samples("a", max_rows=10))
    assume(not has_nul({"a": sample}))
    relation: Relation = Filter(Scan(sample.entry), data.draw(predicates(sample.entry.schema, depth=2)))
    assert is_streamable(relation)
    found = pa.RecordBatchReader.from_stream(stream(relation, bank.fill({"a": sample}))).read_all()
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
    assert exact(rows) == exact(evaluate(relation, {"a": sample.rows}))


# -- one by one ------------------------------------------------------------------------------------------


def entry_of(
    columns: Mapping[str, str], rows: int = 10, unique: tuple[tuple[str, ...], ...] = ()
) -> DatasetEntry:
    return DatasetEntry(
        network="test",
        name="a",
        owner="bank-a",
        player="player-0",
        columns=tuple(
            ColumnEntry(name=name, type=type_, max_bytes=8 if type_ == "text" else None)
            for name, type_ in columns.items()
        ),
        rows=rows,
        unique=unique,
    )


def source(bank: Bank, ddl: str, columns: Mapping[str, str], **bounds: Any) -> PostgresSource:
    bank.empty()
    bank.run(f"SET search_path = {quoted(SCHEMA)}")
    bank.run(ddl)
    return PostgresSource(entry_of(columns, **bounds), bank.snapshot(), SCHEMA, "a")


def rows(found: PostgresSource) -> list[tuple[Any, ...]]:
    return rows_in(local.run(Scan(found.entry), {"a": found}, limits=ONE_CORE))


def test_types_that_hold_the_same_values_are_read_exactly(bank: Bank) -> None:
    found = source(
        bank,
        "CREATE TABLE a (i int2, j int4, f float4, v varchar(9), n numeric, d numeric(5,1));"
        "INSERT INTO a VALUES (-7, 2147483647, 0.1, 'x ', 1234.50, 1.5);"
        "INSERT INTO a VALUES (NULL, NULL, NULL, NULL, NULL, NULL)",
        {"i": "int64", "j": "int64", "f": "float64", "v": "text", "n": "decimal(6,2)", "d": "decimal(9,3)"},
    )
    first, second = sorted(rows(found), key=str)
    assert first == (
        -7,
        2147483647,
        float(pa.scalar(0.1, pa.float32()).as_py()),
        "x ",
        Decimal("1234.50"),
        Decimal("1.500"),
    )
    assert second == (None,) * 6


def test_instants_are_instants_whatever_the_zone_of_the_server(bank: Bank) -> None:
    name = bank.url.database
    bank.run(f"ALTER DATABASE {name} SET timezone = 'America/New_York'")
    found = source(
        bank,
        "SET timezone = 'Europe/Zurich';"
        "CREATE TABLE a (z timestamptz, t timestamp);"
        "INSERT INTO a VALUES ('2024-10-27 02:30+02', '2024-10-27 02:30');"
        "INSERT INTO a VALUES ('2024-10-27 02:30+01', '2024-10-27 02:30')",
        {"z": "timestamp[Europe/Zurich]", "t": "timestamp"},
    )
    instants = sorted(row[0].astimezone(dt.UTC) for row in rows(found))
    assert instants == [dt.datetime(2024, 10, 27, hour, 30, tzinfo=dt.UTC) for hour in (0, 1)]
    early = Compare(Comparison.LT, Column("z"), literal(dt.datetime(2024, 10, 27, 1, tzinfo=dt.UTC)))
    kept = local.run(Filter(Scan(found.entry), early), {"a": found}, limits=ONE_CORE)
    assert kept.rows == 1
    bank.run(f"ALTER DATABASE {name} RESET timezone")


def test_texts_compare_by_their_bytes_whatever_the_collation_of_the_column(bank: Bank) -> None:
    found = source(
        bank,
        "CREATE TABLE a (k text); INSERT INTO a VALUES ('a'), ('B'), ('A'), ('Z'), ('é')",
        {"k": "text"},
    )
    # This build of the server may have no collation but those by bytes; it says which one would be used.
    sql = f"SELECT pg_collation_for(c0) AS c FROM ({postgres._leaf(found)}) AS leaf LIMIT 1"
    assert found.snapshot.table(sql).to_pylist() == [{"c": '"C"'}]

    def kept(predicate: Any) -> set[str]:
        table = local.run(Filter(Scan(found.entry), predicate), {"a": found}, limits=ONE_CORE)
        return {row[0] for row in rows_in(table)}

    assert kept(Compare(Comparison.EQ, Column("k"), literal("a"))) == {"a"}
    assert kept(IsIn(Column("k"), (literal("A"), literal("b")))) == {"A"}
    assert kept(Compare(Comparison.LT, Column("k"), literal("a"))) == {"A", "B", "Z"}
    assert kept(Compare(Comparison.GT, Column("k"), literal("z"))) == {"é"}


def test_a_constant_that_the_database_cannot_hold_is_compared_here(bank: Bank) -> None:
    found = source(bank, "CREATE TABLE a (k text); INSERT INTO a VALUES ('x'), ('y')", {"k": "text"})
    below = Compare(Comparison.LT, Column("k"), literal("x\0y"))
    table = local.run(Filter(Scan(found.entry), below), {"a": found}, limits=ONE_CORE)
    assert rows_in(table) == [("x",)]


def test_a_dataset_in_a_file_and_one_in_the_database_are_joined_here(bank: Bank) -> None:
    found = source(bank, "CREATE TABLE a (k text); INSERT INTO a VALUES ('x'), ('y')", {"k": "text"})
    other = entry_of({"k": "text"}).model_copy(update={"name": "b"})
    held = local.Dataset(other, pa.table({"k": ["y", "z"]}))
    join = Join(Scan(found.entry), Project(Scan(other), (("k_b", "k"),)), (("k", "k_b"),))
    assert rows_in(local.run(join, {"a": found, "b": held}, limits=ONE_CORE)) == [("y", "y")]


def test_one_job_reads_one_moment(bank: Bank) -> None:
    found = source(bank, "CREATE TABLE a (k text); INSERT INTO a VALUES ('x')", {"k": "text"})
    assert rows(found) == [("x",)]
    bank.run(f"INSERT INTO {quoted(SCHEMA)}.a VALUES ('y')")
    assert rows(found) == [("x",)]
    assert sorted(rows(replace(found, snapshot=bank.snapshot()))) == [("x",), ("y",)]


BROKEN = {
    "resource.rows": ("INSERT INTO a (k) SELECT 'x' FROM generate_series(1, 11)", {}),
    "resource.max-bytes": ("INSERT INTO a (k) VALUES ('ééééé')", {}),
    "data.not-unique": ("INSERT INTO a (k) VALUES (U&'e\\0301'), ('é')", {"unique": (("k",),)}),
    "data.value-type": ("INSERT INTO a (n) VALUES (1.001)", {}),
    "data.value-type 2": ("INSERT INTO a (n) VALUES ('NaN')", {}),
    "data.value-type 3": ("INSERT INTO a (n) VALUES (10000)", {}),
    "data.value-type 4": ("INSERT INTO a (d) VALUES ('infinity')", {}),
    "data.value-type 5": ("INSERT INTO a (d) VALUES ('0044-03-15 BC')", {}),
    "data.value-type 6": ("INSERT INTO a (t) VALUES ('-infinity')", {}),
    "data.type-mismatch": ("ALTER TABLE a ALTER k TYPE char(5)", {}),
    "data.type-mismatch 2": ("ALTER TABLE a ALTER d TYPE text", {}),
    "data.type-mismatch 3": ("ALTER TABLE a ALTER n TYPE numeric(7,3)", {}),
    "data.type-mismatch 4": ("ALTER TABLE a ALTER t TYPE timestamptz", {}),
    "data.header-mismatch": ("ALTER TABLE a DROP d", {}),
    "data.missing-table": ("DROP TABLE a", {}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_as_declared_is_refused_without_its_values(bank: Bank, case: str) -> None:
    change, bounds = BROKEN[case]
    found = source(
        bank,
        f"CREATE TABLE a (k text, n numeric, d date, t timestamp); {change}",
        {"k": "text", "n": "decimal(6,2)", "d": "date", "t": "timestamp"},
        **bounds,
    )
    with pytest.raises((DataError, ResourceError)) as caught:
        postgres.checked(found)
    assert caught.value.code == case.split(maxsplit=1)[0]
    assert caught.value.hint
    assert not any(value in str(caught.value) for value in ("1.001", "10000", "ééééé", "0044"))


def test_a_snapshot_writes_nothing(bank: Bank) -> None:
    found = source(bank, "CREATE TABLE a (k text)", {"k": "text"})
    with pytest.raises(XorError) as caught:
        found.snapshot.table(f"DELETE FROM {quoted(SCHEMA)}.a RETURNING k")
    assert caught.value.code == "internal.database"
    assert "25006" in str(caught.value)


def test_a_query_that_takes_too_long_is_ended_by_the_server(bank: Bank) -> None:
    with pytest.raises(ResourceError) as caught:
        Snapshot(bank.url, timeout_s=1).table("SELECT pg_sleep(30)::text")
    assert caught.value.code == "resource.time"


def test_who_is_not_let_in_hears_why_and_no_password_is_shown(bank: Bank) -> None:
    wrong = replace(bank.url, password="hunter2")
    absent = replace(bank.url, database="nowhere")
    away = replace(bank.url, port=1)
    for url in (wrong, absent, away):
        with pytest.raises(DataError) as caught:
            Snapshot(url, timeout_s=1)
        assert caught.value.code == "data.database-away"
        assert "hunter2" not in f"{caught.value} {url!r}"
    bank.run("DROP ROLE IF EXISTS nobody; CREATE ROLE nobody LOGIN PASSWORD 'x'")
    found = source(bank, "CREATE TABLE a (k text)", {"k": "text"})
    stranger = Snapshot(replace(bank.url, user="nobody", password="x"), timeout_s=9)
    with pytest.raises(DataError) as caught:
        postgres.checked(replace(found, snapshot=stranger))
    stranger.close()
    assert caught.value.code == "data.database-refuses"
