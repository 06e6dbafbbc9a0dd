"""A matched join with both players in this process."""

from typing import Literal

from xor import _core
from xor.engine.arrived import Arrived
from xor.engine.local import Table
from xor.engine.matched import joined, own_keys
from xor.plan.codec import encode_plan, plan_hash
from xor.plan.cost import costs, rounds
from xor.plan.placed import Exchange, Matched, PlacedPlan
from xor.plan.spec import matched_spec


def run_matched(
    plan: PlacedPlan, exchange: Exchange, sides: tuple[Table, ...], oprf: Literal["dh", "vole", "ideal"]
) -> Arrived:
    """What arrives at the receiver; checks on the way that the step costs what was predicted.

    Args:
        sides: what both players bring, from `stage.side_table`.
        oprf: a back end, or "ideal" for a trusted party.
    """
    placement = exchange.placement
    assert isinstance(placement, Matched)
    own = sides[placement.receiver]
    # Who receives gives its keys only.
    left, right = (own_keys(exchange.join, each) if each is own else each for each in sides)
    parameters = matched_spec(plan, plan_hash(encode_plan(plan)), exchange.node)
    found = _core.run_matched_locally(parameters, (left, right), oprf)
    assert found["refused_keys"] == 0
    if oprf == placement.oprf:
        assert found["sent_bytes"] == [each.sent_bytes for each in costs(exchange)]
        assert max(found["rounds"]) == rounds(exchange)
    return joined(exchange, own, found["numbers"], found["rows"])
