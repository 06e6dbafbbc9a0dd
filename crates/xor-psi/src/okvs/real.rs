//! Logarithms that are the same on every machine.
//!
//! Both players compute sizes from the same bound. The operating system's `log2` may differ in the last
//! bit from that of another; sums, products and quotients may not (IEEE 754).

use std::f64::consts::{LN_2, SQRT_2};

/// log2 of a positive, normal number.
pub(super) fn log2(value: f64) -> f64 {
    let bits = value.to_bits();
    let mut exponent = f64::from(u16::try_from(bits >> 52 & 0x7ff).unwrap_or(0)) - 1023.0;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh t for t = (m - 1) / (m + 1), |t| < 0.172: 15 terms leave less than 2^-80.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    for odd in (0..15_u8).rev() {
        sum = sum * square + 1.0 / f64::from(2 * odd + 1);
    }
    exponent + 2.0 * t * sum / LN_2
}

/// 2^value for 0 ≤ value < 64.
pub(super) fn exp2(value: f64) -> f64 {
    let whole = value.floor();
    let rest = (value - whole) * LN_2;
    // Taylor: rest < 0.694, 20 terms leave less than 2^-70.
    let mut sum = 1.0;
    for n in (1..20_u8).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    let mut power = 1.0;
    let mut left = whole;
    while left >= 1.0 {
        power *= 2.0;
        left -= 1.0;
    }
    power * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_exact_as_a_double() {
        for i in 1..2000_u32 {
            let value = f64::from(i) / 37.0;
            assert!((log2(value) - value.log2()).abs() < 1e-14 * (1.0 + value.log2().abs()));
            let exponent = f64::from(i) / 40.0;
            assert!((exp2(exponent) / exponent.exp2() - 1.0).abs() < 1e-14);
        }
    }
}
