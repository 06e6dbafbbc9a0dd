"""How large a key-value store is: a function of the padded bound alone.

Source: docs/protocols/okvs.md, "Sizes"; `crates/xor-psi/src/okvs/{constants,sizes}.rs`, which this mirrors
name by name.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, tau
from typing import Final

from xor.errors import InternalError
from xor.plan.oprf.real import exp2, log2

SIGMA: Final = 40
WEIGHT: Final = 3
BIN_KEYS: Final = 2**15
MIN_KEYS: Final = 2**12
MAX_KEYS: Final = 2**30
THRESHOLD: Final = 1.223
OFFSET_BITS: Final = 9.2
SLOPE_FACTOR: Final = 0.555
SLOPE_SUMMAND: Final = 2.336
BLOCK_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """Public sizes of one table.

    Args:
        capacity: keys that fit one bin.
        slots, dense: of one bin.
    """

    bins: int
    capacity: int
    slots: int
    dense: int

    @property
    def table_len(self) -> int:
        """Blocks of the table."""
        return self.bins * (self.slots + self.dense)


@lru_cache(maxsize=1024)
def shape(bound: int) -> Shape:
    """The table for at most `bound` keys, with failure probability 2^-SIGMA."""
    if bound > MAX_KEYS:
        raise InternalError(f"a key-value store holds at most {MAX_KEYS:,} keys")
    keys = max(bound, MIN_KEYS)
    bins = -(-keys // BIN_KEYS)
    # With more than one bin, overflow and failed systems each take half of the budget.
    bits = float(SIGMA) if bins == 1 else float(SIGMA) + log2(float(bins)) + 1.0
    room = capacity(keys, bins, bits)
    slots = ceil((THRESHOLD + (bits + OFFSET_BITS) / _slope(room)) * float(room))
    return Shape(bins, room, slots, _dense(slots, bits))


@lru_cache(maxsize=1024)
def capacity(keys: int, bins: int, bits: float) -> int:
    """The smallest c: one of `bins` bins gets more than c of `keys` keys with probability ≤ 2^-bits."""
    if bins == 1:
        return keys
    fits, too_small = keys, -(-keys // bins)
    while fits - too_small > 1:
        middle = too_small + (fits - too_small) // 2
        if _log2_tail(keys, bins, middle + 1) <= -bits:
            fits = middle
        else:
            too_small = middle
    return fits


def _log2_tail(keys: int, bins: int, count: int) -> float:
    """An upper bound of log2 Pr[Binomial(keys, 1/bins) ≥ count], for mean < count < keys.

    Source: the first term by Stirling's formula with Robbins' error bounds, times a geometric series. The
    order of operations is that of the core: another one may round otherwise.
    """
    n, k = float(keys), float(count)
    p = 1.0 / float(bins)
    q = k / n
    divergence = q * log2(q / p) + (1.0 - q) * log2((1.0 - q) / (1.0 - p))
    ratio = (n - k) * p / ((k + 1.0) * (1.0 - p))
    spread = tau * k * (1.0 - q)
    return -n * divergence - 0.5 * log2(spread) - log2(1.0 - ratio)


def _slope(keys: int) -> float:
    """Bits of security gained per unit of expansion."""
    return exp2(SLOPE_FACTOR * log2(float(keys)) + SLOPE_SUMMAND)


def _dense(slots: int, bits: float) -> int:
    """The smallest g with (g + 1) (w - 2) log2(slots) ≥ bits."""
    per_dependency = float(WEIGHT - 2) * log2(float(slots))
    return max(0, ceil(bits / per_dependency) - 1)
