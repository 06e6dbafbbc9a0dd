"""Parquet files: exact types, or a refusal by name."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from xor.engine.sources import Source, inspect, read
from xor.errors import DataError

from .conftest import entry


def source(
    tmp_path: Path, columns: dict[str, str], arrays: list[Any], names: list[str] | None = None
) -> Source:
    path = tmp_path / "accounts.parquet"
    pyarrow.parquet.write_table(pa.table(arrays, names=names or list(columns)), path)
    return Source(entry("accounts", columns), path, "parquet")


@pytest.mark.parametrize(
    ("array", "type_", "value"),
    [
        (pa.array([3], pa.int8()), "int64", 3),
        (pa.array([2**32 - 1], pa.uint32()), "int64", 2**32 - 1),
        (pa.array([1.5], pa.float32()), "float64", 1.5),
        (pa.array([Decimal("1.50")], pa.decimal128(5, 2)), "decimal(18,2)", Decimal("1.50")),
        (pa.array(["é"], pa.large_string()), "text", "é"),
        (pa.array(["é"]).dictionary_encode(), "text", "é"),
        (pa.array([True]), "bool", True),
        (pa.array([dt.date(2022, 4, 1)]), "date", dt.date(2022, 4, 1)),
        (pa.array([1], pa.timestamp("ms")), "timestamp", dt.datetime(1970, 1, 1, 0, 0, 0, 1000)),
        (
            pa.array([1], pa.timestamp("us", "Asia/Tokyo")),
            "timestamp[UTC]",
            dt.datetime(1970, 1, 1, 0, 0, 0, 1, dt.UTC),
        ),
    ],
)
def test_types_are_carried_exactly(tmp_path: Path, array: Any, type_: str, value: object) -> None:
    found = read(source(tmp_path, {"v": type_}, [array]))
    assert found.column("v").to_pylist() == [value]


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (pa.array([1], pa.uint64()), "uint64"),
        (pa.array([1], pa.timestamp("ns")), r"timestamp\[ns\]"),
        (pa.array([b"x"]), "binary"),
        (pa.array([[1]]), "list<"),
        (pa.array([{"a": 1}]), "struct<"),
        (pa.array([dt.time(1)]), "time64"),
        (pa.array([None]), "null"),
        (pa.array([Decimal(1)], pa.decimal256(50, 0)), "decimal256"),
    ],
)
def test_other_types_are_refused_by_name(tmp_path: Path, array: Any, name: str) -> None:
    with pytest.raises(DataError, match=f"column 'v' has the Parquet type {name}") as refusal:
        inspect(source(tmp_path, {"v": "text"}, [array]).path)
    assert refusal.value.code == "data.unsupported-type"


@pytest.mark.parametrize(
    ("array", "declared"),
    [
        (pa.array([1]), "decimal(18,0)"),
        (pa.array([Decimal("1.50")], pa.decimal128(18, 2)), "decimal(5,2)"),
        (pa.array([Decimal("1.50")], pa.decimal128(5, 2)), "decimal(18,3)"),
        (pa.array([1.5]), "decimal(18,2)"),
        (pa.array([1], pa.timestamp("us")), "timestamp[UTC]"),
        (pa.array([1], pa.timestamp("us", "UTC")), "timestamp"),
        (pa.array(["1"]), "int64"),
    ],
)
def test_a_declared_type_that_the_file_does_not_have_is_refused(
    tmp_path: Path, array: Any, declared: str
) -> None:
    with pytest.raises(DataError, match=r"column 'v' holds .*, declared is") as refusal:
        read(source(tmp_path, {"v": declared}, [array]))
    assert refusal.value.code == "data.type-mismatch"


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    wrong = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    with pytest.raises(DataError, match="a value of column 'v' is no text") as refusal:
        read(source(tmp_path, {"v": "text"}, [wrong]))
    assert refusal.value.code == "data.value-type"


def test_dates_beyond_year_9999_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a value of column 'v' is no date"):
        read(source(tmp_path, {"v": "date"}, [pa.array([2**31 - 1], pa.int32()).cast(pa.date32())]))


def test_duplicate_names_and_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names a column twice: 'v'"):
        read(source(tmp_path, {"v": "int64"}, [pa.array([1]), pa.array([1])], ["v", "v"]))
    with pytest.raises(DataError, match="does not have the columns declared"):
        read(source(tmp_path, {"v": "int64"}, [pa.array([1])], ["w"]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "accounts.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no Parquet file") as refusal:
        read(Source(entry("accounts", {"v": "int64"}), path, "parquet"))
    assert refusal.value.code == "data.unreadable"


def test_inspection_maps_types(tmp_path: Path) -> None:
    arrays = [pa.array([1, 1]), pa.array(["é", None]), pa.array([1, 2], pa.timestamp("us", "UTC"))]
    found = inspect(source(tmp_path, {"a": "int64", "b": "text", "c": "timestamp[UTC]"}, arrays).path)
    assert [(column.type, column.max_bytes) for column in found.columns] == [
        ("int64", None),
        ("text", 2),
        ("timestamp[UTC]", None),
    ]
    assert (found.rows, found.unique) == (2, ("b", "c"))
