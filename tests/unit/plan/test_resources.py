"""What a plan takes, and the refusal of what does not fit: before anything starts, with what helps."""

import pytest

from xor.errors import ResourceError
from xor.model.machine import Capacity
from xor.plan.conditions import Conditions
from xor.plan.cost import costs, is_spilled
from xor.plan.estimate import (
    exchange_bytes,
    is_streamed,
    job_seconds,
    needs,
    opening_bytes,
    seconds,
)
from xor.plan.oprf.exchange import KNOWN, Oprf
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Concat, JoinKind, Relation, Scan
from xor.plan.resources import shortages
from xor.policy.judge import judge
from xor.testing.samples import entry, placed
from xor.testing.three_banks import NOW, agreement, join, one_direction, policies
from xor.testing.three_banks import placed as placed_banks

PLENTY = Capacity(memory_bytes=2**45, disk_bytes=2**45, cores=4, oprf=KNOWN)


def _plan(rows: int, oprf: Oprf, text: int = 16) -> PlacedPlan:
    left = Scan(entry("a", {"id": "int64", "s": f"text({text})"}, rows=rows))
    right = Scan(entry("b", {"ref": "int64"}, player="player-1", rows=rows))
    return placed(join(left, right, ("id", "ref")), conditions=Conditions(back_ends=(oprf,)))


def _small(**changes: object) -> Capacity:
    return PLENTY.model_copy(update=changes)


@pytest.mark.parametrize("oprf", KNOWN)
def test_more_rows_and_longer_values_need_more(oprf: Oprf) -> None:
    few, many, long = (
        needs(each)[0] for each in (_plan(10**4, oprf), _plan(10**6, oprf), _plan(10**4, oprf, 2000))
    )
    assert few.memory_bytes < min(long.memory_bytes, many.memory_bytes)
    assert few.disk_bytes < min(long.disk_bytes, many.disk_bytes)


def test_the_disk_holds_every_stream_of_a_player() -> None:
    plan = _plan(10**4, "dh")
    streams = {each.player: each.stream_bytes for each in costs(plan.parts[0])}
    assert {each.player: each.disk_bytes for each in needs(plan)} == streams
    twice = placed(Concat((Scan(entry("a", {"id": "int64"})), Scan(entry("b", {"id": "int64"})))))
    assert needs(twice)[0].disk_bytes == sum(
        each.stream_bytes for part in twice.parts for each in costs(part)
    )


def test_shards_keep_the_exchange_small_whatever_the_rows() -> None:
    one, many = (exchange_bytes("vole", (rows, rows), 0) for rows in (2**22, 2**24))
    assert many < 1.01 * one


def test_rows_beyond_memory_take_disk_instead() -> None:
    one, many = (needs(_plan(rows, "vole", 60))[0] for rows in (10**7, 10**8))
    assert one.memory_bytes < 2**30
    assert many.memory_bytes < 1.2 * one.memory_bytes
    assert many.disk_bytes > 9 * one.disk_bytes
    (part,) = _plan(10**7, "vole", 60).parts
    assert one.disk_bytes > 3 * costs(part)[0].stream_bytes, "the lists once more, rows and secrets"
    assert is_streamed(part, 0)
    (released,) = placed(Scan(entry("a", {"s": "text(60)"}, rows=10**7))).parts
    assert is_spilled(released, 0)
    assert is_streamed(released, 0)


def test_what_is_declared_unique_stays_in_memory_as_hashes() -> None:
    def plan(unique: list[list[str]]) -> PlacedPlan:
        left = Scan(entry("a", {"id": "int64"}, rows=10**8, unique=unique))
        right = Scan(entry("b", {"ref": "int64"}, player="player-1", rows=10))
        return placed(join(left, right, ("id", "ref")))

    assert needs(plan([["id"]]))[0].memory_bytes - needs(plan([]))[0].memory_bytes > 8 * 10**8


