"""The fast way through a CSV file against the slow one: the same values, or a refusal by both."""

import datetime as dt
import math
import re
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xor.engine.sources import csv, inspection, records, values
from xor.errors import DataError
from xor.model.types import TEXT, DataType, Kind

PIECES = [
    b"a",
    b"1",
    b"\xc3\xa9",
    b",",
    b",",
    b'"',
    b'"',
    b'""',
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\0",
    b"\xff",
]
CONTENTS = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@examples(400)
@given(CONTENTS, st.integers(1, 3), st.sampled_from([3, 8, 2**20]))
@example(b"", 2, 8)
@example(b"\n", 1, 8)
@example(b"a,a\n\na,a\n", 2, 8)
@example(b",\r\n\r\n,\r\n", 2, 3)
@example(b'"\r",a\n', 2, 3)
@example(b'a,"', 2, 3)
@example(b'"",', 2, 8)
def test_structure_is_judged_alike_by_both_ways(content: bytes, width: int, block: int) -> None:
    """Small blocks put every quote and line end on a border of some block."""
    names = tuple(f"n{index}" for index in range(width))
    expected = records.explain(content, 0, 1, "x.csv", [(name, TEXT) for name in names])
    with patch.object(csv, "_BLOCK_BYTES", block):
        if expected is not None:
            with pytest.raises(DataError, match=re.escape(expected.message)) as refusal:
                read_texts(content, names)
            assert refusal.value.code == expected.code
            return
        found = read_texts(content, names)
    assert found == [
        tuple(None if field is None else field.decode() for field in record.fields)
        for record in records.records(content, 0, 1, "x.csv")
    ]


def read_texts(content: bytes, names: tuple[str, ...]) -> list[tuple[str | None, ...]]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x.csv"
        path.write_bytes(content)
        with csv.texts(path, names) as found:
            return list(zip(*(column.to_pylist() for column in found.columns.columns), strict=True))


TYPES = (
    "bool", "int64", "decimal(1,0)", "decimal(4,2)", "decimal(18,2)", "decimal(38,0)", "decimal(38,37)",
    "float64", "date", "timestamp", "timestamp[UTC]", "timestamp[Europe/Zurich]",
    "timestamp[America/New_York]",
)  # fmt: skip
NUMBER_PIECES = (
    "0", "00", "1", "5", "9" * 17, "9" * 37, "-", "+", ".", "e", "E9", "e999", "x", "_", " ", "nan", "inf",
)  # fmt: skip
TIME_PIECES = (
    "2022-04-01", "2022-03-27", "2022-10-30", "0000-01-01", "0001-01-01", "9999-12-31", "2022-02-30",
    "2022-4-1", "2050-07-01", "2050-03-27", " ", "T", "00", "02:30", "02:30:00", "23:59:59", "24:00:00",
    "23:59:60", ".1", ".123456", ".1234567", ".", "Z", "+02", "+02:00", "-0930", "+24:00", "-09:60", "+2",
    "true", "FALSE", "yes", "infinity",
)  # fmt: skip
VALUES = (
    st.lists(st.sampled_from(NUMBER_PIECES), max_size=4).map("".join)
    | st.lists(st.sampled_from(TIME_PIECES), max_size=4).map("".join)
    | st.builds(lambda day, time, offset: f"{day} {time}{offset}", *[st.sampled_from(TIME_PIECES)] * 3)
    | st.integers(-(2**64), 2**64).map(str)
    | st.decimals(allow_nan=False, allow_infinity=False, places=2).map(lambda number: format(number, "f"))
    | st.datetimes().map(str)
)


@examples(800)
@given(VALUES, st.sampled_from(TYPES))
@example("9" * 39, "decimal(38,0)")
@example("0x1F", "int64")
@example("1e3", "decimal(18,2)")
@example("1.005", "decimal(18,2)")
@example("9223372036854775808", "int64")
@example("2022-03-27 02:30", "timestamp[Europe/Zurich]")
@example("9999-12-31 23:59:59Z", "timestamp[Europe/Zurich]")
@example("9999-12-31 23:59:59", "timestamp[Europe/Zurich]")
@example("0001-01-01 00:00Z", "timestamp[America/New_York]")
@example("2022-10-30 02:30", "timestamp[Europe/Zurich]")
def test_values_are_judged_alike_by_both_ways(text: str, type_text: str) -> None:
    type_ = DataType.parse(type_text)
    column = pa.chunked_array([pa.array(["", text, None], pa.string()).slice(1)])
    try:
        found = values.typed(column, type_).to_pylist()
    except values.DoesNotFit:
        assert not values.fits(text, type_)
        return
    assert values.fits(text, type_)
    assert found[1] is None
    assert same(found[0], parsed(text, type_))


def parsed(text: str, type_: DataType) -> Any:
    """What Python reads from the text."""
    match type_.kind:
        case Kind.BOOL:
            return text.lower() in ("true", "1")
        case Kind.INT64:
            return int(text)
        case Kind.DECIMAL:
            return Decimal(text)
        case Kind.FLOAT64:
            return float(text)
        case Kind.DATE:
            return dt.date.fromisoformat(text)
        case _:
            time = dt.datetime.fromisoformat(text)
            return time.replace(tzinfo=ZoneInfo(type_.zone)) if type_.zone and not time.tzinfo else time


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    return bool(type(found) is type(expected) and found == expected)


@examples(400)
@given(st.lists(VALUES | st.just("02139") | st.just("-0.00") | st.none(), min_size=1, max_size=3))
@example(["1.5", "2.25"])
@example(["0.10", "-0.00"])
@example(["true", "True"])
@example(["2022-04-01 00:00:00", "2022-04-01T00:00:00"])
@example([None, None])
def test_an_inferred_type_prints_every_value_back(texts: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())])
    type_ = inspection.infer(column)
    printed = [None if value is None else shown(value) for value in values.typed(column, type_).to_pylist()]
    assert printed == texts
    assert type_.kind is not Kind.FLOAT64


def shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dt.datetime():
            text = value.isoformat(" ")
            return text.rstrip("0") if "." in text else text
        case Decimal():
            return format(value, "f")
    return str(value)


@pytest.mark.parametrize(
    ("texts", "type_"),
    [
        (["0", "1"], "int64"),
        (["02139", "10001"], "text"),
        (["V6B 1S3"], "text"),
        (["1032.87", None], "decimal(18,2)"),
        (["12345678901234567.89"], "decimal(38,2)"),
        (["1e5"], "text"),
        (["2022-04-01 00:02:03"], "timestamp"),
        (["2022-04-01"], "date"),
        (["2022-04-31"], "text"),
        (["true", "false"], "bool"),
        (["9223372036854775807"], "int64"),
        (["9223372036854775808"], "text"),
        (["", "1"], "text"),
        ([None], "text"),
        ([], "text"),
    ],
)
def test_types_are_inferred_as_an_owner_expects(texts: list[str | None], type_: str) -> None:
    assert str(inspection.infer(pa.chunked_array([pa.array(texts, pa.string())]))) == type_
