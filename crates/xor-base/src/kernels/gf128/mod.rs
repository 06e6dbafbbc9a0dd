//! The field with 2^128 elements, many products at once.
//!
//! Polynomial basis modulo x^128 + x^7 + x^2 + x + 1: bit `i` of a block is the coefficient of x^i.
//! Addition is exclusive-or. No path branches on an element or indexes by it.

// The one index is a documented part of a caller's contract.
#![allow(clippy::indexing_slicing)]

pub mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::Block;

/// `a · b`.
#[must_use]
pub fn mul(a: Block, b: Block) -> Block {
    #[cfg(target_arch = "x86_64")]
    if has_clmul() {
        // SAFETY: the instruction was just detected.
        return unsafe { x86::mul(a, b) };
    }
    portable::mul(a, b)
}

/// `acc[i] += a[i] · b`.
///
/// # Panics
/// If the lengths differ.
pub fn mul_add_slices(acc: &mut [Block], a: &[Block], b: Block) {
    assert_eq!(acc.len(), a.len());
    #[cfg(target_arch = "x86_64")]
    {
        if has_wide_clmul() {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::wide_mul_add_slices(acc, a, b) };
        }
        if has_clmul() {
            // SAFETY: the instruction was just detected.
            return unsafe { x86::mul_add_slices(acc, a, b) };
        }
    }
    portable::mul_add_slices(acc, a, b);
}

/// `acc[i] += a[i] · b[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn mul_add_pairs(acc: &mut [Block], a: &[Block], b: &[Block]) {
    assert_eq!(acc.len(), a.len());
    assert_eq!(acc.len(), b.len());
    #[cfg(target_arch = "x86_64")]
    {
        if has_wide_clmul() {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::wide_mul_add_pairs(acc, a, b) };
        }
        if has_clmul() {
            // SAFETY: the instruction was just detected.
            return unsafe { x86::mul_add_pairs(acc, a, b) };
        }
    }
    portable::mul_add_pairs(acc, a, b);
}

/// `a[0] · b[0] + a[1] · b[1] + …`, reduced once.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn inner_product(a: &[Block], b: &[Block]) -> Block {
    assert_eq!(a.len(), b.len());
    #[cfg(target_arch = "x86_64")]
    {
        if has_wide_clmul() {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::wide_inner_product(a, b) };
        }
        if has_clmul() {
            // SAFETY: the instruction was just detected.
            return unsafe { x86::inner_product(a, b) };
        }
    }
    portable::inner_product(a, b)
}

/// `acc[i] += k · c[0] + k² · c[1] + …`: a polynomial without constant term at `k = points[i]`, an element of
/// degree below 64. Polynomial `g` has `coefficients[g · degree..][..degree]`, and `groups[i]` chooses `g`.
///
/// # Panics
/// If the lengths differ, or a group has no coefficients.
///
/// # Security
/// Time and memory accesses depend on `groups`, and on nothing else.
pub fn add_polynomials(
    acc: &mut [Block],
    points: &[u64],
    groups: &[u16],
    coefficients: &[Block],
    degree: usize,
) {
    assert_eq!(acc.len(), points.len());
    assert_eq!(acc.len(), groups.len());
    #[cfg(target_arch = "x86_64")]
    {
        if has_wide_clmul() {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::wide_add_polynomials(acc, points, groups, coefficients, degree) };
        }
    }
    portable::add_polynomials(acc, points, groups, coefficients, degree, mul);
}

/// The coefficients of one group.
fn group(coefficients: &[Block], group: u16, degree: usize) -> &[Block] {
    let start = usize::from(group) * degree;
    &coefficients[start..start + degree]
}

/// `x, x², …`.
pub fn powers(x: Block, out: &mut [Block]) {
    let mut power = Block::ONE;
    for out in out {
        power = mul(power, x);
        *out = power;
    }
}

/// `1 / a`, and 0 for 0.
///
/// # Source
/// Fermat: a^(2^128 - 2), by 127 squarings and products whatever `a` is.
#[must_use]
pub fn inverse(a: Block) -> Block {
    // After i steps: a^(2^(i + 1) - 1).
    let mut power = a;
    for _ in 0..126 {
        power = mul(mul(power, power), a);
    }
    mul(power, power)
}

/// The kernels on slices of one path.
pub struct Path {
    pub name: &'static str,
    pub mul_add_slices: fn(&mut [Block], &[Block], Block),
    pub mul_add_pairs: fn(&mut [Block], &[Block], &[Block]),
    pub inner_product: fn(&[Block], &[Block]) -> Block,
}

/// Every path that this processor can run, the portable one first: for tests and measurements.
#[must_use]
pub fn paths() -> Vec<Path> {
    #[allow(unused_mut)]
    let mut paths = vec![Path {
        name: "portable",
        mul_add_slices: portable::mul_add_slices,
        mul_add_pairs: portable::mul_add_pairs,
        inner_product: portable::inner_product,
    }];
    #[cfg(target_arch = "x86_64")]
    if has_clmul() {
        paths.push(Path {
            name: "PCLMULQDQ",
            // SAFETY: this path is taken only where the instruction was detected.
            mul_add_slices: |acc, a, b| unsafe { x86::mul_add_slices(acc, a, b) },
            // SAFETY: as above.
            mul_add_pairs: |acc, a, b| unsafe { x86::mul_add_pairs(acc, a, b) },
            // SAFETY: as above.
            inner_product: |a, b| unsafe { x86::inner_product(a, b) },
        });
    }
    #[cfg(target_arch = "x86_64")]
    if has_wide_clmul() {
        paths.push(Path {
            name: "VPCLMULQDQ",
            // SAFETY: this path is taken only where the instructions were detected.
            mul_add_slices: |acc, a, b| unsafe { x86::wide_mul_add_slices(acc, a, b) },
            // SAFETY: as above.
            mul_add_pairs: |acc, a, b| unsafe { x86::wide_mul_add_pairs(acc, a, b) },
            // SAFETY: as above.
            inner_product: |a, b| unsafe { x86::wide_inner_product(a, b) },
        });
    }
    paths
}

#[cfg(target_arch = "x86_64")]
fn has_clmul() -> bool {
    is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse2")
}

#[cfg(target_arch = "x86_64")]
fn has_wide_clmul() -> bool {
    is_x86_feature_detected!("vpclmulqdq") && is_x86_feature_detected!("avx2") && has_clmul()
}

#[cfg(test)]
mod tests;
