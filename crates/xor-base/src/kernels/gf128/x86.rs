//! PCLMULQDQ, and its form on two products at once.

// The one index is a documented part of a caller's contract.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_clmulepi64_si128, _mm_set_epi64x, _mm_slli_si128, _mm_srli_si128, _mm_xor_si128,
    _mm256_castsi256_si128, _mm256_clmulepi64_epi128, _mm256_extracti128_si256, _mm256_set_epi64x,
    _mm256_set_m128i, _mm256_setzero_si256, _mm256_slli_si256, _mm256_srli_si256, _mm256_xor_si256,
};

use crate::kernels::Block;
use crate::kernels::x86::{broadcast, load1, load2, store1, store2};

/// x^128 modulo the polynomial.
const FOLD: i64 = 0x87;

/// A product before reduction: low + middle · x^64 + high · x^128.
#[derive(Clone, Copy)]
struct Product {
    low: __m128i,
    middle: __m128i,
    high: __m128i,
}

#[derive(Clone, Copy)]
struct WideProduct {
    low: __m256i,
    middle: __m256i,
    high: __m256i,
}

#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
fn product(a: __m128i, b: __m128i) -> Product {
    Product {
        low: _mm_clmulepi64_si128(a, b, 0x00),
        middle: _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x10), _mm_clmulepi64_si128(a, b, 0x01)),
        high: _mm_clmulepi64_si128(a, b, 0x11),
    }
}

#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
fn reduce(product: Product) -> __m128i {
    let fold = _mm_set_epi64x(0, FOLD);
    let low = _mm_xor_si128(product.low, _mm_slli_si128(product.middle, 8));
    let high = _mm_xor_si128(product.high, _mm_srli_si128(product.middle, 8));
    // high = h0 + h1 · x^64; h1 folds to x^64, its overflow joins h0, and that folds to 1.
    let first = _mm_clmulepi64_si128(high, fold, 0x01);
    let low = _mm_xor_si128(low, _mm_slli_si128(first, 8));
    let rest = _mm_xor_si128(high, _mm_srli_si128(first, 8));
    _mm_xor_si128(low, _mm_clmulepi64_si128(rest, fold, 0x00))
}

#[inline]
#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
fn wide_product(a: __m256i, b: __m256i) -> WideProduct {
    WideProduct {
        low: _mm256_clmulepi64_epi128(a, b, 0x00),
        middle: _mm256_xor_si256(
            _mm256_clmulepi64_epi128(a, b, 0x10),
            _mm256_clmulepi64_epi128(a, b, 0x01),
        ),
        high: _mm256_clmulepi64_epi128(a, b, 0x11),
    }
}

#[inline]
#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
fn wide_reduce(product: WideProduct) -> __m256i {
    let fold = _mm256_set_epi64x(0, FOLD, 0, FOLD);
    let low = _mm256_xor_si256(product.low, _mm256_slli_si256(product.middle, 8));
    let high = _mm256_xor_si256(product.high, _mm256_srli_si256(product.middle, 8));
    let first = _mm256_clmulepi64_epi128(high, fold, 0x01);
    let low = _mm256_xor_si256(low, _mm256_slli_si256(first, 8));
    let rest = _mm256_xor_si256(high, _mm256_srli_si256(first, 8));
    _mm256_xor_si256(low, _mm256_clmulepi64_epi128(rest, fold, 0x00))
}

#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn mul(a: Block, b: Block) -> Block {
    let mut out = Block::ZERO;
    store1(&mut out, reduce(product(load1(&a), load1(&b))));
    out
}

