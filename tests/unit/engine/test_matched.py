"""A matched join at its receiver: what is built on it, and what a cheating sender does not achieve."""

import pyarrow as pa
import pytest

from xor.engine import local
from xor.engine.arrived import Arrived
from xor.engine.arrow import arrow_type
from xor.engine.matched import joined, over
from xor.engine.stage import side_table
from xor.plan.codec import decode_plan, encode_plan
from xor.plan.placed import Exchange, Matched
from xor.plan.predicates import Column, IsNull, Not, Or
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.testing.matched import run_matched
from xor.testing.oracle import Value, evaluate
from xor.testing.samples import entry, placed


def rows_in(table: pa.Table) -> list[tuple[Value, ...]]:
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=repr)


HERE = Scan(entry("here", {"id": "int64", "x": "text(8)"}, rows=9))
THERE = Scan(entry("there", {"ref": "int64", "y": "text(8)"}, player="player-1", rows=9, unique=[["y"]]))
ROWS = {
    "here": [{"id": each, "x": text} for each, text in [(1, "a"), (1, "b"), (2, "c"), (None, "d")]],
    "there": [{"ref": each, "y": text} for each, text in [(1, "k"), (3, "l"), (1, None), (None, "m")]],
}


def _dataset(scan: Scan) -> local.Dataset:
    types = pa.schema([(each.name, arrow_type(each.type)) for each in scan.schema])
    return local.Dataset(scan.dataset, pa.Table.from_pylist(ROWS[scan.dataset.name], types))


IN_MEMORY = {scan.dataset.name: _dataset(scan) for scan in (HERE, THERE)}


def _run(relation: Relation) -> list[tuple[Value, ...]]:
    """The whole plan: exchanges in order, then what is released."""
    plan = decode_plan(encode_plan(placed(relation, permits=lambda _: True)))
    arrived: dict[int, Arrived] = {}
    for exchange in plan.exchanges:
        brought = tuple(
            side_table(exchange, side, IN_MEMORY, source=over(plan, plan.source_of(exchange, side), arrived))
            for side in (0, 1)
        )
        arrived[exchange.node] = run_matched(plan, exchange, brought, "ideal")
    (part,) = plan.parts
    source = over(plan, plan.source_of(part, 0), arrived)
    assert not arrived
    table = side_table(part, 0, IN_MEMORY, source=source).arrow
    return rows_in(table)


@pytest.mark.parametrize(
    "relation",
    [
        Filter(Join(HERE, THERE, (("id", "ref"),), JoinKind.LEFT), IsNull(Column("y"))),
        Join(HERE, THERE, (("id", "ref"),), JoinKind.ANTI),
        Project(
            Filter(Join(HERE, THERE, (("id", "ref"),)), Or(Not(IsNull(Column("y"))), IsNull(Column("x")))),
            (("z", "x"), ("y", "y")),
        ),
        Join(
            Project(Join(HERE, THERE, (("id", "ref"),)), (("number", "ref"), ("text", "y"))),
            HERE,
            (("number", "id"),),
        ),
        Filter(Concat((Join(HERE, THERE, (("id", "ref"),), JoinKind.ANTI),) * 2), IsNull(Column("id"))),
    ],
)
def test_what_is_above_a_matched_join_runs_over_what_has_arrived(relation: Relation) -> None:
    assert _run(relation) == sorted(evaluate(relation, ROWS), key=repr)


def test_what_a_sender_declares_unique_is_so_even_if_it_cheats() -> None:
    """Bounds of later joins follow from it: an error there would tell the sender that both keys matched."""
    once = Scan(entry("here", {"id": "int64"}, rows=9, unique=[["id"]]))
    join = Join(once, THERE, (("id", "ref"),))
    assert frozenset({"y"}) in join.unique
    own = local.Table(pa.table({"c0": [1, 2], "c1": [1, 2]}))
    twin = "e\N{COMBINING ACUTE ACCENT}"
    sent = [(0, 1, twin), (1, 2, "é"), (1, 2, None), (0, 1, None), (1, 2, "other")]
    rows = pa.table([pa.array(column) for column in zip(*sent, strict=True)], names=["number", "ref", "y"])
    exchange = Exchange(0, join, Matched(("player-0", "player-1"), 0, "dh"))
    found = joined(exchange, own, pa.table({"number": [0, 1]}), rows)
    assert rows_in(found.arrow) == sorted(
        [(1, 1, twin), (2, 2, None), (1, 1, None), (2, 2, "other")], key=repr
    )


def test_an_arrived_relation_shows_no_value() -> None:
    plan = placed(Join(HERE, THERE, (("id", "ref"),), JoinKind.ANTI), permits=lambda _: True)
    (exchange,) = plan.exchanges
    sides = tuple(side_table(exchange, side, IN_MEMORY) for side in (0, 1))
    arrived = run_matched(plan, exchange, sides, "ideal")
    assert "c" in arrived.arrow.column("x").to_pylist()
    assert "'c'" not in repr(arrived)
