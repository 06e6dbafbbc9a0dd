"""The local engine against the oracle: the same rows, with exact values and types, whatever the plan."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from xor.engine import local
from xor.engine.arrow import arrow_type
from xor.engine.sources import Source, csv
from xor.engine.streaming import stream
from xor.plan.relations import Filter, JoinKind, Project, Relation, Scan, post_order
from xor.testing.oracle import Value, evaluate
from xor.testing.rows import dataset, exact, rows_in
from xor.testing.strategies import Sample, joins, predicates, relations, rows_of, samples, tables

ONE_CORE = local.Limits(threads=1)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def check(relation: Relation, inputs: Mapping[str, local.Input], contents: Mapping[str, Sample]) -> None:
    found = local.run(relation, inputs, limits=ONE_CORE)
    assert pa.table(found).schema.types == [arrow_type(field.type) for field in relation.schema]
    assert exact(rows_in(found)) == exact(evaluate(relation, rows_of(contents)))


@examples(150)
@given(st.data())
def test_a_random_plan_gives_the_rows_of_the_oracle(data: st.DataObject) -> None:
    contents = data.draw(tables())
    relation = data.draw(relations(contents))
    for node in post_order(relation):
        event(type(node).__name__)
    check(relation, {name: dataset(sample) for name, sample in contents.items()}, contents)


@examples(30)
@pytest.mark.parametrize("kind", list(JoinKind))
@given(st.data())
def test_every_kind_of_join_gives_the_rows_of_the_oracle(kind: JoinKind, data: st.DataObject) -> None:
    contents = {
        name: data.draw(samples(name, types=[data.draw(st.sampled_from(["text", "int64", "decimal(9,2)"]))]))
        for name in ("a", "b")
    }
    join = data.draw(joins(Scan(contents["a"].entry), Scan(contents["b"].entry), kinds=[kind]))
    event(type(join).__name__)
    check(join, {name: dataset(sample) for name, sample in contents.items()}, contents)


@examples(100)
@given(st.data())
def test_a_filter_keeps_the_rows_of_the_oracle(data: st.DataObject) -> None:
    sample = data.draw(samples("a", max_rows=10))
    kept = Filter(Scan(sample.entry), data.draw(predicates(sample.entry.schema, depth=3)))
    check(kept, {"a": dataset(sample)}, {"a": sample})


@examples(80)
@given(st.data(), st.sampled_from(["csv", "parquet"]), st.booleans())
def test_what_is_written_to_a_file_is_read_back(data: st.DataObject, format: Any, has_header: bool) -> None:
    sample = data.draw(samples("a"))
    with TemporaryDirectory() as directory:
        path = Path(directory) / f"it's [a] *file*?.{format}"
        header = None if has_header or format == "parquet" else sample.entry.schema.names
        if format == "csv":
            path.write_bytes(csv_bytes(sample, has_header=header is None))
        else:
            pyarrow.parquet.write_table(dataset(sample).arrow, path)
        source = Source(sample.entry, path, format, header)
        check(Scan(sample.entry), {"a": source}, {"a": sample})


@examples(80)
@given(st.data(), st.sampled_from(["csv", "parquet"]), st.booleans())
def test_a_stream_gives_the_rows_of_the_oracle(data: st.DataObject, format: Any, is_filtered: bool) -> None:
    sample = data.draw(samples("a", max_rows=10))
    relation: Relation = Scan(sample.entry)
    if is_filtered:
        relation = Filter(relation, data.draw(predicates(sample.entry.schema, depth=2)))
    relation = Project(relation, tuple((f"{name}_0", name) for name in reversed(sample.entry.schema.names)))
    with TemporaryDirectory() as directory, patch.object(csv, "_BLOCK_BYTES", 16):
        path = Path(directory) / f"a.{format}"
        if format == "csv":
            path.write_bytes(csv_bytes(sample, has_header=True))
        else:
            pyarrow.parquet.write_table(dataset(sample).arrow, path, row_group_size=3)
        found = pa.table(stream(relation, {"a": Source(sample.entry, path, format)}, limits=ONE_CORE))
    assert found.schema.types == [arrow_type(field.type) for field in relation.schema]
    assert exact(rows_in(local.Table(found))) == exact(evaluate(relation, rows_of({"a": sample})))


def csv_bytes(sample: Sample, has_header: bool) -> bytes:
    lines = [",".join(map(_quoted, sample.entry.schema.names))] if has_header else []
    lines += [",".join(_field(row[name]) for name in sample.entry.schema.names) for row in sample.rows]
    return "".join(line + "\r\n" for line in lines).encode()


def _field(value: Value) -> str:
    match value:
        case None:
            return ""
        case str():
            return _quoted(value)
        case Decimal():
            return format(value, "f")
        case dt.datetime():
            return value.isoformat(" ")
        case bool():
            return str(value).lower()
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
