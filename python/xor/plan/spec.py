"""The public parameters of one sealed step, as the core reads them.

Both machines and the recipients derive the same bytes from the plan.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from xor.errors import InternalError
from xor.model.agreement import Agreement
from xor.model.types import Field, Kind
from xor.plan.cost import payload
from xor.plan.placed import Part, PlacedPlan, Plaintext, Sealed
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
    sides = (join.left.schema, join.right.schema)
    return canonical(
        {
            **_common(plan, plan_hash, part, agreement),
            "kind": join.kind.value,
            "opener": placement.opener,
            "rows": [padded(each.rows) for each in join.inputs],
            "keys": [
                {"left": {"type": str(sides[0][left].type)}, "right": {"type": str(sides[1][right].type)}}
                for left, right in join.keys
            ],
            "payload": [_columns(payload(join, side)) for side in (0, 1)],
            "oprf": placement.oprf,
        }
    )


def release_spec(plan: PlacedPlan, plan_hash: str, part: Part, agreement: Agreement) -> bytes:
    """The parameters of a plaintext relation that one player seals to the recipients."""
    if not isinstance(part.placement, Plaintext):
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


def _columns(fields: Iterable[Field]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "type": str(each.type)}
        | ({"max_bytes": each.max_bytes} if each.type.kind is Kind.TEXT else {})
        for each in fields
    ]
