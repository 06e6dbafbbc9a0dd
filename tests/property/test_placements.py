"""Whatever the placement, the rows are those of the plaintext oracle: local, sealed, released, appended.

The same suite runs the ideal twin of the join, the join over the ideal OPRF and the real protocol.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from xor import _core
from xor.dataframe.arrow import arrow_schema
from xor.dataframe.open import finish, new_seal_key
from xor.engine import local
from xor.engine.arrived import Arrived
from xor.engine.arrow import arrow_type
from xor.engine.matched import over
from xor.engine.stage import side_table
from xor.errors import PlanError
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.types import Schema
from xor.plan.codec import decode_plan, encode_plan, plan_hash
from xor.plan.conditions import Conditions
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.place import Permits, place
from xor.plan.placed import RECEIVERS, Exchange, Matched, Part, PlacedPlan, Sealed
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.plan.spec import spec
from xor.testing.matched import run_matched
from xor.testing.oracle import Value, evaluate
from xor.testing.strategies import Sample, joins, relations, rows_of, samples, tables

PROTOCOLS: dict[str, int] = {"twin": 60, "ideal": 60, **dict.fromkeys(BACK_ENDS, 15)}
"""Examples for each: the real OPRF costs scalar multiplications."""

SEED, SEAL_KEY = new_seal_key()
AGREEMENT = Agreement(
    network="test",
    owners=(Owner(name="bank-a", key="01" * 32), Owner(name="bank-b", key="02" * 32)),
    players=(
        Player(name="player-0", key="03" * 32, zone="clean room", is_simulated=True),
        Player(name="player-1", key="04" * 32, zone="premises", owner="bank-b"),
    ),
    analysts=(Analyst(name="analyst", key="05" * 32, seal_key=SEAL_KEY),),
    service_key="06" * 32,
    not_before=0,
    not_after=10,
)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def at(sample: Sample, player: str) -> Sample:
    return replace(sample, entry=sample.entry.model_copy(update={"player": player}))


def placed(relation: Relation, protocol: str = BACK_ENDS[0], permits: Permits | None = None) -> PlacedPlan:
    """The plan as a machine has it: after its bytes. Where the protocol is a back end, it is the plan's."""
    back_ends = tuple(each for each in BACK_ENDS if each == protocol) or BACK_ENDS
    plan = place(
        relation,
        network="test",
        agreement_hash="aa" * 32,
        analyst="analyst",
        recipients=("analyst",),
        policies={entry.name: 1 for entry in relation.datasets},
        not_before=0,
        not_after=10,
        nonce="bb" * 32,
        conditions=Conditions(back_ends=back_ends),
        permits=permits,
    )
    return decode_plan(encode_plan(plan))


def run(plan: PlacedPlan, contents: Mapping[str, Sample], protocol: str) -> pa.Table:
    """All steps of the plan in their order, what is sealed opened, and what comes after opening."""
    inputs = {name: dataset(sample) for name, sample in contents.items()}
    arrived: dict[int, Arrived] = {}
    opened: dict[int, pa.Table] = {}
    for step in plan.steps:
        sides = tuple(
            side_table(step, side, inputs, source=over(plan, plan.source_of(step, side), arrived))
            for side in ((0, 1) if isinstance(step, Exchange) else range(len(step.players)))
        )
        if isinstance(step, Exchange):
            # A matched join has no twin of the whole.
            oprf = "ideal" if protocol == "twin" else protocol
            arrived[step.node] = run_matched(plan, step, sides, oprf)
        else:
            opened[step.node] = run_part(plan, step, sides, protocol)
    assert not arrived
    return finish(plan, opened)


def run_part(plan: PlacedPlan, part: Part, sides: tuple[local.Table, ...], protocol: str) -> pa.Table:
    parameters = spec(plan, plan_hash(encode_plan(plan)), part, AGREEMENT)
    if isinstance(part.placement, Sealed):
        left, right = sides
        opened, _ = _core.run_locally(parameters, (left, right), protocol)
    else:
        opened = released(parameters, sides[0])
    return typed(pa.table(opened), part.relation.schema)


def released(parameters: bytes, table: local.Table) -> _core.ArrowStream:
    with TemporaryDirectory() as directory:
        path = str(Path(directory) / "stream")
        report = _core.release_table(parameters, table, path, lambda *_: None)
        stream = (report["header"], report["sha256"], path)
        return _core.open_release(parameters, stream, SEED, lambda *_: None)


def typed(table: pa.Table, schema: Schema) -> pa.Table:
    """The columns by name; their types must be right already."""
    chosen = table.select(list(schema.names))
    assert chosen.schema.types == arrow_schema(schema).types
    return chosen


def dataset(sample: Sample) -> local.Dataset:
    columns = {
        field.name: pa.array([row[field.name] for row in sample.rows], arrow_type(field.type))
        for field in sample.entry.schema
    }
    return local.Dataset(sample.entry, pa.table(columns))


def exact(rows: list[tuple[Value, ...]]) -> Counter[tuple[str, ...]]:
    """A multiset in which 1, 1.0, True and 1.00 differ and NaN equals itself; aware times as instants."""
    return Counter(tuple(_exact(value) for value in row) for row in rows)


