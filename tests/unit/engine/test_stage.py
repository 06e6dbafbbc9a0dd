"""What a player brings to a part of a plan: keys first, then payload, in the order of the spec."""

import pyarrow as pa

from xor.engine.stage import side_columns, side_table
from xor.plan.placed import Part, Plaintext, Sealed, opener_of
from xor.plan.relations import Join, JoinKind, Project, Scan

from .conftest import MakeSource

COLUMNS = {"account": "text", "branch": "int64", "name": "text"}


def part(csv_source: MakeSource, kind: JoinKind = JoinKind.INNER) -> tuple[Part, dict[str, object]]:
    content = b"account,branch,name\nx,1,Ann\ny,2,Bob\n"
    sources = {name: csv_source(content, COLUMNS, name=name) for name in ("left", "right")}
    sides = [
        Project(Scan(source.entry), tuple((f"{column}_{index}", column) for column in COLUMNS))
        for index, source in enumerate(sources.values())
    ]
    keys = (("branch_0", "branch_1"), ("account_0", "account_1"))
    output = ("name_1", "branch_0", "account_1") if kind.keeps_right_columns else ("name_0", "account_0")
    join = Join(*sides, keys, kind, output)
    return Part(4, join, Sealed(("player-0", "player-1"), opener_of(join), "dh")), dict(sources)


def test_keys_stand_before_the_payload(csv_source: MakeSource) -> None:
    joined, sources = part(csv_source)
    assert side_columns(joined, 0) == ("branch_0", "account_0", "branch_0")
    assert side_columns(joined, 1) == ("branch_1", "account_1", "name_1", "account_1")
    table = pa.table(side_table(joined, 1, sources)).sort_by("c0")
    assert table.column_names == ["c0", "c1", "c2", "c3"]
    assert table.to_pylist()[0] == {"c0": 1, "c1": "x", "c2": "Ann", "c3": "x"}


def test_the_side_that_a_semi_join_drops_brings_keys_only(csv_source: MakeSource) -> None:
    joined, _ = part(csv_source, JoinKind.SEMI)
    assert side_columns(joined, 0) == ("branch_0", "account_0", "name_0", "account_0")
    assert side_columns(joined, 1) == ("branch_1", "account_1")


def test_a_release_brings_all_columns(csv_source: MakeSource) -> None:
    source = csv_source(b"account,branch,name\nx,1,Ann\n", COLUMNS)
    released = Part(0, Scan(source.entry), Plaintext("player-0"))
    assert side_columns(released, 0) == tuple(COLUMNS)
    assert side_table(released, 0, {"accounts": source}).rows == 1
