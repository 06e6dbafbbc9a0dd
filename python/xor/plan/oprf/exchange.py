"""The back ends of the OPRF: which there are, and what one exchange takes, sends and bounds.

Every back end gives both players the same function with the same malicious checks, so which one runs is a
matter of cost; what differs for policies, how many keys a cheating partner may test, is in `guesses`.
"""

from dataclasses import dataclass
from typing import Final, Literal

from xor.plan.oprf import okvs, vole
from xor.plan.oprf.params import TREE_DEPTH
from xor.plan.oprf.real import log2

Oprf = Literal["dh", "vole"]

KNOWN: Final[tuple[Oprf, ...]] = ("dh", "vole")
"""What a plan may name, whatever this version runs."""
BACK_ENDS: Final[tuple[Oprf, ...]] = ("dh", "vole")
"""What the core of this version runs."""

MAX_JOINED: Final[dict[Oprf, int]] = {"dh": 2**21, "vole": 2**27}
"""Rows of a side, padded. `dh` queues all elements before it reads; `vole` runs in shards."""
MAX_MATCHED: Final = 2**24
"""Rows of a side of a matched join, padded, under any back end: both players hold its cells in memory."""
SHARD_ROWS: Final = 2**20
"""Rows of a side, about, that one exchange of `vole` takes at once."""

FRAME_BYTES: Final = 4
HELLO_BYTES: Final = 76
ELEMENT_BYTES: Final = 32
PROOF_BYTES: Final = 64
DLEQ_BATCH: Final = 2**14
COIN_FRAMES: Final = (96, 64, 64, 32)
"""`vole`: three commitments; nonce and share of the peer's seed; seed and mask; the other mask."""
FIRST_VOLE_ROUNDS: Final = 8
LATER_VOLE_ROUNDS: Final = 8
ONE_WAY_VOLE_ROUNDS: Final = 6
"""`vole`: base OTs serve all exchanges of a join."""
TABLE_FRAME_BLOCKS: Final = 2**16
"""`vole`: blocks of a table that travel in one frame."""
LANES_FROM_BYTES: Final = 2**25
"""What one side sends at least where a channel has data lanes: their one round trip more is then little."""
DATA_LANES: Final = 2
OVERFIT_BITS: Final = 80
"""log2 of the hash calls that a cheating encoder is granted."""


@dataclass(frozen=True, slots=True)
class Shards:
    """How many exchanges a join takes, and the fixed bound of each side in every one of them."""

    count: int
    bounds: tuple[int, int]


def shards(oprf: Oprf, bounds: tuple[int, int]) -> Shards:
    """The hash shards of a join: public, from its padded bounds alone.

    Source: joins, "Inputs larger than memory". A shard's bound is the capacity of a bin: more rows than that
    fall into some shard with probability below 2^-SIGMA.
    """
    count = max(1, -(-max(bounds) // SHARD_ROWS)) if oprf == "vole" else 1
    if count == 1:
        return Shards(1, bounds)
    bits = float(okvs.SIGMA) + log2(float(count)) + 1.0
    left, right = (okvs.capacity(each, count, bits) for each in bounds)
    return Shards(count, (left, right))


def sent_bytes(oprf: Oprf, bounds: tuple[int, int], side: int, receivers: tuple[int, ...] = (0, 1)) -> int:
    """Frames from one player to the other, before TLS: the hello, then the OPRF.

    Args:
        bounds: padded rows of both sides.
        receivers: the sides that learn the function on their own keys.
    """
    hello = FRAME_BYTES + HELLO_BYTES
    if oprf == "dh":
        return hello + _dh_bytes(bounds, side, receivers)
    cut = shards(oprf, bounds)
    later = (cut.count - 1) * _vole_bytes(cut.bounds, side, receivers, is_first=False)
    return hello + _vole_bytes(cut.bounds, side, receivers, is_first=True) + later


def rounds(oprf: Oprf, bounds: tuple[int, int], receivers: tuple[int, ...] = (0, 1)) -> int:
    """Changes from receiving to sending at the player that has most of them, the hello included.

    Where one side alone receives, the other one has most; its cells in a matched join are counted.
    """
    if oprf == "dh":
        return 2
    count = shards(oprf, bounds).count
    if len(receivers) == 1:
        return 1 + ONE_WAY_VOLE_ROUNDS * count
    return 1 + FIRST_VOLE_ROUNDS + LATER_VOLE_ROUNDS * (count - 1)


def lanes(busier_bytes: int) -> int:
    """Connections of a channel: one, and data lanes for what is long. Public, as both ends must agree.

    Args:
        busier_bytes: of the player that sends more.

    Source: docs/protocols/channel.md, "Lanes".
    """
    return 1 + DATA_LANES if busier_bytes >= LANES_FROM_BYTES else 1


def guesses(oprf: Oprf, bound: int, other: int) -> int:
    """How many keys a partner with that bound may test in one attempt, also if it cheats.

    `vole`: a cheating encoder fits more pairs than the bound into its table, with 2^OVERFIT_BITS hash calls
    about 128 / (128 - OVERFIT_BITS) of them for each block.

    Source: docs/protocols/okvs.md, "Overfitting".
    """
    if oprf == "dh":
        return bound
    cut = shards(oprf, (bound, other))
    return cut.count * okvs.shape(cut.bounds[0]).table_len * 128 // (128 - OVERFIT_BITS)


def _dh_bytes(bounds: tuple[int, int], side: int, receivers: tuple[int, ...]) -> int:
    """A key, own blinded elements, the peer's elements evaluated with one proof for each batch.

    Source: docs/protocols/dh-oprf.md, "Cost".
    """
    total = 0
    if side in receivers:
        total += ELEMENT_BYTES * bounds[side] + FRAME_BYTES * -(-bounds[side] // DLEQ_BATCH)
    if 1 - side in receivers:
        peer = bounds[1 - side]
        total += FRAME_BYTES + ELEMENT_BYTES
        total += ELEMENT_BYTES * peer + (FRAME_BYTES + PROOF_BYTES) * -(-peer // DLEQ_BATCH)
    return total


def _vole_bytes(bounds: tuple[int, int], side: int, receivers: tuple[int, ...], is_first: bool) -> int:
    """One exchange: coin toss, correlations of each direction, the own table masked.

    Source: docs/protocols/vole.md and okvs.md, "Cost"; `VoleOprf::sent_bytes`.
    """
    own, peer = (okvs.shape(bounds[each]).table_len if each in receivers else 0 for each in (side, 1 - side))
    coins = sum(FRAME_BYTES + each for each in COIN_FRAMES)
    correlations = vole.cost(own, TREE_DEPTH, is_first).receiver_bytes
    correlations += vole.cost(peer, TREE_DEPTH, is_first).sender_bytes
    frames = -(-own // TABLE_FRAME_BLOCKS)
    return coins + correlations + FRAME_BYTES * frames + okvs.BLOCK_BYTES * own
