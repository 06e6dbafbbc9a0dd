"""Byte formulas against hand-counted layouts, and against the core's own figures where it is built."""

import pytest

from xor.model.types import Field
from xor.plan.conditions import Conditions
from xor.plan.cost import costs, label_bytes, rounds, row_bytes, stream_bytes
from xor.plan.oprf import vole
from xor.plan.relations import JoinKind, Project, Relation, Scan
from xor.testing.samples import entry, placed
from xor.testing.three_banks import join

LEFT = Scan(entry("a", {"id": "int64", "s": "text(10)"}, rows=1000))
RIGHT = Scan(entry("b", {"ref": "int64", "d": "decimal(18,2)"}, player="player-1", rows=100))


def _streams(kind: JoinKind, *columns: str) -> tuple[int, ...]:
    joined: Relation = join(LEFT, RIGHT, ("id", "ref"), kind=kind)
    plan = placed(Project(joined, tuple((name, name) for name in columns)))
    return tuple(each.stream_bytes for part in plan.parts for each in costs(part))


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("bool", 1),
        ("date", 4),
        ("int64", 8),
        ("float64", 8),
        ("timestamp", 8),
        ("timestamp[Europe/Zurich]", 8),
        ("decimal(1,0)", 1),
        ("decimal(2,0)", 1),
        ("decimal(3,0)", 2),
        ("decimal(18,2)", 8),
        ("decimal(19,2)", 9),
        ("decimal(38,10)", 16),
        ("text(0)", 1),
        ("text(255)", 256),
        ("text(256)", 258),
        ("text(65535)", 65_537),
        ("text(65536)", 65_540),
    ],
)
def test_the_longest_value_of_each_type(type_name: str, expected: int) -> None:
    (field,) = entry("x", {"c": type_name}).schema
    assert row_bytes([field]) == 1 + expected


def test_the_null_bitmap_has_at_least_one_byte_and_a_bit_for_each_column() -> None:
    (field,) = entry("x", {"c": "bool"}).schema
    fields: list[Field] = [field]
    assert [row_bytes(fields * count) for count in (0, 1, 8, 9)] == [1, 2, 9, 11]


@pytest.mark.parametrize(
    ("cells", "openers", "expected"),
    [(1, 1, 5), (2**20, 2**20, 10), (2**24, 2**24, 11), (2**24, 1, 11), (2**12, 2**24 - 1, 10)],
)
def test_labels_grow_with_both_lists(cells: int, openers: int, expected: int) -> None:
    assert label_bytes(cells, openers) == expected


# Padded: 1024 rows left, 112 right. Rows: text(10) 1 + 1 + 10 = 12 bytes, decimal 1 + 8 = 9, none 1.
# Labels: left ceil((40 + 10 + 10) / 8) = 8 bytes; right the same with 112 openers ceil((40 + 7 + 7) / 8) = 7,
# with 1024 openers ceil((40 + 7 + 10) / 8) = 8. One chunk each: 16 bytes.
@pytest.mark.parametrize(
    ("kind", "columns", "expected"),
    [
        (JoinKind.INNER, ("s_0", "d_1"), (1024 * (8 + 16 + 2 + 12) + 16, 112 * 16 + 112 * (7 + 2 + 9) + 16)),
        (JoinKind.INNER, ("s_0",), (1024 * (8 + 16 + 2 + 12) + 16, 112 * 16 + 112 * (7 + 2 + 1) + 16)),
        (JoinKind.SEMI, ("s_0",), (1024 * (8 + 2 + 12) + 16, 112 * 16 + 16)),
        (JoinKind.LEFT, ("s_0", "d_1"), (1024 * 16 + 1024 * (8 + 1 + 12) + 16, 112 * (8 + 16 + 2 + 9) + 16)),
        (JoinKind.RIGHT, ("s_0", "d_1"), (1024 * (8 + 16 + 2 + 12) + 16, 112 * 16 + 112 * (7 + 1 + 9) + 16)),
        (JoinKind.OUTER, ("s_0", "d_1"), (1024 * (8 + 16 + 1 + 12) + 16, 112 * 16 + 112 * (7 + 1 + 9) + 16)),
    ],
)
def test_streams_have_the_size_of_the_layout(
    kind: JoinKind, columns: tuple[str, ...], expected: tuple[int, int]
) -> None:
    assert _streams(kind, *columns) == expected


def test_a_release_has_one_validity_byte_and_one_row_for_each_row_of_the_bound() -> None:
    (part,) = placed(LEFT).parts
    assert stream_bytes(part, 0) == 1024 * (1 + 1 + 8 + 11) + 16


def test_every_mebibyte_adds_a_tag() -> None:
    (part,) = placed(Scan(entry("x", {"c": "text(1020)"}, rows=4096))).parts
    plain = 4096 * (1 + 1 + 2 + 1020)
    assert stream_bytes(part, 0) == plain + 4 * 16


def test_players_send_hello_key_elements_and_proofs() -> None:
    (part,) = placed(join(LEFT, RIGHT, ("id", "ref")), conditions=Conditions(back_ends=("dh",))).parts
    left, right = costs(part)
    fixed = (4 + 76) + (4 + 32)
    assert left.sent_bytes == fixed + (4 + 32 * 1024) + (4 + 64 + 32 * 112)
    assert right.sent_bytes == fixed + (4 + 32 * 112) + (4 + 64 + 32 * 1024)


def test_elements_go_in_batches_of_two_to_the_fourteen() -> None:
    high = Scan(entry("a", {"id": "int64"}, rows=2**15))
    (part,) = placed(join(high, RIGHT, ("id", "ref")), conditions=Conditions(back_ends=("dh",))).parts
    left, _ = costs(part)
    assert left.sent_bytes == 80 + 36 + (2 * 4 + 32 * 2**15) + (4 + 64 + 32 * 112)


def test_with_vole_players_send_coins_correlations_and_a_masked_table() -> None:
    (part,) = placed(join(LEFT, RIGHT, ("id", "ref")), conditions=Conditions(back_ends=("vole",))).parts
    left, right = costs(part)
    coins = (4 + 96) + (4 + 64) + (4 + 64) + (4 + 32)
    # Both bounds are below 4096 keys, so both tables have 5405 slots and 3 dense columns: one frame.
    table = 4 + 16 * (5405 + 3)
    assert left.sent_bytes == right.sent_bytes == (4 + 76) + coins + sum(vole.cost(5408, 4, True)) + table
    assert rounds(part) == 1 + 8
