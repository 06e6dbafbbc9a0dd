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
from xor.engine.arrow import arrow_type
from xor.engine.stage import side_table
from xor.errors import PlanError
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.types import Schema
from xor.plan.codec import decode_plan, encode_plan, plan_hash
from xor.plan.conditions import Conditions
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.place import place
from xor.plan.placed import Part, PlacedPlan, Sealed
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.plan.spec import spec
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


def placed(relation: Relation, protocol: str = BACK_ENDS[0]) -> PlacedPlan:
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
    )
    return decode_plan(encode_plan(plan))


def run(plan: PlacedPlan, contents: Mapping[str, Sample], protocol: str) -> pa.Table:
    """All parts of the plan, opened, and what comes after opening."""
    inputs = {name: dataset(sample) for name, sample in contents.items()}
    return finish(plan, {part.node: run_part(plan, part, inputs, protocol) for part in plan.parts})


def run_part(plan: PlacedPlan, part: Part, inputs: Mapping[str, local.Dataset], protocol: str) -> pa.Table:
    parameters = spec(plan, plan_hash(encode_plan(plan)), part, AGREEMENT)
    if isinstance(part.placement, Sealed):
        sides = (side_table(part, 0, inputs), side_table(part, 1, inputs))
        opened, _ = _core.run_locally(parameters, sides, protocol)
    else:
        opened = released(parameters, side_table(part, 0, inputs))
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
