"""What the service lets in: plans that it can route, streams that a plan can need. It judges no policy."""

from xor.errors import AuthError, PlanError
from xor.model.agreement import Agreement
from xor.model.types import DataType, Field, Kind, Schema
from xor.plan.placed import Part, PlacedPlan
from xor.plan.relations import padded

CELL_BYTES = 128
"""Label, key, length and flag of a cell of a sealed join, with room to spare."""

SLACK = 2
FIXED_BYTES = 2**20

_VALUE_BYTES = {
    Kind.BOOL: 1,
    Kind.INT64: 8,
    Kind.DECIMAL: 16,
    Kind.FLOAT64: 8,
    Kind.DATE: 4,
    Kind.TIMESTAMP: 8,
}


def check_plan(plan: PlacedPlan, agreement: Agreement, now: int) -> None:
    """Whether the service takes the plan: in force now, and its members are members.

    Everything else is judged by the machines, which do not believe the service anyway.

    Raises:
        PlanError: too early or too late. UsageError: an unknown player or recipient. AuthError: the
            agreement is not in force.
    """
    if not agreement.not_before <= now < agreement.not_after:
        raise AuthError(
            f"the agreement of network '{agreement.network}' is not in force",
            code="auth.agreement-expired",
            hint="its owners must sign a new one.",
        )
    if not plan.not_before <= now < plan.not_after:
        raise PlanError("the plan is not valid at this time", code="plan.expired", hint="place it again.")
    for player in plan.players:
        agreement.player(player)
    for recipient in plan.recipients:
        agreement.analyst(recipient)


def stream_limit(part: Part, side: int) -> int:
    """Upper bound of the bytes of the stream that the player on `side` seals for `part`.

    Deliberately roomy: it protects the service's disk. Exact sizes are checked by the recipient.

    Units: bytes.
    """
    source = part.source(side)
    row_bytes = _row_bytes(source.schema) + CELL_BYTES
    # A fixed part covers headers, empty tables and the tags of chunks beyond what SLACK gives.
    return FIXED_BYTES + SLACK * padded(source.rows) * row_bytes


def _row_bytes(schema: Schema) -> int:
    return sum(_field_bytes(each) for each in schema)


def _field_bytes(field: Field) -> int:
    # One byte says whether there is a value, up to five say how long a text is.
    return 6 + (field.max_bytes or 0) + _fixed_bytes(field.type)


def _fixed_bytes(kind: DataType) -> int:
    return _VALUE_BYTES.get(kind.kind, 0)
