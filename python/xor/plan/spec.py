"""The public parameters of one step, as the core reads them.

Both machines, and the recipients of what is sealed, derive the same bytes from the plan.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from xor.errors import InternalError
from xor.model.agreement import Agreement
from xor.model.types import Field, Kind
from xor.plan.cost import payload
from xor.plan.placed import Matched, Part, PlacedPlan, Sealed
from xor.plan.relations import Join, padded
from xor.signing import canonical

VERSION = 1


def spec(plan: PlacedPlan, plan_hash: str, part: Part, agreement: Agreement) -> bytes:
    """The parameters of a part, whichever it is."""
    is_sealed = isinstance(part.placement, Sealed)
    return (sealed_spec if is_sealed else release_spec)(plan, plan_hash, part, agreement)


def sealed_spec(plan: PlacedPlan, plan_hash: str, part: Part, agreement: Agreement) -> bytes:
    """The parameters of a sealed join.

    The opened table has the left payload, then the right one: not always the order of `part.relation.schema`.
    """
    join, placement = part.relation, part.placement
    if not (isinstance(join, Join) and isinstance(placement, Sealed)):
        raise InternalError(f"step {part.node} is no sealed join")
    return canonical(
        {
            **_common(plan, plan_hash, part, agreement),
            "kind": join.kind.value,
            "opener": placement.opener,
            "rows": [padded(each.rows) for each in join.inputs],
            "keys": _keys(join),
            "payload": [_columns(payload(join, side)) for side in (0, 1)],
            "oprf": placement.oprf,
        }
    )


def matched_spec(plan: PlacedPlan, plan_hash: str, node: int) -> bytes:
    """The parameters of a matched join: what both players know of it. Nothing of it is sealed to anybody.

    `most_rows` and `is_unique` are declared of the sender's rows: the receiver's core takes no more, in all
    and for one key, whatever the sender sends.
    """
    exchange = next((each for each in plan.exchanges if each.node == node), None)
    if exchange is None or not isinstance(exchange.placement, Matched):
        raise InternalError(f"step {node} is no matched join")
    join, placement = exchange.join, exchange.placement
    is_unique = (join.left_is_unique, join.right_is_unique)
    return canonical(
        {
            "version": VERSION,
            "plan_hash": plan_hash,
            "node": node,
            "receiver": placement.receiver,
            "rows": list(exchange.bounds),
            "most_rows": exchange.source(placement.sender).rows,
            "is_unique": is_unique[placement.sender],
            "keys": _keys(join),
            "payload": _columns(payload(join, placement.sender)),
            "oprf": placement.oprf,
        }
    )


def release_spec(plan: PlacedPlan, plan_hash: str, part: Part, agreement: Agreement) -> bytes:
    """The parameters of rows that one player has in the clear and seals to the recipients."""
    if part.placement.at is None:
        raise InternalError(f"step {part.node} is not released by one player")
    return canonical(
        {
            **_common(plan, plan_hash, part, agreement),
            "rows": padded(part.relation.rows),
            "payload": _columns(part.relation.schema),
        }
    )


def _common(plan: PlacedPlan, plan_hash: str, part: Part, agreement: Agreement) -> Mapping[str, Any]:
    recipients = [agreement.analyst(name) for name in plan.recipients]
    return {
        "version": VERSION,
        "plan_hash": plan_hash,
        "node": part.node,
        "recipients": [{"name": each.name, "seal_key": each.seal_key} for each in recipients],
    }


def _keys(join: Join) -> list[dict[str, dict[str, str]]]:
    left, right = join.left.schema, join.right.schema
    return [
        {"left": {"type": str(left[one].type)}, "right": {"type": str(right[other].type)}}
        for one, other in join.keys
    ]


def _columns(fields: Iterable[Field]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "type": str(each.type)}
        | ({"max_bytes": each.max_bytes} if each.type.kind is Kind.TEXT else {})
        for each in fields
    ]
