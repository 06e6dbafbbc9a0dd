//! Eight messages, in AVX2.

// Indices are constants, or lengths bounded by the caller.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::super::{LANES, Padded, SHORT_BYTES, Scratch};
use super::compression;

/// Lanes of a register.
const HALF: usize = LANES / 2;

compression!("avx2", __m256i);

/// Messages of at most 64 bytes, filled up with zeros.
#[target_feature(enable = "avx2")]
pub(in super::super) fn derive_short(
    key: &[u8; 32],
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    outs: &mut [u8],
    length: usize,
) {
    let mut bytes = Scratch::zeros();
    let key = key_words(key);
    let (messages, lengths) = (messages.as_chunks::<HALF>().0, lengths.as_chunks::<HALF>().0);
    for ((messages, lengths), outs) in messages.iter().zip(lengths).zip(outs.chunks_mut(HALF * length)) {
        derive_half(&key, messages, load_words(lengths), outs, length, &mut bytes.0);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn derive_half(
    key: &[__m256i; 8],
    messages: &[Padded; HALF],
    lengths: __m256i,
    outs: &mut [u8],
    length: usize,
    bytes: &mut [Padded; HALF],
) {
    let mut words = [splat(0); 16];
    let (low, high) = words.split_at_mut(8);
    for (half, words) in [low, high].into_iter().enumerate() {
        let mut rows = [splat(0); 8];
        for (row, message) in rows.iter_mut().zip(messages) {
            *row = load(&message[half * 32..]);
        }
        words.copy_from_slice(&transpose(rows));
    }
    for (counter, start) in (0_u32..).zip((0..length).step_by(SHORT_BYTES)) {
        let state = compress(key, &words, lengths, counter);
        if length - start >= SHORT_BYTES {
            let outs = outs.chunks_exact_mut(length);
            store_rows(&state, outs.map(|out| &mut out[start..start + SHORT_BYTES]));
        } else {
            store_rows(&state, bytes.iter_mut().map(<[u8; SHORT_BYTES]>::as_mut_slice));
            for (out, bytes) in outs.chunks_exact_mut(length).zip(bytes.iter()) {
                out[start..].copy_from_slice(&bytes[..length - start]);
            }
        }
    }
}

/// Writes the output block of each message to its place, for as many as there are places.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows<'o>(state: &[__m256i; 16], places: impl Iterator<Item = &'o mut [u8]>) {
    let mut halves = [[state[0]; 8]; 2];
    for (half, rows) in halves.iter_mut().enumerate() {
        rows.copy_from_slice(&state[half * 8..][..8]);
        *rows = transpose(*rows);
    }
    for (lane, place) in (0..HALF).zip(places) {
        store(place, halves[0][lane]);
        store(&mut place[32..], halves[1][lane]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const RIGHT: i32, const LEFT: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_srli_epi32(x, RIGHT), _mm256_slli_epi32(x, LEFT))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_16(x: __m256i) -> __m256i {
    let order = _mm256_setr_epi8(
        2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15,
        12, 13,
    );
    _mm256_shuffle_epi8(x, order)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_12(x: __m256i) -> __m256i {
    rotate::<12, 20>(x)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_7(x: __m256i) -> __m256i {
    rotate::<7, 25>(x)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_8(x: __m256i) -> __m256i {
    let order = _mm256_setr_epi8(
        1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14,
        15, 12,
    );
    _mm256_shuffle_epi8(x, order)
}

/// Word `j` of row `i` becomes word `i` of row `j`.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let low = |a, b| _mm256_unpacklo_epi32(a, b);
    let high = |a, b| _mm256_unpackhi_epi32(a, b);
    let (a0, a1, a2, a3) = (low(r0, r1), high(r0, r1), low(r2, r3), high(r2, r3));
    let (a4, a5, a6, a7) = (low(r4, r5), high(r4, r5), low(r6, r7), high(r6, r7));
    let low = |a, b| _mm256_unpacklo_epi64(a, b);
    let high = |a, b| _mm256_unpackhi_epi64(a, b);
    let (b0, b1, b2, b3) = (low(a0, a2), high(a0, a2), low(a1, a3), high(a1, a3));
    let (b4, b5, b6, b7) = (low(a4, a6), high(a4, a6), low(a5, a7), high(a5, a7));
    let low = |a, b| _mm256_permute2x128_si256(a, b, 0x20);
    let high = |a, b| _mm256_permute2x128_si256(a, b, 0x31);
    [
        low(b0, b4),
        low(b1, b5),
        low(b2, b6),
        low(b3, b7),
        high(b0, b4),
        high(b1, b5),
        high(b2, b6),
        high(b3, b7),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    let bytes = &bytes[..32];
    // SAFETY: 32 readable bytes; the load takes any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[u32; HALF]) -> __m256i {
    // SAFETY: 32 readable bytes; the load takes any alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8], value: __m256i) {
    let bytes = &mut bytes[..32];
    // SAFETY: 32 writable bytes, exclusively borrowed; the store takes any alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
}