#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn mul_add_slices(acc: &mut [Block], a: &[Block], b: Block) {
    let b = load1(&b);
    for (acc, a) in acc.iter_mut().zip(a) {
        let sum = _mm_xor_si128(load1(acc), reduce(product(load1(a), b)));
        store1(acc, sum);
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn mul_add_pairs(acc: &mut [Block], a: &[Block], b: &[Block]) {
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        let sum = _mm_xor_si128(load1(acc), reduce(product(load1(a), load1(b))));
        store1(acc, sum);
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn inner_product(a: &[Block], b: &[Block]) -> Block {
    let zero = _mm_set_epi64x(0, 0);
    let mut sum = Product {
        low: zero,
        middle: zero,
        high: zero,
    };
    for (a, b) in a.iter().zip(b) {
        sum = add(sum, product(load1(a), load1(b)));
    }
    let mut out = Block::ZERO;
    store1(&mut out, reduce(sum));
    out
}

#[inline]
#[target_feature(enable = "sse2")]
fn add(a: Product, b: Product) -> Product {
    Product {
        low: _mm_xor_si128(a.low, b.low),
        middle: _mm_xor_si128(a.middle, b.middle),
        high: _mm_xor_si128(a.high, b.high),
    }
}

#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
pub(super) fn wide_mul_add_slices(acc: &mut [Block], a: &[Block], b: Block) {
    let factor = broadcast(&b);
    let (acc, acc_tail) = acc.as_chunks_mut::<2>();
    let (a, a_tail) = a.as_chunks::<2>();
    for (acc, a) in acc.iter_mut().zip(a) {
        let sum = _mm256_xor_si256(load2(acc), wide_reduce(wide_product(load2(a), factor)));
        store2(acc, sum);
    }
    mul_add_slices(acc_tail, a_tail, b);
}

#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
pub(super) fn wide_mul_add_pairs(acc: &mut [Block], a: &[Block], b: &[Block]) {
    let (acc, acc_tail) = acc.as_chunks_mut::<2>();
    let (a, a_tail) = a.as_chunks::<2>();
    let (b, b_tail) = b.as_chunks::<2>();
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        let sum = _mm256_xor_si256(load2(acc), wide_reduce(wide_product(load2(a), load2(b))));
        store2(acc, sum);
    }
    mul_add_pairs(acc_tail, a_tail, b_tail);
}

#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
pub(super) fn wide_inner_product(a: &[Block], b: &[Block]) -> Block {
    let (a, a_tail) = a.as_chunks::<2>();
    let (b, b_tail) = b.as_chunks::<2>();
    let zero = _mm256_setzero_si256();
    let mut sum = WideProduct {
        low: zero,
        middle: zero,
        high: zero,
    };
    for (a, b) in a.iter().zip(b) {
        let product = wide_product(load2(a), load2(b));
        sum.low = _mm256_xor_si256(sum.low, product.low);
        sum.middle = _mm256_xor_si256(sum.middle, product.middle);
        sum.high = _mm256_xor_si256(sum.high, product.high);
    }
    let mut out = Block::ZERO;
    store1(
        &mut out,
        reduce(Product {
            low: fold_lanes(sum.low),
            middle: fold_lanes(sum.middle),
            high: fold_lanes(sum.high),
        }),
    );
    out ^ inner_product(a_tail, b_tail)
}

#[inline]
#[target_feature(enable = "avx2")]
fn fold_lanes(wide: __m256i) -> __m128i {
    _mm_xor_si128(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1))
}

#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
pub(super) fn wide_add_polynomials(
    acc: &mut [Block],
    points: &[u64],
    groups: &[u16],
    coefficients: &[Block],
    degree: usize,
) {
    // The degrees that occur are unrolled.
    match degree {
        2 => wide_add_unrolled::<2>(acc, points, groups, coefficients),
        3 => wide_add_unrolled::<3>(acc, points, groups, coefficients),
        4 => wide_add_unrolled::<4>(acc, points, groups, coefficients),
        _ => super::portable::add_polynomials(acc, points, groups, coefficients, degree, super::mul),
    }
}

#[inline]
#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
fn wide_add_unrolled<const DEGREE: usize>(
    acc: &mut [Block],
    points: &[u64],
    groups: &[u16],
    coefficients: &[Block],
) {
    let (coefficients, _) = coefficients.as_chunks::<DEGREE>();
    let (acc, acc_tail) = acc.as_chunks_mut::<2>();
    let (points, points_tail) = points.as_chunks::<2>();
    let (groups, groups_tail) = groups.as_chunks::<2>();
    for ((acc, [low, high]), [first, second]) in acc.iter_mut().zip(points).zip(groups) {
        let point = _mm256_set_epi64x(0, high.cast_signed(), 0, low.cast_signed());
        let (first, second) = (
            &coefficients[usize::from(*first)],
            &coefficients[usize::from(*second)],
        );
        let mut sum = _mm256_setzero_si256();
        for (first, second) in first.iter().zip(second).rev() {
            let both = _mm256_set_m128i(load1(second), load1(first));
            sum = wide_mul_short(_mm256_xor_si256(sum, both), point);
        }
        store2(acc, _mm256_xor_si256(load2(acc), sum));
    }
    let coefficients = coefficients.as_flattened();
    super::portable::add_polynomials(
        acc_tail,
        points_tail,
        groups_tail,
        coefficients,
        DEGREE,
        super::mul,
    );
}

/// A product by an element of degree below 64: three quarters of the instructions and half the latency.
#[inline]
#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx2")]
fn wide_mul_short(a: __m256i, short: __m256i) -> __m256i {
    let fold = _mm256_set_epi64x(0, FOLD, 0, FOLD);
    let low = _mm256_clmulepi64_epi128(a, short, 0x00);
    let high = _mm256_clmulepi64_epi128(a, short, 0x01);
    let top = _mm256_clmulepi64_epi128(high, fold, 0x01);
    _mm256_xor_si256(_mm256_xor_si256(low, top), _mm256_slli_si256(high, 8))
}
