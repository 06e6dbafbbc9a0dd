"""What a plan takes in seconds, memory and disk: estimates from padded bounds and measured constants.

Bytes and rounds are exact and stand in `cost`; what is here is meant to be right within a factor of 2 in
seconds and never too low, where bounds are what they should be, in memory and disk.
"""

from dataclasses import dataclass

from xor.model.types import Schema
from xor.plan import rates
from xor.plan.conditions import Conditions
from xor.plan.cost import (
    GROUP_ROW_BYTES,
    SPILL_PARTS,
    cells_bytes,
    exchange_of,
    is_spilled,
    rounds,
    row_bytes,
    sent_bytes,
    stream_bytes,
)
from xor.plan.oprf import okvs
from xor.plan.oprf.exchange import Oprf, Shards, shards
from xor.plan.placed import Exchange, Part, PlacedPlan, Sealed
from xor.plan.relations import Relation, Scan, is_streamable, padded, post_order

NS = 1e-9


@dataclass(frozen=True, slots=True)
class ExchangeSeconds:
    """The private part of a join: both players at once, each as long as its slower resource.

    Units: seconds.
    """

    cpu_s: float
    network_s: float

    @property
    def seconds(self) -> float:
        """While one batch is computed another one travels, so the larger of the two."""
        return max(self.cpu_s, self.network_s)


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the time of a step goes; the slower player counts in each of its parts. Units: seconds."""

    prepare: float
    exchange: ExchangeSeconds
    seal: float
    deliver: float
    open: float

    @property
    def total(self) -> float:
        return self.prepare + self.exchange.seconds + self.seal + self.deliver + self.open


@dataclass(frozen=True, slots=True)
class Need:
    """What one process takes for a whole plan, at most. Units: bytes."""

    player: str
    memory_bytes: int
    disk_bytes: int


def seconds(step: Part | Exchange, conditions: Conditions) -> Seconds:
    """How long a part takes, from reading the sources to the opened rows; or an exchange alone.

    What lies below a matched join counts in its step and again in that of the part above it.
    """
    return (
        _matched_seconds(step, conditions) if isinstance(step, Exchange) else _part_seconds(step, conditions)
    )


def _matched_seconds(exchange: Exchange, conditions: Conditions) -> Seconds:
    cores = [conditions.cores(player) for player in exchange.players]
    cells = max(
        NS * rates.CELL_ROW * rows / count for rows, count in zip(exchange.bounds, cores, strict=True)
    )
    return Seconds(
        prepare=max(_prepare(exchange.source(side)) / cores[side] for side in (0, 1)),
        exchange=_exchange(exchange, conditions),
        seal=cells,
        deliver=0.0,
        open=NS * rates.LOCAL_ROW * _rows(exchange.join),
    )


def _part_seconds(part: Part, conditions: Conditions) -> Seconds:
    sides = range(len(part.players))
    streams = [stream_bytes(part, side) for side in sides]
    rows = [padded(part.source(side).rows) for side in sides]
    cores = [conditions.cores(player) for player in part.players]
    return Seconds(
        prepare=max(_prepare(part.source(side)) / cores[side] for side in sides),
        exchange=_exchange(exchange_of(part), conditions),
        seal=max(
            NS * (rates.CELL_ROW * rows[side] + rates.SEAL_BYTE * streams[side]) / cores[side]
            for side in sides
        ),
        deliver=2 * sum(streams) / rates.STORE_BYTES_PER_S,
        open=NS * (rates.OPEN_BYTE * sum(streams) + rates.OPEN_ROW * sum(rows)),
    )


def job_seconds(plan: PlacedPlan, conditions: Conditions) -> float:
    """How long the whole job takes, if nobody has to be asked: its steps run one after the other."""
    return rates.JOB_S + sum(seconds(step, conditions).total for step in plan.steps)


def needs(plan: PlacedPlan) -> tuple[Need, ...]:
    """What each player's process takes. From the plan alone, so that every machine finds the same."""
    return tuple(_need(plan, player) for player in plan.players)


def opening_bytes(plan: PlacedPlan) -> int:
    """Memory of a recipient: all streams of the largest part, and the rows of all of them."""
    streams = [sum(stream_bytes(part, side) for side in range(len(part.players))) for part in plan.parts]
    rows = sum(padded(part.relation.rows) * table_row_bytes(part.relation.schema) for part in plan.parts)
    return rates.PROCESS_BYTES + max(streams) + min(rows, 2 * sum(streams))


def table_row_bytes(schema: Schema) -> int:
    """A row as a table in memory: values at their longest, offsets and validity."""
    return row_bytes(schema) + 8 * len(schema)


def exchange_bytes(oprf: Oprf, bounds: tuple[int, int], side: int) -> int:
    """Memory of one exchange, the largest that is held at once."""
    cut = shards(oprf, bounds)
    own, peer = cut.bounds[side], cut.bounds[1 - side]
    if oprf == "dh":
        return rates.DH_OWN_BYTES * own + rates.DH_PEER_BYTES * peer + rates.DH_BATCH_BYTES
    slots = okvs.shape(own).table_len + okvs.shape(peer).table_len
    return rates.VOLE_FIXED_BYTES + rates.VOLE_SLOT_BYTES * slots


