"""Opening: names, order and exact types of what the recipient gets."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from xor import _core
from xor import dataframe as xf
from xor.dataframe import open as opening
from xor.plan.placed import Sealed
from xor.testing.samples import entry
from xor.testing.three_banks import ANALYST

ALL_TYPES = {
    "b": "bool", "i": "int64", "d": "decimal(38,10)", "f": "float64", "t": "text(16)", "day": "date",
    "naive": "timestamp", "aware": "timestamp[Europe/Berlin]",
}  # fmt: skip
BERLIN = "Europe/Berlin"


def values() -> pa.Table:
    moment = dt.datetime(2022, 4, 1, 0, 2, 3, 123456)
    return pa.table(
        {
            "b": pa.array([True, None, False]),
            "i": pa.array([2**63 - 1, None, -(2**63)]),
            "d": pa.array([Decimal("1.0000000001"), None, Decimal("-9" * 1)], pa.decimal128(38, 10)),
            "f": pa.array([float("nan"), None, -0.0]),
            "t": pa.array(["", None, "V6B 1S3 ß"]),
            "day": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
            "naive": pa.array([moment, None, moment], pa.timestamp("us")),
            "aware": pa.array([moment, None, moment], pa.timestamp("us", tz=BERLIN)),
        }
    )


def scan(client: xf.Client, name: str, player: str) -> xf.Frame:
    """A frame of a dataset with a column of every type."""
    known = client._known
    known.policies[name] = known.policies["accounts_b"].model_copy(update={"dataset": name})
    owner = "bank-c" if player == "player-1" else "bank-a"
    dataset = entry(name, ALL_TYPES, player=player, owner=owner, rows=3)
    return xf.Frame(type(client.use("accounts_b", "player-0").relation)(dataset), client)


def opened(frame: xf.Frame, service, tables: dict[int, pa.Table], monkeypatch) -> pa.Table:
    """The frame's result, with sealed parts replaced by the ideal join of the same core."""
    client = frame.client
    client._known.entries.update({each.name: each for each in frame.relation.datasets})
    plan = client._draft(frame, None, client._known)
    sides = {part.node: part for part in plan.parts}
    service.tables = tables

    def open_sealed(spec, streams, seed, progress):
        node = next(
            node
            for node, part in sides.items()
            if isinstance(part.placement, Sealed) and f'"node":{node},'.encode() in spec
        )
        return _core.run_locally(spec, tables[node], "twin")[0]

    monkeypatch.setattr(opening._core, "open_sealed", open_sealed)
    job = "7" * 64
    manifests = {(each.node, each.side): each for each in service.seal(plan, job)}
    paths = {}
    for key, blob in service.blobs.items():
        paths[key] = service.scratch / f"{key[0]}-{key[1]}"
        paths[key].write_bytes(blob)
    sealed = opening.SealedResult(plan, job, client._known.agreement, manifests, paths)
    return opening.open_result(sealed, client.seal_key_for(plan))


def as_set(table: pa.Table) -> list[str]:
    return sorted(repr(row) for row in table.to_pylist())


def test_every_type_comes_through_a_release_exactly(client, service, monkeypatch):
    frame = scan(client, "left", "player-0")
    rows = opened(frame, service, {0: values()}, monkeypatch)
    assert rows.schema.equals(values().schema)
    assert as_set(rows) == as_set(values())


def test_a_concat_goes_by_name_over_results_of_both_players(client, service, monkeypatch):
    left = scan(client, "left", "player-0").select("i", "t")
    right = scan(client, "right", "player-1").select("t", "i")
    tables = {1: values().select(["i", "t"]), 3: values().select(["i", "t"])}
    both = xf.concat([left, right])
    plan = client._draft(both, None, client._known)
    tables = {part.node: values().select(list(part.relation.schema.names)) for part in plan.parts}
    rows = opened(both, service, tables, monkeypatch)
    assert rows.column_names == ["i", "t"]
    assert len(rows) == 6
    assert rows.schema.field("i").type == pa.int64()


@pytest.mark.parametrize("how", ["inner", "left"])
def test_columns_of_a_private_join_come_in_the_order_that_was_asked_for(client, service, monkeypatch, how):
    joined = xf.join(
        [scan(client, "left", "player-0"), scan(client, "right", "player-1")], on=[["i"], ["i"]], how=how
    )
    asked = joined.select("aware_1", "d_0", "t_1", "day_0").rename({"t_1": "text"})
    plan = client._draft(asked, None, client._known)
    (part,) = plan.parts
    tables = tuple(
        pa.table(
            [values().column(name[:-2]) for name in _sent(part, side)],
            names=[f"c{number}" for number in range(len(_sent(part, side)))],
        )
        for side in (0, 1)
    )
    rows = opened(asked, service, {part.node: tables}, monkeypatch)
    assert rows.column_names == ["aware_1", "d_0", "text", "day_0"]
    assert rows.schema.field("aware_1").type == pa.timestamp("us", tz=BERLIN)
    assert rows.schema.field("d_0").type == pa.decimal128(38, 10)
    assert len(rows) == (3 if how == "left" else 2)
    assert ANALYST in plan.recipients


def _sent(part, side: int) -> list[str]:
    """Key, then payload of one side, as the spec orders them."""
    from xor.plan.placed import payload_columns

    join = part.relation
    return [pair[side] for pair in join.keys] + list(payload_columns(join)[side])


def test_a_new_seal_key_is_a_seed_and_its_public_half():
    seed, public = opening.new_seal_key()
    assert len(seed) == 32
    assert bytes.fromhex(public) == _core.seal_public_key(seed)
    assert opening.new_seal_key()[0] != seed
