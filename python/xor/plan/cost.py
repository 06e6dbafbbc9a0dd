"""What a placed plan costs in bytes: exact formulas, from padded bounds and schemas alone.

The same formulas size the lists in the core (`docs/protocols/sealed-join.md`, "Bytes, version 1"); a test
compares the two. Nothing here depends on data.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from xor.errors import InternalError
from xor.model.types import Field, Kind, Schema
from xor.plan.oprf import exchange as oprf
from xor.plan.oprf.okvs import SIGMA
from xor.plan.placed import Part, Sealed, payload_columns
from xor.plan.relations import Join, JoinKind, padded

SECRET_BYTES: Final = 16
CHUNK_BYTES: Final = 2**20
TAG_BYTES: Final = 16
HELD_BYTES: Final = 2**29
"""What a step takes beyond it goes to disk."""
SPILL_PARTS: Final = 2**9
"""Parts of a file on disk, at most."""
GROUP_ROW_BYTES: Final = 120
"""In memory: keys, their groups and half secrets."""
LONG_ROW: Final = 2**14 - SECRET_BYTES
"""From this row length on, the length of a group takes more than two bytes."""

_VALUE_BYTES = {Kind.BOOL: 1, Kind.DATE: 4, Kind.INT64: 8, Kind.FLOAT64: 8, Kind.TIMESTAMP: 8}


@dataclass(frozen=True, slots=True)
class StreamCost:
    """One player's part in one sealed step.

    Units: bytes. `stream_bytes` go to the recipients through the service, `sent_bytes` to the peer (frames
    of the channel, before TLS).

    Args:
        rows: padded bound of the player's rows.
    """

    player: str
    rows: int
    stream_bytes: int
    sent_bytes: int


def costs(part: Part) -> tuple[StreamCost, ...]:
    """What each player of a sealed step sends, left first."""
    bounds = tuple(padded(part.source(side).rows) for side in range(len(part.players)))
    return tuple(
        StreamCost(player, bounds[side], stream_bytes(part, side), _sent_bytes(part, bounds, side))
        for side, player in enumerate(part.players)
    )


def rounds(part: Part) -> int:
    """Changes from receiving to sending at each player of a sealed step."""
    if not isinstance(part.placement, Sealed):
        return 0
    return oprf.rounds(part.placement.oprf, (padded(part.source(0).rows), padded(part.source(1).rows)))


def lanes(part: Part) -> int:
    """Connections between the players of a sealed step."""
    if not isinstance(part.placement, Sealed):
        return 0
    return oprf.lanes(part.placement.oprf, (padded(part.source(0).rows), padded(part.source(1).rows)))


def stream_bytes(part: Part, side: int) -> int:
    """Ciphertext bytes of one player's sealed stream.

    Source: joins, "Bytes, version 1": lists of labels and cells, in chunks of 1 MiB + 16 bytes.
    """
    plain = _list_bytes(part, side)
    chunks = max(1, -(-plain // CHUNK_BYTES))
    return plain + chunks * TAG_BYTES


def is_spilled(part: Part, side: int) -> bool:
    """Whether a player keeps rows, secrets and lists of a sealed step on disk: by its bounds alone.

    Source: docs/protocols/sealed-join.md, "Larger than memory".
    """
    relation, placement = part.relation, part.placement
    plain = _list_bytes(part, side)
    if not (isinstance(placement, Sealed) and isinstance(relation, Join)):
        return 2 * plain > HELD_BYTES
    rows = padded(relation.inputs[side].rows)
    openers = rows * SECRET_BYTES if side == placement.opener else 0
    return 2 * plain - openers + GROUP_ROW_BYTES * rows > HELD_BYTES


def row_bytes(fields: Iterable[Field]) -> int:
    """The largest encoded row: a NULL bitmap of at least one byte, then every value at its longest."""
    fields = tuple(fields)
    return max(1, -(-len(fields) // 8)) + sum(_longest(each) for each in fields)


def label_bytes(cells: int, openers: int) -> int:
    """Bytes of a label, so that none is hit by chance and no two are equal, but with 2^-SIGMA."""
    bits = SIGMA + _ceil_log2(cells) + _ceil_log2(max(openers, cells))
    return -(-bits // 8)


def _list_bytes(part: Part, side: int) -> int:
    relation, placement = part.relation, part.placement
    if not (isinstance(placement, Sealed) and isinstance(relation, Join)):
        return padded(relation.rows) * (1 + row_bytes(relation.schema))
    is_opener = side == placement.opener
    rows = padded(relation.inputs[side].rows)
    openers = padded(relation.inputs[placement.opener].rows)
    total = openers * SECRET_BYTES if is_opener else 0
    if relation.kind is JoinKind.SEMI and is_opener:
        return total
    return total + rows * (label_bytes(rows, openers) + _cell_bytes(relation, side, is_opener))


def _cell_bytes(join: Join, side: int, is_opener: bool) -> int:
    row = row_bytes(payload(join, side))
    secret = 0 if is_opener or join.kind is JoinKind.SEMI else SECRET_BYTES
    if side in preserved_sides(join.kind):
        return secret + 1 + row
    return secret + row + (2 if row < LONG_ROW else 5)


def payload(join: Join, side: int) -> Schema:
    """The columns of the join's output that one side sends, in order."""
    return join.schema.select(payload_columns(join)[side])


def preserved_sides(kind: JoinKind) -> tuple[int, ...]:
    """The sides of which every row appears in the result."""
    return {JoinKind.LEFT: (0,), JoinKind.RIGHT: (1,), JoinKind.OUTER: (0, 1)}.get(kind, ())


def _sent_bytes(part: Part, bounds: tuple[int, ...], side: int) -> int:
    if not isinstance(part.placement, Sealed):
        return 0
    return oprf.sent_bytes(part.placement.oprf, (bounds[0], bounds[1]), side)


def _longest(field: Field) -> int:
    match field.type.kind:
        case Kind.TEXT:
            if field.max_bytes is None:
                raise InternalError(f"text column '{field.name}' has no bound")
            return (1 if field.max_bytes < 2**8 else 2 if field.max_bytes < 2**16 else 4) + field.max_bytes
        case Kind.DECIMAL:
            # Two's complement: one bit for the sign.
            largest: int = 10**field.type.precision - 1
            return -(-(largest.bit_length() + 1) // 8)
        case kind:
            return _VALUE_BYTES[kind]


def _ceil_log2(count: int) -> int:
    return (max(count, 1) - 1).bit_length()
