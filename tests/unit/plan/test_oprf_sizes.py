"""Sizes of the OPRF back ends: equal to the core's, bit for bit, and to figures counted by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from xor.plan.oprf import okvs, vole
from xor.plan.oprf.exchange import LANES_FROM_BYTES, SHARD_ROWS, Oprf, guesses, lanes, sent_bytes, shards
from xor.plan.oprf.real import exp2, log2

VECTORS = Path(__file__).parents[2] / "vectors" / "core"


def _cases(name: str) -> list[dict[str, Any]]:
    cases = json.loads((VECTORS / name).read_text())["cases"]
    assert len(cases) > 20
    return cases


def test_key_value_stores_are_as_large_as_the_core_makes_them() -> None:
    for case in _cases("okvs-sizes.json"):
        shape = okvs.shape(case["bound"])
        found = {
            "bound": case["bound"],
            "bins": shape.bins,
            "capacity": shape.capacity,
            "slots": shape.slots,
            "dense": shape.dense,
            "table_len": shape.table_len,
        }
        assert found == case


def test_correlations_cost_what_the_core_says() -> None:
    for case in _cases("vole-costs.json"):
        cost = vole.cost(case["slots"], case["tree_depth"], case["is_first"])
        assert cost == (case["receiver_bytes"], case["sender_bytes"]), case


@pytest.mark.parametrize("step", range(1, 2000, 7))
def test_logarithms_are_as_exact_as_a_double(step: int) -> None:
    value, exponent = step / 37.0, step / 40.0
    assert abs(log2(value) - math.log2(value)) < 1e-14 * (1 + abs(math.log2(value)))
    assert abs(exp2(exponent) / 2.0**exponent - 1) < 1e-14


def test_a_join_of_up_to_a_million_rows_is_one_exchange() -> None:
    assert shards("vole", (SHARD_ROWS, 1000)).count == 1
    assert shards("vole", (SHARD_ROWS, 1000)).bounds == (SHARD_ROWS, 1000)
    assert shards("dh", (2**21, 2**21)).count == 1


@pytest.mark.parametrize("bounds", [(2**24, 2**24), (2**24, 1024), (3 * 2**20, 2**20), (2**30, 2**30)])
def test_shards_have_room_for_their_share_and_little_more(bounds: tuple[int, int]) -> None:
    cut = shards("vole", bounds)
    assert cut.count == -(-max(bounds) // SHARD_ROWS)
    for bound, room in zip(bounds, cut.bounds, strict=True):
        mean = bound / cut.count
        assert mean < room <= bound
        # About ten standard deviations, whatever the size.
        assert room <= mean + 15 * math.sqrt(mean) + 60


def test_a_partner_tests_its_bound_and_a_cheating_one_of_vole_what_its_table_holds() -> None:
    assert guesses("dh", 5120, 20_480) == 5120
    assert guesses("vole", 2**20, 2**20) == 32 * (42_882 + 2) * 128 // 48
    # Small tables are filled up to 4096 keys: a cheating partner may use them all.
    assert guesses("vole", 1, 1) == 5408 * 128 // 48
    assert guesses("vole", 2**24, 2**24) > 3.4 * 2**24


def test_many_rows_are_cheaper_on_the_wire_with_vole_and_few_are_not() -> None:
    assert sent_bytes("vole", (2**20, 2**20), 0) < sent_bytes("dh", (2**20, 2**20), 0) / 2
    assert sent_bytes("vole", (100, 100), 0) > sent_bytes("dh", (100, 100), 0)


def test_only_large_exchanges_have_data_lanes_and_both_sides_find_as_many() -> None:
    def count(oprf: Oprf, bounds: tuple[int, int]) -> int:
        return lanes(max(sent_bytes(oprf, bounds, side) for side in (0, 1)))

    assert count("vole", (2**20, 2**20)) == 1
    assert count("vole", (2**21, 2**21)) == 3
    assert count("vole", (1, 2**21)) == count("vole", (2**21, 1)) == 3
    assert sent_bytes("dh", (2**19, 2**19), 0) >= LANES_FROM_BYTES
    assert count("dh", (2**19, 2**19)) == 3
    assert count("dh", (2**19 - 1, 1)) == 1
