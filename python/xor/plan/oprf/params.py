"""Parameters of the VOLE, mirrored from `crates/xor-correlation/src/params.rs`. Their reasons stand there.

Only what sizes need; a change there that is not made here fails `tests/unit/plan/test_oprf_sizes.py`.
"""

from dataclasses import dataclass
from typing import Final

BASE_OTS: Final = 128
POINT_BYTES: Final = 32
LATTICE_ASKED_BYTES: Final = 2 * 1152 + 32
"""Of one base OT: two vectors of ML-KEM-768 and the seed of their matrix."""
LATTICE_ANSWERED_BYTES: Final = 2 * 1088
"""Its two ciphertexts."""
DIGEST_BYTES: Final = 32
BLOCK_BYTES: Final = 16
WORD: Final = 128
"""COTs of different uses start at different blocks of this many."""
PROOF_BLOCKS: Final = 2
"""Blocks of a tree's proof in SoftSpoken."""
MAX_SLOTS: Final = 2**25

TREE_DEPTH: Final = 4
"""Base OTs that share one tree of SoftSpoken; 8 would save 0.2 MB of the 23 MB of a million keys."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Regular noise: `trees` blocks of 2^depth positions."""

    trees: int
    depth: int

    @property
    def block(self) -> int:
        return 1 << self.depth

    @property
    def length(self) -> int:
        return self.trees << self.depth


DUAL_NOISE: Final = Noise(trees=560, depth=8)
DUAL_OUTPUTS: Final = DUAL_NOISE.length // 2
DUAL_BASE: Final = DUAL_NOISE.trees + 1
PRIMAL_NOISE: Final = Noise(trees=850, depth=10)
PRIMAL_SECRET: Final = 2**16


def primal_base(trees: int) -> int:
    """Base VOLEs that a primal step consumes: secret, noise and the mask of its check."""
    return PRIMAL_SECRET + trees + 1
