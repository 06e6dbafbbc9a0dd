//! Products without carry-less multiplication instructions.

use crate::kernels::Block;

/// `a · b`.
#[must_use]
pub fn mul(a: Block, b: Block) -> Block {
    let ((a0, a1), (b0, b1)) = (a.halves(), b.halves());
    let low = carry_less(a0, b0);
    let high = carry_less(a1, b1);
    let middle = carry_less(a0 ^ a1, b0 ^ b1) ^ low ^ high;
    Block(reduce(low ^ (middle << 64), high ^ (middle >> 64)))
}

/// As [`super::mul_add_slices`].
pub fn mul_add_slices(acc: &mut [Block], a: &[Block], b: Block) {
    for (acc, a) in acc.iter_mut().zip(a) {
        *acc ^= mul(*a, b);
    }
}

/// As [`super::mul_add_pairs`].
pub fn mul_add_pairs(acc: &mut [Block], a: &[Block], b: &[Block]) {
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        *acc ^= mul(*a, *b);
    }
}

/// As [`super::inner_product`].
#[must_use]
pub fn inner_product(a: &[Block], b: &[Block]) -> Block {
    a.iter().zip(b).fold(Block::ZERO, |sum, (a, b)| sum ^ mul(*a, *b))
}

/// As [`super::add_polynomials`], with the product of one's choice.
pub fn add_polynomials(
    acc: &mut [Block],
    points: &[u64],
    groups: &[u16],
    coefficients: &[Block],
    degree: usize,
    mul: impl Fn(Block, Block) -> Block,
) {
    for ((acc, point), group) in acc.iter_mut().zip(points).zip(groups) {
        let point = Block(u128::from(*point));
        let mut sum = Block::ZERO;
        for coefficient in super::group(coefficients, *group, degree).iter().rev() {
            sum = mul(sum ^ *coefficient, point);
        }
        *acc ^= sum;
    }
}

/// `low + high · x^128` modulo the polynomial: x^128 = x^7 + x^2 + x + 1.
fn reduce(low: u128, high: u128) -> u128 {
    // The bits that the shifts push out of `high` come back once more; they are below x^7.
    let out = (high >> 127) ^ (high >> 126) ^ (high >> 121);
    let high = high ^ out;
    low ^ high ^ (high << 1) ^ (high << 2) ^ (high << 7)
}

/// The product of two polynomials of degree below 64.
fn carry_less(a: u64, b: u64) -> u128 {
    let low = low_half(a, b);
    let high = low_half(a.reverse_bits(), b.reverse_bits()).reverse_bits() >> 1;
    u128::from(high) << 64 | u128::from(low)
}

/// Its low 64 coefficients, by integer products of numbers with three empty bits between any two: at most
/// 15 ones are added below the topmost place, so no carry reaches the next used bit.
///
/// # Source
/// Pornin, BearSSL, `ghash_ctmul64`. Constant time where the 64-bit multiplication is.
fn low_half(a: u64, b: u64) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let part = |word: u64, i: u32| word & (EVERY_FOURTH << i);
    let mut sum = 0;
    for i in 0..4_u32 {
        let mut place = 0;
        for j in 0..4_u32 {
            place ^= part(a, j).wrapping_mul(part(b, (4 + i - j) % 4));
        }
        sum |= part(place, i);
    }
    sum
}
