//! How large a table is: a function of the public bound alone, the same on every machine.

use xor_base::constants::SIGMA;

use super::constants::{
    BIN_KEYS, MAX_KEYS, MIN_KEYS, OFFSET_BITS, SLOPE_FACTOR, SLOPE_SUMMAND, THRESHOLD, WEIGHT,
};
use super::error::OkvsError;
use super::real::{exp2, log2};

/// Public sizes of one table. Made from a bound alone, so slots and rows of a bin have 16-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Keys that may be encoded.
    pub(super) bound: usize,
    pub(super) bins: usize,
    /// Keys that fit one bin.
    pub(super) capacity: usize,
    /// Sparse slots of one bin.
    pub(super) slots: usize,
    /// Dense columns of one bin, behind its slots.
    pub(super) dense: usize,
}

impl Shape {
    /// The table for at most `bound` keys, with failure probability 2^-SIGMA.
    ///
    /// # Errors
    /// `BoundTooLarge` above 2^30 keys.
    pub fn new(bound: usize) -> Result<Self, OkvsError> {
        Self::with_security(bound, f64::from(SIGMA))
    }

    /// As [`Self::new`] with 2^-`security_bits`: for the tests that measure failures.
    pub(super) fn with_security(bound: usize, security_bits: f64) -> Result<Self, OkvsError> {
        if bound > MAX_KEYS {
            return Err(OkvsError::BoundTooLarge { limit: MAX_KEYS });
        }
        let keys = bound.max(MIN_KEYS);
        let bins = keys.div_ceil(BIN_KEYS);
        // One bin cannot overflow. With more, overflow and failed systems each take half of the budget,
        // and each bin its share of that.
        let bin_bits = match bins {
            1 => security_bits,
            _ => security_bits + log2(as_f64(bins)) + 1.0,
        };
        let capacity = capacity(keys, bins, bin_bits);
        let expansion = expansion(capacity, bin_bits);
        let slots = ceil(expansion * as_f64(capacity));
        Ok(Self {
            bound,
            bins,
            capacity,
            slots,
            dense: dense(slots, bin_bits),
        })
    }

    /// Blocks of one bin.
    #[must_use]
    pub fn bin_len(&self) -> usize {
        self.slots + self.dense
    }

    /// Blocks of the table.
    #[must_use]
    pub fn table_len(&self) -> usize {
        self.bins * self.bin_len()
    }
}

/// What each of `bins` bins holds of `keys` keys, but with probability 2^-`security_bits` for all together; half of
/// that where bins fail for another reason too.
#[must_use]
pub fn bin_capacity(keys: usize, bins: usize, security_bits: u32) -> usize {
    capacity(keys, bins, f64::from(security_bits) + log2(as_f64(bins)) + 1.0)
}

/// The smallest c such that one of `bins` bins gets more than c of `keys` keys with probability ≤ 2^-bits.
fn capacity(keys: usize, bins: usize, bits: f64) -> usize {
    if bins == 1 {
        return keys;
    }
    let mean = keys.div_ceil(bins);
    let (mut fits, mut too_small) = (keys, mean);
    while fits - too_small > 1 {
        let middle = too_small + (fits - too_small) / 2;
        if log2_tail(keys, bins, middle + 1) <= -bits {
            fits = middle;
        } else {
            too_small = middle;
        }
    }
    fits
}

/// An upper bound of log2 Pr[Binomial(keys, 1/bins) ≥ count], for mean < count < keys: its first term by
/// Stirling's formula with Robbins' error bounds, times the geometric series above the others.
fn log2_tail(keys: usize, bins: usize, count: usize) -> f64 {
    let (n, k) = (as_f64(keys), as_f64(count));
    let p = 1.0 / as_f64(bins);
    let q = k / n;
    let divergence = q * log2(q / p) + (1.0 - q) * log2((1.0 - q) / (1.0 - p));
    let ratio = (n - k) * p / ((k + 1.0) * (1.0 - p));
    let spread = std::f64::consts::TAU * k * (1.0 - q);
    -n * divergence - 0.5 * log2(spread) - log2(1.0 - ratio)
}

/// Slots for each key of a bin.
pub(super) fn expansion(bin_keys: usize, bits: f64) -> f64 {
    THRESHOLD + (bits + OFFSET_BITS) / slope(bin_keys)
}

/// Bits of security gained per unit of expansion.
pub(super) fn slope(bin_keys: usize) -> f64 {
    exp2(SLOPE_FACTOR * log2(as_f64(bin_keys)) + SLOPE_SUMMAND)
}

/// Dense columns: the smallest g with (g + 1) (w - 2) log2(slots) ≥ bits, so that g + 1 small dependencies
/// in one bin are rare enough.
fn dense(slots: usize, bits: f64) -> usize {
    let per_dependency = f64::from(WEIGHT - 2) * log2(as_f64(slots));
    ceil(bits / per_dependency).saturating_sub(1)
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn ceil(value: f64) -> usize {
    value.ceil() as usize
}