def _need(plan: PlacedPlan, player: str) -> Need:
    steps = [(step, side) for step in plan.steps for side, each in enumerate(step.players) if each == player]
    parts = [(step, side) for step, side in steps if isinstance(step, Part)]
    held = [(step, side) for step, side in steps if isinstance(step, Exchange) or not is_streamed(step, side)]
    below = (node for step, side in held for node in post_order(step.source(side)))
    sources = {
        node.dataset.name: node for node in below if isinstance(node, Scan) and node.dataset.player == player
    }
    read = sum(each.rows * table_row_bytes(each.schema) for each in sources.values())
    tables = sum(step.source(side).rows * table_row_bytes(step.source(side).schema) for step, side in held)
    memory = [
        _match_memory(step, side) if isinstance(step, Exchange) else _step_memory(step, side)
        for step, side in steps
    ]
    disk = sum(stream_bytes(part, side) + _spilled_bytes(part, side) for part, side in parts)
    return Need(player, rates.PROCESS_BYTES + read + tables + max(memory, default=0), disk)


def _match_memory(exchange: Exchange, side: int) -> int:
    """One exchange and the sender's cells; at the receiver these twice, and the rows that it gets."""
    memory = exchange_bytes(exchange.placement.oprf, exchange.bounds, side)
    memory += cells_bytes(exchange) + GROUP_ROW_BYTES * exchange.bounds[side]
    if exchange.players[side] == exchange.placement.at:
        memory += cells_bytes(exchange) + exchange.join.rows * table_row_bytes(exchange.join.schema)
    return memory


def is_streamed(part: Part, side: int) -> bool:
    """Whether a player never holds its rows: they go from the file to disk or into the stream."""
    return is_spilled(part, side) and is_streamable(part.source(side))


def _step_memory(part: Part, side: int) -> int:
    """One exchange; keys and lists of one part, which are held as a whole or lie on disk."""
    exchange, stream = exchange_of(part), stream_bytes(part, side)
    if exchange is None:
        return min(rates.SPILL_BYTES + rates.PARTS_IN_MEMORY * stream // SPILL_PARTS, 2 * stream) + _checks(
            part, side
        )
    exchanged = exchange_bytes(exchange.placement.oprf, exchange.bounds, side)
    if is_spilled(part, side):
        parts = rates.PARTS_IN_MEMORY * stream // SPILL_PARTS
        return exchanged + rates.SPILL_BYTES + parts + _checks(part, side)
    return exchanged + stream + GROUP_ROW_BYTES * exchange.bounds[side]


def _checks(part: Part, side: int) -> int:
    """What stays of each row that was read until the last one shows that none appears twice."""
    if not is_streamed(part, side):
        return 0
    (entry,) = part.source(side).datasets
    return rates.UNIQUE_ROW_BYTES * len(entry.unique) * entry.rows


def _spilled_bytes(part: Part, side: int) -> int:
    """On disk beside the stream, all at once: rows, inputs, half secrets, and the lists before sealing."""
    if not is_spilled(part, side):
        return 0
    stream, rows = stream_bytes(part, side), padded(part.source(side).rows)
    if not isinstance(part.placement, Sealed):
        return stream
    return 2 * stream + rates.SPILLED_ROW_BYTES * rows


def _prepare(source: Relation) -> float:
    """Reading and computing in plaintext, then the keys."""
    nanoseconds = rates.KEYS_ROW * _rows(source)
    for node in post_order(source):
        if isinstance(node, Scan):
            nanoseconds += rates.READ_VALUE * _rows(node) * len(node.schema)
        else:
            nanoseconds += rates.LOCAL_ROW * sum(_rows(each) for each in node.inputs)
    return NS * nanoseconds


def _rows(relation: Relation) -> int:
    """Products of bounds may be longer than a double; nobody waits for so many rows."""
    return min(relation.rows, 2**60)


def _exchange(exchange: Exchange | None, conditions: Conditions) -> ExchangeSeconds:
    if exchange is None:
        return ExchangeSeconds(0.0, 0.0)
    players, cut = exchange.players, shards(exchange.placement.oprf, exchange.bounds)
    cpu = max(
        cut.count * _oprf_seconds(exchange, cut, side) / conditions.cores(players[side]) for side in (0, 1)
    )
    sent = max(sent_bytes(exchange, side) for side in (0, 1))
    return ExchangeSeconds(cpu, conditions.line(*players).seconds(sent, rounds(exchange)))


def _oprf_seconds(exchange: Exchange, cut: Shards, side: int) -> float:
    """Seconds of one core for one evaluation at one player."""
    learns, serves = (each in exchange.receivers for each in (side, 1 - side))
    own, peer = cut.bounds[side], cut.bounds[1 - side] if serves else 0
    if exchange.placement.oprf == "dh":
        return NS * ((rates.DH_OWN_ROW if learns else rates.DH_PEER_ROW) * own + rates.DH_PEER_ROW * peer)
    seconds = 0.0
    if learns:
        row = rates.OKVS_ENCODE_ROW + rates.OKVS_DECODE_ROW
        seconds += rates.VOLE_FIXED_S / 2
        seconds += NS * (rates.VOLE_RECEIVE_SLOT * okvs.shape(own).table_len + row * own)
    if serves:
        seconds += rates.VOLE_FIXED_S / 2
        seconds += NS * (rates.VOLE_SEND_SLOT * okvs.shape(peer).table_len + rates.OKVS_DECODE_ROW * own)
    return seconds
