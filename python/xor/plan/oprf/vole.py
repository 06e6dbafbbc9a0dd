"""What the correlations of one direction put on the channel: from a number of slots to bytes.

Source: docs/protocols/{vole,softspoken,base-ot}.md, "Cost"; `crates/xor-correlation/src/plan.rs`, which this
mirrors.
"""

from collections.abc import Iterator
from typing import NamedTuple

from xor.plan.oprf.params import (
    BASE_OTS,
    BLOCK_BYTES,
    DIGEST_BYTES,
    DUAL_BASE,
    DUAL_NOISE,
    DUAL_OUTPUTS,
    LATTICE_ANSWERED_BYTES,
    LATTICE_ASKED_BYTES,
    POINT_BYTES,
    PRIMAL_NOISE,
    PROOF_BLOCKS,
    WORD,
    Noise,
    primal_base,
)

FRAME_BYTES = 4


class Cost(NamedTuple):
    """One direction of one attempt, frame headers included. Units: bytes.

    Args:
        receiver_bytes: sent by the player without Δ.
        sender_bytes: sent by the player with Δ.
    """

    receiver_bytes: int
    sender_bytes: int


def cost(slots: int, tree_depth: int, is_first: bool) -> Cost:
    """The exact cost of `slots` VOLEs: base OTs from the group in every attempt, of both kinds in a first."""
    if slots == 0:
        return Cost(0, 0)
    steps = (DUAL_NOISE, *primal_steps(slots))
    asked, answered = 2 * POINT_BYTES * BASE_OTS, POINT_BYTES
    receiver = _framed(answered) + _framed(setup_bytes(tree_depth))
    receiver += _framed(extension_bytes(tree_depth, cots(slots)))
    sender = _framed(extension_bytes(tree_depth, BASE_OTS)) + _framed(asked)
    if is_first:
        receiver += _framed(asked + LATTICE_ASKED_BYTES * BASE_OTS)
        sender += _framed(answered + LATTICE_ANSWERED_BYTES * BASE_OTS) + _framed(setup_bytes(tree_depth))
    receiver += _framed(BLOCK_BYTES * len(steps))
    sender += sum(_framed(each.trees * (2 * each.depth + 1) * BLOCK_BYTES) for each in steps)
    return Cost(receiver, sender + _framed(DIGEST_BYTES))


def primal_steps(slots: int) -> Iterator[Noise]:
    """The primal steps; the last may need fewer trees, which is a part of the same LPN instance."""
    missing = slots if slots > DUAL_OUTPUTS else 0
    while missing > 0:
        trees = min(-(-missing // PRIMAL_NOISE.block), PRIMAL_NOISE.trees)
        yield Noise(trees, PRIMAL_NOISE.depth)
        made = trees * PRIMAL_NOISE.block
        # All but the last step pay for the next.
        missing = 0 if made >= missing else missing - (made - primal_base(PRIMAL_NOISE.trees))


def cots(slots: int) -> int:
    """COTs of one attempt: bits of the base VOLEs, then the paths of all trees."""
    paths = sum(_path_words(each) for each in primal_steps(slots))
    return (DUAL_BASE + _path_words(DUAL_NOISE) + paths) * WORD


def setup_bytes(tree_depth: int) -> int:
    proof = PROOF_BLOCKS * BLOCK_BYTES + DIGEST_BYTES
    return BASE_OTS * 2 * BLOCK_BYTES + _groups(tree_depth) * proof


def extension_bytes(tree_depth: int, count: int) -> int:
    words = -(-count // WORD) + 1
    return (_groups(tree_depth) - 1) * words * BLOCK_BYTES + BLOCK_BYTES + DIGEST_BYTES


def _path_words(noise: Noise) -> int:
    return -(-noise.trees * noise.depth // WORD)


def _groups(tree_depth: int) -> int:
    return -(-BASE_OTS // tree_depth)


def _framed(count: int) -> int:
    return count + FRAME_BYTES