@pytest.mark.parametrize(("text", "expected"), [(158, False), (159, True)])
def test_a_step_takes_disk_from_the_length_from_which_the_core_does(text: int, expected: bool) -> None:
    """2^20 rows: twice (label 10, s_o 16, length 2, row 168), and 120. The core's test has the same."""
    left = Scan(entry("a", {"id": "int64", "s": f"text({text})"}, rows=2**20))
    right = Scan(entry("b", {"ref": "int64"}, player="player-1", rows=1))
    (part,) = placed(join(left, right, ("id", "ref"))).parts
    assert is_spilled(part, 0) == expected


def test_a_plan_that_fits_has_no_shortage_and_unknown_machines_set_no_limit() -> None:
    plan = _plan(10**5, "dh")
    assert shortages(plan, {}) == ()
    assert (
        shortages(plan, {"player-0": PLENTY, "player-1": PLENTY, "player-9": _small(memory_bytes=2**20)})
        == ()
    )


@pytest.mark.parametrize(
    ("changes", "code", "setting"),
    [
        ({"memory_bytes": 2**24}, "resource.memory-limit", "memory_mib"),
        ({"disk_bytes": 2**20}, "resource.disk-limit", "disk_mib"),
        ({"oprf": ("vole",)}, "resource.back-end", "oprf"),
    ],
)
def test_a_refusal_names_need_limit_and_what_helps(
    changes: dict[str, object], code: str, setting: str
) -> None:
    (found,) = shortages(_plan(10**5, "dh"), {"player-0": PLENTY, "player-1": _small(**changes)})
    error = found.to_error()
    assert isinstance(error, ResourceError)
    assert (error.code, error.player) == (code, "player-1")
    assert setting in (error.hint or "")
    if code != "resource.back-end":
        assert {"`unique`", "`rows`"} <= set((error.hint or "").replace(",", "").split())
        assert error.message.count("MiB") == 2


def test_the_judge_refuses_as_a_want_of_resources_not_as_a_policy() -> None:
    plan = placed_banks(one_direction())
    mine = {"player-1": _small(memory_bytes=2**24)}
    decision = judge(plan, policies(), agreement(), {}, NOW, player="player-1", capacities=mine)
    assert not decision.is_allowed
    assert not decision.guesses
    error = decision.to_error("player-1")
    assert isinstance(error, ResourceError)
    assert error.code == "resource.memory-limit"
    assert judge(plan, policies(), agreement(), {}, NOW, capacities={"player-1": PLENTY}).is_allowed


def test_seconds_grow_with_rows_and_shrink_with_cores() -> None:
    fast = Conditions(capacities={"player-0": PLENTY, "player-1": PLENTY})
    for oprf in KNOWN:
        few, many = _plan(10**4, oprf), _plan(10**6, oprf)
        assert job_seconds(few, Conditions()) < job_seconds(many, Conditions())
        assert job_seconds(many, fast) < job_seconds(many, Conditions())
        step = seconds(many.parts[0], Conditions())
        assert step.exchange.seconds == max(step.exchange.cpu_s, step.exchange.network_s)
        assert step.total >= step.exchange.seconds


def test_bounds_without_end_are_estimated_all_the_same() -> None:
    """Below a semi join a product of many tables may be longer than a double."""
    wide = [Scan(entry(f"t{each}", {f"c{each}": "int64"}, rows=2**40)) for each in range(30)]
    product: Relation = wide[0]
    for number, each in enumerate(wide[1:], start=1):
        product = join(product, each, (product.schema.names[0], f"c{number}"))
    few = Scan(entry("few", {"id": "int64"}, rows=10))
    local = join(few, product, ("id", product.schema.names[0]), kind=JoinKind.SEMI)
    there = Scan(entry("b", {"ref": "int64"}, player="player-1", rows=10))
    plan = placed(join(local, there, ("id_0", "ref")))
    assert job_seconds(plan, Conditions()) > 0
    assert shortages(plan, {"player-0": PLENTY})[0].code == "resource.memory-limit"


def test_a_recipient_holds_both_streams() -> None:
    plan = _plan(10**5, "dh")
    assert opening_bytes(plan) > sum(each.stream_bytes for each in costs(plan.parts[0]))
