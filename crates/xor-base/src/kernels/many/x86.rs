//! The compression function of BLAKE3 on eight messages, one in each 32-bit lane of AVX2.

// Indices are constants, or lengths bounded by the caller.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::{LANES, Padded, SHORT_BYTES};

const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// First and last block of the only chunk, which is the root, of the material of a derivation.
const FLAGS: u32 = 1 | 1 << 1 | 1 << 3 | 1 << 6;

/// The order of message words in each of the seven rounds: the standard's permutation, iterated.
const SCHEDULE: [[usize; 16]; 7] = schedule();

const fn schedule() -> [[usize; 16]; 7] {
    const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut rounds = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < 16 {
            rounds[round][word] = rounds[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    rounds
}

/// Messages of at most 64 bytes, filled up with zeros.
#[target_feature(enable = "avx2")]
pub(super) fn derive_short(
    key: &[u8; 32],
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    outs: &mut [u8],
    length: usize,
    bytes: &mut [Padded; LANES],
) {
    let mut words = [_mm256_setzero_si256(); 16];
    let (low, high) = words.split_at_mut(8);
    for (half, words) in [low, high].into_iter().enumerate() {
        let mut rows = [_mm256_setzero_si256(); 8];
        for (row, message) in rows.iter_mut().zip(messages) {
            *row = load(&message[half * 32..]);
        }
        words.copy_from_slice(&transpose(rows));
    }
    let mut chaining = [_mm256_setzero_si256(); 8];
    let (key_words, _) = key.as_chunks::<4>();
    for (word, key) in chaining.iter_mut().zip(key_words) {
        *word = splat(u32::from_le_bytes(*key));
    }
    let lengths = load_words(lengths);
    for (counter, start) in (0_u32..).zip((0..length).step_by(SHORT_BYTES)) {
        let state = compress(&chaining, &words, lengths, counter);
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
    for (lane, place) in (0..LANES).zip(places) {
        store(place, halves[0][lane]);
        store(&mut place[32..], halves[1][lane]);
    }
}

/// All sixteen output words of one block with 64-bit counter `counter`.
#[inline]
#[target_feature(enable = "avx2")]
fn compress(
    chaining: &[__m256i; 8],
    message: &[__m256i; 16],
    lengths: __m256i,
    counter: u32,
) -> [__m256i; 16] {
    let mut v = [_mm256_setzero_si256(); 16];
    v[..8].copy_from_slice(chaining);
    for (word, iv) in v[8..12].iter_mut().zip(IV) {
        *word = splat(iv);
    }
    v[12] = splat(counter);
    v[14] = lengths;
    v[15] = splat(FLAGS);
    round::<0>(&mut v, message);
    round::<1>(&mut v, message);
    round::<2>(&mut v, message);
    round::<3>(&mut v, message);
    round::<4>(&mut v, message);
    round::<5>(&mut v, message);
    round::<6>(&mut v, message);
    for i in 0..8 {
        v[i] = _mm256_xor_si256(v[i], v[i + 8]);
        v[i + 8] = _mm256_xor_si256(v[i + 8], chaining[i]);
    }
    v
}

#[inline]
#[target_feature(enable = "avx2")]
fn round<const ROUND: usize>(v: &mut [__m256i; 16], message: &[__m256i; 16]) {
    let m = |i: usize| message[SCHEDULE[ROUND][i]];
    mix(v, [0, 4, 8, 12], m(0), m(1));
    mix(v, [1, 5, 9, 13], m(2), m(3));
    mix(v, [2, 6, 10, 14], m(4), m(5));
    mix(v, [3, 7, 11, 15], m(6), m(7));
    mix(v, [0, 5, 10, 15], m(8), m(9));
    mix(v, [1, 6, 11, 12], m(10), m(11));
    mix(v, [2, 7, 8, 13], m(12), m(13));
    mix(v, [3, 4, 9, 14], m(14), m(15));
}

#[inline]
#[target_feature(enable = "avx2")]
fn mix(v: &mut [__m256i; 16], [a, b, c, d]: [usize; 4], first: __m256i, second: __m256i) {
    v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], v[b]), first);
    v[d] = rotate_16(_mm256_xor_si256(v[d], v[a]));
    v[c] = _mm256_add_epi32(v[c], v[d]);
    v[b] = rotate::<12, 20>(_mm256_xor_si256(v[b], v[c]));
    v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], v[b]), second);
    v[d] = rotate_8(_mm256_xor_si256(v[d], v[a]));
    v[c] = _mm256_add_epi32(v[c], v[d]);
    v[b] = rotate::<7, 25>(_mm256_xor_si256(v[b], v[c]));
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
fn load_words(words: &[u32; LANES]) -> __m256i {
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
