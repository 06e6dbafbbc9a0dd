"""What `explain()` predicts is what the core sends: bytes and rounds, to the byte."""

from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest

from xor import _core
from xor.engine.arrow import arrow_type
from xor.engine.local import Table
from xor.engine.stage import side_columns
from xor.model.agreement import Agreement
from xor.plan.conditions import Conditions
from xor.plan.cost import costs, rounds, stream_bytes
from xor.plan.oprf.exchange import BACK_ENDS, Oprf
from xor.plan.placed import Exchange, Part, PlacedPlan
from xor.plan.predicates import Column, Compare, Comparison
from xor.plan.relations import Filter, Join, JoinKind, Project, Relation, Scan
from xor.plan.spec import spec
from xor.testing.matched import run_matched
from xor.testing.samples import entry, placed
from xor.testing.three_banks import agreement, join

HASH = "c" * 64
LEFT = {"id": "int64", "s": "text(300)", "m": "decimal(38,4)", "f": "bool", "when": "timestamp[UTC]"}
RIGHT = {"ref": "int64", "d": "date", "x": "float64"}
KINDS = [kind for kind in JoinKind if kind is not JoinKind.ANTI]
COLUMNS = [("s_0", "m_0", "d_1", "x_1"), ("f_0",), ("d_1", "when_0", "id_0", "ref_1"), ("x_1",)]
BOUNDS = [(1, 1), (300, 20), (20, 300)]


def _agreement() -> Agreement:
    key = _core.seal_public_key(bytes(32)).hex()
    members = tuple(each.model_copy(update={"seal_key": key}) for each in agreement().analysts)
    return agreement().model_copy(update={"analysts": members})


def _joined(
    kind: JoinKind, columns: tuple[str, ...], rows: tuple[int, int], oprf: Oprf
) -> tuple[PlacedPlan, Part]:
    sides = (
        Scan(entry("a", LEFT, rows=rows[0])),
        Scan(entry("b", RIGHT, player="player-1", rows=rows[1])),
    )
    relation: Relation = join(*sides, ("id", "ref"), kind=kind)
    chosen = Conditions(back_ends=(oprf,))
    plan = placed(Project(relation, tuple((name, name) for name in columns)), conditions=chosen)
    return plan, plan.parts[0]


def _empty(part: Part, side: int) -> pa.Table:
    """A side's table without rows: sizes follow from bounds alone."""
    relation = part.relation
    key = ("id_0", "ref_1")[side]
    kinds = {
        "int64": pa.int64(), "text": pa.string(), "decimal(38,4)": pa.decimal128(38, 4), "bool": pa.bool_(),
        "timestamp[UTC]": pa.timestamp("us", "UTC"), "date": pa.date32(), "float64": pa.float64(),
    }  # fmt: skip
    payload = [name for name in relation.schema.names if name.endswith(f"_{side}")]
    fields = [relation.inputs[side].schema[name] for name in (key, *payload)]
    arrays = [pa.array([], kinds[str(each.type)]) for each in fields]
    return pa.Table.from_arrays(arrays, [f"c{number}" for number in range(len(arrays))])


@pytest.mark.parametrize("oprf", BACK_ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sealed_join_sends_what_was_predicted(kind: JoinKind, oprf: Oprf) -> None:
    for columns, rows in product(COLUMNS, BOUNDS):
        if kind is JoinKind.SEMI and not all(name.endswith("_0") for name in columns):
            continue
        plan, part = _joined(kind, columns, rows, oprf)
        tables = (_empty(part, 0), _empty(part, 1))
        _, transcript = _core.run_locally(spec(plan, HASH, part, _agreement()), tables, oprf)
        predicted = costs(part)
        assert transcript["stream_bytes"] == [each.stream_bytes for each in predicted]
        assert transcript["sent_bytes"] == [each.sent_bytes for each in predicted]
        assert transcript["rounds"] == [rounds(part)] * 2


@pytest.mark.parametrize("oprf", BACK_ENDS)
@pytest.mark.parametrize("kind", [JoinKind.INNER, JoinKind.ANTI])
def test_a_matched_join_sends_what_was_predicted(kind: JoinKind, oprf: Oprf) -> None:
    for rows in [*BOUNDS, (70_000, 9), (9, 70_000)]:
        left = Scan(entry("a", LEFT, rows=rows[0]))
        right = Scan(entry("b", RIGHT, player="player-1", rows=rows[1], unique=[["ref"]]))
        joined = Join(left, right, (("id", "ref"),), kind)
        relation = (
            Filter(joined, Compare(Comparison.LT, Column("id"), Column("ref")))
            if kind is JoinKind.INNER
            else joined
        )
        plan = placed(relation, conditions=Conditions(back_ends=(oprf,)), permits=lambda _: True)
        (exchange,) = plan.exchanges
        sides = tuple(Table(_without_rows(exchange, side)) for side in (0, 1))
        # It compares bytes and rounds with what was predicted.
        run_matched(plan, exchange, sides, oprf)


def _without_rows(exchange: Exchange, side: int) -> pa.Table:
    schema = exchange.source(side).schema
    types = [arrow_type(schema[name].type) for name in side_columns(exchange, side)]
    return pa.schema([(f"c{number}", each) for number, each in enumerate(types)]).empty_table()


@pytest.mark.parametrize("rows", [1, 300, 5000])
def test_a_release_has_the_size_that_was_predicted(rows: int, tmp_path: Path) -> None:
    plan = placed(Scan(entry("b", RIGHT, rows=rows)))
    (part,) = plan.parts
    table = pa.table({"c0": pa.array([1]), "c1": pa.array([None], pa.date32()), "c2": pa.array([0.5])})
    parameters = spec(plan, HASH, part, _agreement())
    report = _core.release_table(parameters, table, str(tmp_path / "stream"), lambda *_: None)
    assert report["bytes"] == stream_bytes(part, 0)
    assert (tmp_path / "stream").stat().st_size == report["bytes"]
