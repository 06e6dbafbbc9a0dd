//! Sixteen messages, in AVX-512.

// Indices are constants, or lengths bounded by the caller.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_ror_epi32,
    _mm512_set1_epi32, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::super::{LANES, Padded, SHORT_BYTES};
use super::compression;

compression!("avx512f,avx512bw", __m512i);

/// Messages of at most 64 bytes, filled up with zeros.
#[target_feature(enable = "avx512f,avx512bw")]
pub(in super::super) fn derive_short(
    key: &[u8; 32],
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    outs: &mut [u8],
    length: usize,
) {
    let mut words = [splat(0); 16];
    for (word, message) in words.iter_mut().zip(messages) {
        *word = load(message);
    }
    let words = transpose(words);
    let chaining = key_words(key);
    let lengths = load(lengths);
    for (counter, start) in (0_u32..).zip((0..length).step_by(SHORT_BYTES)) {
        let rows = transpose(compress(&chaining, &words, lengths, counter));
        let end = length.min(start + SHORT_BYTES);
        for (out, row) in outs.chunks_exact_mut(length).zip(rows) {
            store(&mut out[start..end], row);
        }
    }
}

/// Word `j` of row `i` becomes word `i` of row `j`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(mut rows: [__m512i; 16]) -> [__m512i; 16] {
    // Four by four within each quarter of the registers.
    for four in rows.as_chunks_mut::<4>().0 {
        let [r0, r1, r2, r3] = *four;
        let (low, high) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
        let (next_low, next_high) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
        *four = [
            _mm512_unpacklo_epi64(low, next_low),
            _mm512_unpackhi_epi64(low, next_low),
            _mm512_unpacklo_epi64(high, next_high),
            _mm512_unpackhi_epi64(high, next_high),
        ];
    }
    // Then the quarters.
    for i in 0..4 {
        let [q0, q1, q2, q3] = [rows[i], rows[i + 4], rows[i + 8], rows[i + 12]];
        let (even, odd) = (even_quarters(q0, q1), odd_quarters(q0, q1));
        let (next_even, next_odd) = (even_quarters(q2, q3), odd_quarters(q2, q3));
        rows[i] = even_quarters(even, next_even);
        rows[i + 4] = even_quarters(odd, next_odd);
        rows[i + 8] = odd_quarters(even, next_even);
        rows[i + 12] = odd_quarters(odd, next_odd);
    }
    rows
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn even_quarters(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn odd_quarters(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(a: __m512i, b: __m512i) -> __m512i {
    _mm512_xor_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate_16(x: __m512i) -> __m512i {
    _mm512_ror_epi32::<16>(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate_12(x: __m512i) -> __m512i {
    _mm512_ror_epi32::<12>(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate_8(x: __m512i) -> __m512i {
    _mm512_ror_epi32::<8>(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate_7(x: __m512i) -> __m512i {
    _mm512_ror_epi32::<7>(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn splat(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load<T: crate::kernels::memory::Plain, const N: usize>(from: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == SHORT_BYTES) }
    // SAFETY: 64 readable bytes; the load takes any alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The first bytes of `value`, as many as there is room for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(into: &mut [u8], value: __m512i) {
    let mask = u64::MAX.unbounded_shr((SHORT_BYTES - into.len()) as u32);
    // SAFETY: writes the bytes of the mask only, all of them exclusively borrowed.
    unsafe { _mm512_mask_storeu_epi8(into.as_mut_ptr().cast(), mask, value) }
}
