//! AVX2. Shifted entries are added without reduction, their carries apart; both are put together once a row.

// 16-bit numbers index arrays of 2^16 elements.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m256i, _mm_xor_si128, _mm256_and_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_set_epi64x, _mm256_set_m128i, _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_slli_epi64,
    _mm256_srli_epi64, _mm256_xor_si256,
};

use super::{Pair, Row, TABLE};
use crate::kernels::Block;
use crate::kernels::x86::{load1, load2, store1};

/// Σ x^j · load(row[j]) for j < 10, in both lanes.
macro_rules! sum {
    ($row:expr, $load:expr, $($power:literal $rest:literal),*) => {{
        let mut sum: __m256i = $load($row[0]);
        let mut carry = _mm256_setzero_si256();
        $(
            let term: __m256i = $load($row[$power]);
            sum = _mm256_xor_si256(sum, _mm256_slli_epi64::<$power>(term));
            carry = _mm256_xor_si256(carry, _mm256_srli_epi64::<$rest>(term));
        )*
        reduce(sum, carry)
    }};
    ($row:expr, $load:expr) => {
        sum!($row, $load, 1 63, 2 62, 3 61, 4 60, 5 59, 6 58, 7 57, 8 56, 9 55)
    };
}

/// The carry of a lower half belongs above it; that of an upper half, below x^9, folds by
/// x^128 = x^7 + x^2 + x + 1 into the lower half, where it still fits.
#[inline]
#[target_feature(enable = "avx2")]
fn reduce(sum: __m256i, carry: __m256i) -> __m256i {
    let swapped = _mm256_shuffle_epi32::<0b01_00_11_10>(carry);
    let lower = _mm256_and_si256(swapped, _mm256_set_epi64x(0, -1, 0, -1));
    let folded = _mm256_xor_si256(
        _mm256_xor_si256(_mm256_slli_epi64::<1>(lower), _mm256_slli_epi64::<2>(lower)),
        _mm256_slli_epi64::<7>(lower),
    );
    _mm256_xor_si256(sum, _mm256_xor_si256(swapped, folded))
}

#[target_feature(enable = "avx2")]
pub(super) fn add_products(rows: &[Row], table: &[Block; TABLE], out: &mut [Block]) {
    // Two rows side by side.
    let (pairs, rest) = rows.as_chunks::<2>();
    let (outs, out_rest) = out.as_chunks_mut::<2>();
    for (rows, out) in pairs.iter().zip(outs) {
        let both: [[u16; 2]; super::WEIGHT] = std::array::from_fn(|j| [rows[0][j], rows[1][j]]);
        let sum = two(&both, table);
        let [one, other] = out;
        store1(one, _mm_xor_si128(load1(one), _mm256_castsi256_si128(sum)));
        store1(
            other,
            _mm_xor_si128(load1(other), _mm256_extracti128_si256::<1>(sum)),
        );
    }
    for (row, out) in rest.iter().zip(out_rest) {
        let sum = two(&row.map(|position| [position, position]), table);
        store1(out, _mm_xor_si128(load1(out), _mm256_castsi256_si128(sum)));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn two(row: &[[u16; 2]; super::WEIGHT], table: &[Block; TABLE]) -> __m256i {
    let load = |[one, other]: [u16; 2]| {
        _mm256_set_m128i(load1(&table[usize::from(other)]), load1(&table[usize::from(one)]))
    };
    sum!(row, load)
}

#[target_feature(enable = "avx2")]
pub(super) fn add_pair_products(rows: &[Row], table: &[Pair; TABLE], a: &mut [Block], c: &mut [Block]) {
    for ((a, c), row) in a.iter_mut().zip(c).zip(rows) {
        let load = |position: u16| {
            let Pair { a, c } = table[usize::from(position)];
            load2(&[a, c])
        };
        let sum = sum!(row, load);
        store1(a, _mm_xor_si128(load1(a), _mm256_castsi256_si128(sum)));
        store1(c, _mm_xor_si128(load1(c), _mm256_extracti128_si256::<1>(sum)));
    }
}
