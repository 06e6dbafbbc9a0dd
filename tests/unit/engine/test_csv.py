"""Corrupt, lying and merely unusual CSV files."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from xor.engine.sources import Source, inspect, read
from xor.errors import DataError, SchemaError, UsageError

from .conftest import MakeSource, entry

SECRET = "9182736450"
AB = {"a": "text", "b": "int64"}


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"a,b\nx,1\nx,1,SECRET\n", "data.ragged-line", 3),
        (b"a,b\nx,1\nSECRET\n", "data.ragged-line", 3),
        (b"a,b\nx,1\n\nx,SECRET\n", "data.ragged-line", 3),
        (b"a,b\n,\n\n,\n", "data.ragged-line", 3),
        (b'a,b\nx,1\n"SECRET,1\nx,1\n', "data.bad-quoting", 3),
        (b'a,b\nSECRET"x",1\n', "data.bad-quoting", 2),
        (b'a,b\n"SECRET"x,1\n', "data.bad-quoting", 2),
        (b'a,b\n"SECRET" ,1\n', "data.bad-quoting", 2),
        (b"a,b\nSECRET,1\rx,1\n", "data.line-end", 2),
        (b"a,b\nx,1\nSECRET\xff,1\n", "data.not-utf8", 3),
        (b"a,b\nSECRET\xed\xa0\x80,1\n", "data.not-utf8", 2),
        (b"\xff\xfea\x00,\x00b\x00", "data.not-utf8", 1),
        (b"a,b\nx,1\nx,SECRETx\n", "data.value-type", 3),
        (b'a,b\n"two\nlines",1\nx,1.5\n', "data.value-type", 4),
        (b"a,b\nx, 1\n", "data.value-type", 2),
        (b"a,b\nx,9223372036854775808\n", "data.value-type", 2),
        (b"a,b\nx,0x10\n", "data.value-type", 2),
        (b'a,b\nx,""\n', "data.value-type", 2),
    ],
)
def test_a_broken_file_is_refused_with_file_and_line(
    csv_source: MakeSource, content: bytes, code: str, line: int
) -> None:
    with pytest.raises(DataError) as refusal:
        read(csv_source(content.replace(b"SECRET", SECRET.encode()), AB))
    assert refusal.value.code == code
    assert f"'accounts.csv', line {line}:" in refusal.value.message
    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("decimal(4,2)", "1.005"),
        ("decimal(4,2)", "100.00"),
        ("decimal(4,2)", "1e1"),
        ("decimal(38,0)", "9" * 39),
        ("decimal(38,37)", "1191"),
        ("float64", "1e999"),
        ("float64", "0x1p3"),
        ("bool", "yes"),
        ("date", "2022-02-30"),
        ("date", "01/04/2022"),
        ("date", "0000-01-01"),
        ("timestamp", "2022-04-01 00:00:00.1234567"),
        ("timestamp", "2022-04-01 00:00:00Z"),
        ("timestamp", "2022-04-01 24:00:00"),
        ("timestamp[UTC]", "9999-12-31 23:00:00-02:00"),
        ("timestamp[Europe/Zurich]", "2022-03-27 02:30:00"),
        ("timestamp[Europe/Zurich]", "2022-10-30 02:30:00"),
        ("timestamp[Europe/Zurich]", "2050-03-27 02:30:00"),
    ],
)
def test_a_value_that_does_not_fit_is_never_rounded(csv_source: MakeSource, type_: str, text: str) -> None:
    with pytest.raises(DataError, match=f"line 2: a value of column 'v' is no {type_[:4]}") as refusal:
        read(csv_source(f"v\n{text}\n".encode(), {"v": type_}))
    assert text not in str(refusal.value)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("decimal(4,2)", "1.500", Decimal("1.50")),
        ("decimal(4,2)", "-.5", Decimal("-0.50")),
        ("int64", "-0007", -7),
        ("bool", "TRUE", True),
        ("bool", "0", False),
        ("text", '""', ""),
        ("text", "02139", "02139"),
        ("text", "NULL", "NULL"),
        ("text", " x ", " x "),
        ("text", '"a ""b"", c\r\n"', 'a "b", c\r\n'),
        ("timestamp", "2022-04-01T00:02:03.5", dt.datetime(2022, 4, 1, 0, 2, 3, 500_000)),
        ("timestamp[UTC]", "2022-04-01 00:02:03", dt.datetime(2022, 4, 1, 0, 2, 3, tzinfo=dt.UTC)),
        ("timestamp[UTC]", "2022-04-01 00:02:03-0930", dt.datetime(2022, 4, 1, 9, 32, 3, tzinfo=dt.UTC)),
        ("timestamp[Europe/Zurich]", "2022-04-01 02:00", dt.datetime(2022, 4, 1, tzinfo=dt.UTC)),
        ("timestamp[Europe/Zurich]", "2050-07-01 02:00", dt.datetime(2050, 7, 1, tzinfo=dt.UTC)),
    ],
)
def test_values_keep_their_exact_type(csv_source: MakeSource, type_: str, text: str, value: object) -> None:
    found = read(csv_source(f"k,v\n1,{text}\n2,\n".encode(), {"k": "int64", "v": type_}))
    assert found.column("v").to_pylist() == [value, None]


def test_an_offset_and_a_local_time_may_stand_in_one_column(csv_source: MakeSource) -> None:
    found = read(
        csv_source(b"v\n2022-04-01 02:00\n2022-04-01T00:00:00Z\n", {"v": "timestamp[Europe/Zurich]"})
    )
    first, second = found.column("v").to_pylist()
    assert first == second


def test_an_unknown_time_zone_is_named(csv_source: MakeSource) -> None:
    with pytest.raises(DataError, match="Mars/Olympus") as refusal:
        read(csv_source(b"v\n2022-04-01 02:00:00\n", {"v": "timestamp[Mars/Olympus]"}))
    assert refusal.value.code == "data.unknown-zone"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file 'gone\.csv'") as refusal:
        read(Source(entry("accounts", AB), tmp_path / "gone.csv", "csv"))
    assert refusal.value.code == "data.missing-file"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(Source(entry("accounts", AB), tmp_path, "csv"))


@pytest.mark.parametrize("content", [b"b,a\nx,1\n", b"a\n", b"a,b,c\n", b"A,b\n", b" a,b\n", b"x,1\n"])
def test_another_header_than_the_declared_one_is_refused(csv_source: MakeSource, content: bytes) -> None:
    with pytest.raises(DataError, match="does not have the columns declared for 'accounts'") as refusal:
        read(csv_source(content, AB))
    assert refusal.value.code == "data.header-mismatch"


def test_an_empty_file_has_no_header(csv_source: MakeSource) -> None:
    with pytest.raises(DataError, match="is empty") as refusal:
        read(csv_source(b"", AB))
    assert refusal.value.code == "data.header-mismatch"


def test_a_column_name_that_appears_twice_is_named(csv_source: MakeSource) -> None:
    with pytest.raises(DataError, match="names a column twice: 'a'") as refusal:
        read(csv_source(b"a,b,a\n", AB))
    assert refusal.value.code == "data.duplicate-column"


def test_a_column_without_a_name_is_refused(csv_source: MakeSource) -> None:
    with pytest.raises(DataError) as refusal:
        inspect(csv_source(b"a,,b\n1,2,3\n", AB).path)
    assert refusal.value.code == "data.unnamed-column"


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b\r\n", b'"a","b"\n'])
def test_an_empty_table_is_a_table(csv_source: MakeSource, content: bytes) -> None:
    found = read(csv_source(content, AB))
    assert found.num_rows == 0
    assert found.column_names == ["a", "b"]


@pytest.mark.parametrize(("content", "rows"), [(b"", 0), (b"x,1\n", 1), (b"\xef\xbb\xbfx,1\nx,2", 2)])
def test_a_file_without_header_takes_given_names(csv_source: MakeSource, content: bytes, rows: int) -> None:
    found = read(csv_source(content, AB, header=("a", "b")))
    assert found.column("a").to_pylist() == ["x"] * rows


def test_names_are_data_and_not_code(csv_source: MakeSource) -> None:
    names = ['a"; DROP TABLE t0; --', "../../etc/passwd", "$(reboot)", "*", "line\nbreak", "naïve"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    found = read(csv_source(f"{header}\n1,2,3,4,5,6\n".encode(), dict.fromkeys(names, "int64")))
    assert found.column_names == names


def test_the_path_is_no_pattern(csv_source: MakeSource, tmp_path: Path) -> None:
    source = csv_source(b"a,b\nx,1\n", AB)
    odd = tmp_path / "*' [a]?.csv"
    odd.write_bytes(b"a,b\ny,2\n")
    assert read(replace(source, path=odd)).column("a").to_pylist() == ["y"]


def test_a_line_longer_than_a_block_is_read(csv_source: MakeSource) -> None:
    long = "x" * (5 * 2**20)
    found = read(csv_source(f'a,b\ny,1\n"{long}\n",2\ny,3\n'.encode(), AB))
    assert [len(text) for text in found.column("a").to_pylist()] == [1, len(long) + 1, 1]


def test_a_large_file_is_read_in_pieces_and_in_order(csv_source: MakeSource) -> None:
    lines = [f'{number},"a, ""b""\n{number}"\r\n' for number in range(300_000)]
    found = read(csv_source(("n,t\r\n" + "".join(lines)).encode(), {"n": "int64", "t": "text"}))
    assert found.column("n").num_chunks > 2
    assert found.column("n").to_pylist() == list(range(300_000))
    assert found.column("t")[299_999].as_py() == 'a, "b"\n299999'


def test_the_line_is_right_in_a_large_file(csv_source: MakeSource) -> None:
    lines = ['"a, ""b"""\r\n'] * 400_000 + ["x,y\r\n"]
    with pytest.raises(DataError, match="line 400002: it has 2 fields instead of 1"):
        read(csv_source(("a\r\n" + "".join(lines)).encode(), {"a": "text"}))


