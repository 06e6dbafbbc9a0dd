"""Limits of a plan: whoever signs one cannot exhaust those who only read and judge it."""

import pytest

from xor.errors import PlanError
from xor.plan.codec import decode_plan, encode_plan
from xor.plan.limits import MAX_ALL_COLUMNS, MAX_COMPARED, MAX_DATASETS, MAX_KEYS, MAX_TOLD
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.testing.samples import entry, placed


def _table(name: str, columns: int = 1) -> Scan:
    return Scan(entry(name, {f"c{each}": "int64" for each in range(columns)}, rows=1))


def _refused(relation: Relation, *recipients: str) -> bool:
    try:
        decode_plan(encode_plan(placed(relation, *recipients)))
    except PlanError as error:
        return error.code == "plan.too-large"
    return False


@pytest.mark.parametrize("extra", [0, 1])
def test_keys_of_a_local_join_are_bounded(extra: int) -> None:
    keys = tuple((f"l{each}", f"r{each}") for each in range(MAX_KEYS + extra))
    left = Project(_table("left"), tuple((name, "c0") for name, _ in keys))
    right = Project(_table("right"), tuple((name, "c0") for _, name in keys))
    assert _refused(Join(left, right, keys)) is bool(extra)


@pytest.mark.parametrize("extra", [0, 1])
def test_datasets_are_bounded(extra: int) -> None:
    tables = tuple(_table(f"t{each}") for each in range(MAX_DATASETS + extra))
    assert _refused(Concat(tables)) is bool(extra)


@pytest.mark.parametrize("extra", [0, 1])
def test_columns_of_all_steps_are_bounded(extra: int) -> None:
    width = 1024
    tables = MAX_ALL_COLUMNS // width - 1
    relation = Concat(tuple(_table("wide", width) for _ in range(tables + extra)))
    assert _refused(relation) is bool(extra)


@pytest.mark.parametrize("extra", [0, 1])
def test_compared_pairs_of_datasets_are_bounded(extra: int) -> None:
    """Concats trace a key to many datasets; each of one side is compared with each of the other."""
    count = MAX_COMPARED // (32 * 32) + extra
    tables = [_table(f"t{each}", count) for each in range(64)]
    keys = tuple((f"l{each}", f"r{each}") for each in range(count))
    left = Project(Concat(tuple(tables[:32])), tuple((one, f"c{each}") for each, (one, _) in enumerate(keys)))
    right = Project(
        Concat(tuple(tables[32:])), tuple((other, f"c{each}") for each, (_, other) in enumerate(keys))
    )
    assert _refused(Join(left, right, keys, JoinKind.SEMI)) is bool(extra)


@pytest.mark.parametrize("extra", [0, 1])
def test_what_is_told_to_all_recipients_is_bounded(extra: int) -> None:
    parts = MAX_TOLD // 64 + extra
    tables = [
        Scan(entry(f"t{each}", {"a": "int64"}, rows=1, player=f"player-{each % 2}")) for each in range(parts)
    ]
    recipients = [f"analyst-{each}" for each in range(64)]
    assert _refused(Concat(tuple(tables)), *recipients) is bool(extra)
