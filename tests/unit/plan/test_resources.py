"""What a plan takes, and the refusal of what does not fit: before anything starts, with what helps."""

import pytest

from xor.errors import ResourceError
from xor.model.machine import Capacity
from xor.plan.conditions import Conditions
from xor.plan.cost import costs
from xor.plan.estimate import exchange_bytes, job_seconds, needs, opening_bytes, seconds
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
    """What grows beyond a shard are tables, keys and lists, not the OPRF."""
    one, many = (exchange_bytes("vole", (rows, rows), 0) for rows in (2**22, 2**24))
    assert many < 1.01 * one


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
