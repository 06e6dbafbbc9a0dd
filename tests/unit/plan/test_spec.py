"""The parameters that the core reads."""

import json

import pytest

from xor.errors import InternalError, UsageError
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Concat, Project, Relation, Scan
from xor.plan.spec import release_spec, sealed_spec, spec
from xor.testing.samples import entry, placed
from xor.testing.three_banks import agreement, join

HASH = "c" * 64
LEFT = Scan(entry("a", {"id": "int64", "s": "text(10)", "when": "timestamp[UTC]"}, rows=1000))
RIGHT = Scan(entry("b", {"ref": "decimal(9,0)", "d": "decimal(18,2)"}, player="player-1", rows=100))


def _plan(relation: Relation) -> PlacedPlan:
    return placed(relation, "fraud-desk", "auditors")


def test_a_sealed_join_states_bounds_types_and_recipients_but_no_dataset() -> None:
    plan = _plan(
        Project(join(LEFT, RIGHT, ("id", "ref")), (("d_1", "d_1"), ("s_0", "s_0"), ("when_0", "when_0")))
    )
    (part,) = plan.parts
    assert json.loads(spec(plan, HASH, part, agreement())) == {
        "version": 1,
        "plan_hash": HASH,
        "node": part.node,
        "kind": "inner",
        "opener": 1,
        "rows": [1024, 112],
        "keys": [{"left": {"type": "int64"}, "right": {"type": "decimal(9,0)"}}],
        "payload": [
            [
                {"name": "s_0", "type": "text", "max_bytes": 10},
                {"name": "when_0", "type": "timestamp[UTC]"},
            ],
            [{"name": "d_1", "type": "decimal(18,2)"}],
        ],
        "oprf": "dh",
        "recipients": [
            {"name": name, "seal_key": agreement().analyst(name).seal_key}
            for name in ("fraud-desk", "auditors")
        ],
    }


def test_a_release_states_its_columns_in_order() -> None:
    plan = _plan(LEFT)
    (part,) = plan.parts
    body = json.loads(spec(plan, HASH, part, agreement()))
    assert (body["rows"], body["node"], [each["name"] for each in body["payload"]]) == (
        1024,
        0,
        ["id", "s", "when"],
    )
    assert not {"kind", "keys", "opener", "oprf"} & body.keys()


def test_each_part_has_parameters_of_its_own_kind() -> None:
    united = Concat(
        (Project(LEFT, (("key", "s"),)), Project(join(LEFT, RIGHT, ("id", "ref")), (("key", "s_0"),)))
    )
    plan = _plan(united)
    release, joined = plan.parts
    with pytest.raises(InternalError):
        sealed_spec(plan, HASH, release, agreement())
    with pytest.raises(InternalError):
        release_spec(plan, HASH, joined, agreement())


def test_a_recipient_whom_the_agreement_does_not_know_is_named() -> None:
    plan = placed(LEFT, "stranger")
    with pytest.raises(UsageError, match="stranger"):
        spec(plan, HASH, plan.parts[0], agreement())
