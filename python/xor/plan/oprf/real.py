"""Logarithms that are the same on every machine, bit for bit as in `crates/xor-psi/src/okvs/real.rs`.

Sizes are derived from them by both players and by the analyst. `math.log2` may differ in the last bit
between two systems; sums, products and quotients of doubles may not (IEEE 754).
"""

from math import frexp
from typing import Final

LN_2: Final = 0.693_147_180_559_945_309_417_232_121_458
SQRT_2: Final = 1.414_213_562_373_095_048_801_688_724_21


def log2(value: float) -> float:
    """log2 of a positive, normal number."""
    half, exponent = frexp(value)
    mantissa, power = 2.0 * half, float(exponent - 1)
    if mantissa > SQRT_2:
        mantissa /= 2.0
        power += 1.0
    # ln m = 2 artanh t for t = (m - 1) / (m + 1), |t| < 0.172: 15 terms leave less than 2^-80.
    t = (mantissa - 1.0) / (mantissa + 1.0)
    square = t * t
    total = 0.0
    for odd in reversed(range(15)):
        total = total * square + 1.0 / float(2 * odd + 1)
    return power + 2.0 * t * total / LN_2


def exp2(value: float) -> float:
    """2^value for 0 ≤ value < 64."""
    whole = int(value)
    rest = (value - float(whole)) * LN_2
    # Taylor: rest < 0.694, 20 terms leave less than 2^-70.
    total = 1.0
    for n in reversed(range(1, 20)):
        total = 1.0 + total * rest / float(n)
    return float(1 << whole) * total