def _exact(value: Value) -> str:
    if isinstance(value, float):
        return value.hex()
    if hasattr(value, "astimezone") and value.tzinfo is not None:
        return f"instant {value.timestamp()}"
    return repr(value)


def rows_in(table: pa.Table) -> list[tuple[Value, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_plans_give_the_rows_of_the_oracle_wherever_their_tables_are(protocol: str) -> None:
    @examples(PROTOCOLS[protocol])
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        players = data.draw(st.sampled_from([("player-0", "player-1"), ("player-1", "player-0")]))
        contents = {
            name: at(sample, player)
            for (name, sample), player in zip(data.draw(tables()).items(), players, strict=True)
        }
        relation = data.draw(relations(contents))
        try:
            plan = placed(relation, protocol)
        except PlanError as error:
            if error.code not in ("plan.not-built", "plan.unsupported"):
                raise
            event(error.code)
            return
        event("sealed" if any(isinstance(each, Sealed) for each in plan.placements) else "plaintext")
        assert exact(rows_in(run(plan, contents, protocol))) == exact(evaluate(relation, rows_of(contents)))

    holds()


@pytest.mark.parametrize("kind", [kind for kind in JoinKind if kind is not JoinKind.ANTI])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_sealed_kind_gives_the_rows_of_the_oracle_on_every_type(protocol: str, kind: JoinKind) -> None:
    @examples(PROTOCOLS[protocol] // 3)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        contents = {
            "a": data.draw(samples("a", player="player-0")),
            "b": data.draw(samples("b", player="player-1")),
        }
        join = data.draw(joins(Scan(contents["a"].entry), Scan(contents["b"].entry), kinds=[kind]))
        if not isinstance(join, Join):
            event("no keys fit")
            return
        kept = data.draw(st.lists(st.sampled_from(join.schema.names), unique=True, min_size=1))
        relation = Concat((Project(join, tuple((name, name) for name in kept)),))
        found = rows_in(run(placed(relation, protocol), contents, protocol))
        assert exact(found) == exact(evaluate(relation, rows_of(contents)))

    holds()


def test_a_local_chain_below_a_private_join_and_the_union_of_two() -> None:
    @examples(25)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        types = ["text", "int64"]
        contents = {name: data.draw(samples(name, types, player="player-0")) for name in ("a", "b")}
        contents["c"] = data.draw(samples("c", types, player="player-1"))
        chain = data.draw(joins(Scan(contents["a"].entry), Scan(contents["b"].entry), kinds=[JoinKind.INNER]))
        both = data.draw(joins(chain, Scan(contents["c"].entry), kinds=[JoinKind.INNER]))
        relation = Concat((both, both))
        found = rows_in(run(placed(relation), contents, "ideal"))
        assert exact(found) == exact(evaluate(relation, rows_of(contents)))

    holds()


@pytest.mark.parametrize("receiver", [0, 1])
def test_random_plans_with_matched_joins_give_the_rows_of_the_oracle(receiver: int) -> None:
    def is_received(plan: PlacedPlan) -> bool:
        """Whoever could receive the first matched join does; of the two alternatives one is tried each."""
        matched = [each.placement for each in plan.exchanges if isinstance(each.placement, Matched)]
        return not matched or matched[0].receiver == receiver

    @examples(120)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        contents = data.draw(tables(names=("a", "b", "c")))
        players = ("player-0", "player-1", data.draw(st.sampled_from(["player-0", "player-1", "player-2"])))
        contents = {
            name: at(sample, player) for (name, sample), player in zip(contents.items(), players, strict=True)
        }
        relation = data.draw(relations(contents, depth=4))
        try:
            plan = placed(relation, permits=is_received)
        except PlanError as error:
            if error.code not in ("plan.not-built", "plan.unsupported"):
                raise
            event(error.code)
            return
        event("matched" if any(isinstance(each, Matched) for each in plan.placements) else "other")
        assert exact(rows_in(run(plan, contents, "twin"))) == exact(evaluate(relation, rows_of(contents)))

    holds()


@pytest.mark.parametrize(
    ("kind", "receiver"), [(kind, receiver) for kind, sides in RECEIVERS.items() for receiver in sides]
)
def test_every_matched_kind_gives_the_rows_of_the_oracle_on_every_type(kind: JoinKind, receiver: int) -> None:
    @examples(60)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        contents = {
            "a": data.draw(samples("a", player="player-0")),
            "b": data.draw(samples("b", player="player-1")),
        }
        join = data.draw(joins(Scan(contents["a"].entry), Scan(contents["b"].entry), kinds=[kind]))
        if not isinstance(join, Join):
            event("no keys fit")
            return
        plan = placed(join, permits=lambda _: True)
        matched = Matched(("player-0", "player-1"), receiver, data.draw(st.sampled_from(BACK_ENDS)))
        plan = replace(plan, placements=(*plan.placements[:-1], matched))
        (exchange,) = plan.exchanges
        inputs = {name: dataset(sample) for name, sample in contents.items()}
        sides = tuple(side_table(exchange, side, inputs) for side in (0, 1))
        found = run_matched(plan, exchange, sides, data.draw(st.sampled_from(("ideal", matched.oprf)))).arrow
        assert exact(rows_in(typed(found, join.schema))) == exact(evaluate(join, rows_of(contents)))

    holds()