def test_inspection_counts_and_infers(csv_source: MakeSource) -> None:
    content = (
        "account,zip,amount,day,note\n"
        "YY_1,02139,1.50,2022-04-01,é\n"
        "YY_2,V6B 1S3,,2022-04-02,\n"
        ",10001,2.25,,é\n"
    )
    found = inspect(csv_source(content.encode(), AB).path)
    assert [(column.name, column.type, column.max_bytes) for column in found.columns] == [
        ("account", "text", 4),
        ("zip", "text", 7),
        ("amount", "decimal(18,2)", None),
        ("day", "date", None),
        ("note", "text", 2),
    ]
    assert found.rows == 3
    assert found.unique == ("account", "zip", "amount", "day")


def test_inspection_takes_given_types(csv_source: MakeSource) -> None:
    source = csv_source(b"v,w\n1,2\n", AB)
    found = inspect(source.path, types={"v": "decimal(10,3)", "w": "float64"})
    assert [column.type for column in found.columns] == ["decimal(10,3)", "float64"]
    assert found.unique == ("v",)
    with pytest.raises(SchemaError, match="no column 'x'"):
        inspect(source.path, types={"x": "text"})
    with pytest.raises(SchemaError, match="'money' is not a type"):
        inspect(source.path, types={"v": "money"})
    with pytest.raises(DataError, match="line 2: a value of column 'v' is no date"):
        inspect(source.path, types={"v": "date"})


def test_values_that_a_join_would_match_are_not_unique(csv_source: MakeSource) -> None:
    found = inspect(csv_source("v\né\ne\N{COMBINING ACUTE ACCENT}\n".encode(), AB).path)
    assert found.unique == ()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither in \.csv nor in \.parquet"):
        inspect(tmp_path / "accounts.xlsx")
