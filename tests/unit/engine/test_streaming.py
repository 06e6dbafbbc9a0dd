"""Rows that flow: what breaks off a stream is explained, and nothing that needs a table is streamed."""

from typing import Any

import pyarrow as pa
import pytest

from xor import _core
from xor.engine.sources import Source, csv
from xor.engine.streaming import stream
from xor.errors import DataError, PlanError, ResourceError, XorError
from xor.plan.predicates import Column, Compare, Comparison, literal
from xor.plan.relations import Concat, Filter, Join, Project, Relation, Scan, is_streamable

from .conftest import MakeSource, entry

AB = {"a": "int64", "b": "text"}
LINES = b"".join(b"%d,x%d\n" % (number, number) for number in range(50))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "_BLOCK_BYTES", 32)


def scan(source: Source) -> Relation:
    return Scan(source.entry)


def kept(source: Source) -> Relation:
    return Filter(Scan(source.entry), Compare(Comparison.GE, Column("a"), literal(0)))


@pytest.mark.parametrize("relation_of", [scan, kept])
@pytest.mark.parametrize(
    ("content", "bounds", "error"),
    [
        (LINES + b"1,x,y\n", {}, DataError("line 52: it has 3 fields")),
        (LINES + b"y,x\n", {}, DataError("line 52: a value of column 'a'")),
        (LINES, {"rows": 49}, ResourceError("more rows than its declaration")),
        (LINES + b"1," + b"x" * 21 + b"\n", {}, ResourceError("above its declaration 'max_bytes'")),
        (LINES + b"7,x7\n", {"unique": (("b", "a"),)}, DataError("breaks its declaration 'unique'")),
    ],
)
def test_what_breaks_a_stream_off_is_explained(
    csv_source: MakeSource, relation_of: Any, content: bytes, bounds: Any, error: XorError
) -> None:
    source = csv_source(b"a,b\n" + content, AB, **bounds)
    rows = stream(relation_of(source), {"accounts": source})
    with pytest.raises(type(error), match=error.message), rows.explained():
        pa.table(rows)
    with pytest.raises(type(error), match=error.message):
        stream(relation_of(source), {"accounts": source}).drain()


def test_a_failure_of_the_consumer_stays_its_own(csv_source: MakeSource) -> None:
    source = csv_source(b"a,b\n" + LINES, AB)
    with pytest.raises(ZeroDivisionError), stream(scan(source), {"accounts": source}).explained():
        _ = 1 // 0


def test_the_core_reads_a_stream_and_its_failure_can_be_told(csv_source: MakeSource) -> None:
    source = csv_source(b"a,b\n" + LINES + b"y,x\n", AB)
    rows = stream(scan(source), {"accounts": source})
    with pytest.raises(DataError, match="line 52"), rows.explained():
        _core.release_table(release_spec(), rows, "/nowhere", lambda *_: None)


def release_spec() -> bytes:
    return (
        b'{"node":0,"payload":[{"name":"a","type":"int64"},{"max_bytes":20,"name":"b","type":"text"}],'
        b'"plan_hash":"%s","recipients":[{"name":"desk","seal_key":"%s"}],"rows":100,"version":1}'
    ) % (b"00" * 32, _core.seal_public_key(bytes(32)).hex().encode())


def test_a_stream_can_be_consumed_piece_by_piece(csv_source: MakeSource) -> None:
    source = csv_source(b"a,b\n" + LINES, AB)
    reader = pa.RecordBatchReader.from_stream(stream(scan(source), {"accounts": source}, ["b", "a", "b"]))
    first = reader.read_next_batch()
    assert first.column("c0") == first.column("c2")
    assert first.column("c1").to_pylist() == list(range(len(first)))
    assert len(first) < 10
    assert len(first) + reader.read_all().num_rows == 50


def test_another_declaration_than_the_plans_is_refused(csv_source: MakeSource) -> None:
    source = csv_source(b"a,b\n", AB, rows=2)
    with pytest.raises(PlanError, match="another declaration"):
        stream(Scan(entry("accounts", AB, rows=3)), {"accounts": source})


def test_joins_and_appends_are_not_streamed(csv_source: MakeSource) -> None:
    source = csv_source(b"a,b\n", AB)
    renamed = Project(Scan(source.entry), (("c", "a"),))
    assert is_streamable(Filter(renamed, Compare(Comparison.GE, Column("c"), literal(0))))
    assert not is_streamable(Concat((renamed, renamed)))
    assert not is_streamable(Join(renamed, Scan(source.entry), (("c", "a"),)))
