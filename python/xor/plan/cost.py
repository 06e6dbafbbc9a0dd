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
from xor.plan.placed import Exchange, Matched, Part, Sealed, payload_columns
from xor.plan.relations import Join, JoinKind, padded

SECRET_BYTES: Final = 16
CHUNK_BYTES: Final = 2**20
CELLS_FRAME_BYTES: Final = 2**20
"""Of a matched join: cells that travel in one frame."""
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
    """One player's part in one step.

    Units: bytes. `stream_bytes` go to the recipients through the service, `sent_bytes` to the peer (frames
    of the channel, before TLS). A matched join sends nothing to recipients.

    Args:
        rows: padded bound of the player's rows.
    """

    player: str
    rows: int
    stream_bytes: int
    sent_bytes: int


def costs(step: Part | Exchange) -> tuple[StreamCost, ...]:
    """What each player of a sealed step, or of an exchange, sends; left first."""
    exchange = step if isinstance(step, Exchange) else exchange_of(step)
    return tuple(
        StreamCost(
            player,
            padded(step.source(side).rows),
            stream_bytes(step, side) if isinstance(step, Part) else 0,
            sent_bytes(exchange, side) if exchange else 0,
        )
        for side, player in enumerate(step.players)
    )


def exchange_of(part: Part) -> Exchange | None:
    """How the players of a sealed join talk; of what one player releases, nothing."""
    if not (isinstance(part.placement, Sealed) and isinstance(part.relation, Join)):
        return None
    return Exchange(part.node, part.relation, part.placement)


def rounds(step: Part | Exchange) -> int:
    """Changes from receiving to sending in a sealed step, or in an exchange, at the player that has most."""
    exchange = step if isinstance(step, Exchange) else exchange_of(step)
    return oprf.rounds(exchange.placement.oprf, exchange.bounds, exchange.receivers) if exchange else 0


def sent_bytes(exchange: Exchange, side: int) -> int:
    """What one player of an exchange sends to the other."""
    placement = exchange.placement
    compared = oprf.sent_bytes(placement.oprf, exchange.bounds, side, exchange.receivers)
    sends_cells = isinstance(placement, Matched) and side == placement.sender
    return compared + (cells_bytes(exchange) if sends_cells else 0)


def cells_bytes(exchange: Exchange) -> int:
    """The sender's rows in a matched join: closed cells, sorted by label, labels as differences.

    The first bits of the labels are a bitmap with a one for each cell and for each value that they take.

    Source: docs/protocols/matched-join.md, "Cells".
    """
    placement = exchange.placement
    if not isinstance(placement, Matched):
        raise InternalError(f"step {exchange.node} is no matched join")
    cells, openers = exchange.bounds[placement.sender], exchange.bounds[placement.receiver]
    counted: int = (cells.bit_length() - 1) // 8
    row = row_bytes(payload(exchange.join, placement.sender))
    cell = label_bytes(cells, openers) - counted + _closed_bytes(row)
    total = -(-(cells + (1 << 8 * counted)) // 8) + cells * cell
    return total + oprf.FRAME_BYTES * -(-total // CELLS_FRAME_BYTES)


def lanes(exchange: Exchange) -> int:
    """Connections between the players of a private step."""
    return oprf.lanes(max(sent_bytes(exchange, side) for side in (0, 1)))


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
    return secret + _closed_bytes(row)


def _closed_bytes(row: int) -> int:
    """A row with the length of its group."""
    return row + (2 if row < LONG_ROW else 5)


def payload(join: Join, side: int) -> Schema:
    """The columns of the join's output that one side sends, in order."""
    return join.schema.select(payload_columns(join)[side])


def preserved_sides(kind: JoinKind) -> tuple[int, ...]:
    """The sides of which every row appears in the result."""
    return {JoinKind.LEFT: (0,), JoinKind.RIGHT: (1,), JoinKind.OUTER: (0, 1)}.get(kind, ())


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
