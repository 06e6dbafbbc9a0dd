//! AES-NI and 256-bit VAES.

// Indices are constants, or the length of a tail that is shorter than its padded copy.
#![allow(clippy::indexing_slicing)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_shuffle_epi32,
    _mm_slli_si128, _mm_xor_si128, _mm256_aesenc_epi128, _mm256_aesenclast_epi128, _mm256_setzero_si256,
    _mm256_xor_si256,
};

use crate::kernels::Block;
use crate::kernels::x86::{broadcast, load1, load2, store1, store2};

/// Registers in flight: they hide the latency of a round, 4 cycles at 2 rounds a cycle.
const IN_FLIGHT: usize = 8;

/// The round keys.
///
/// # Source
/// FIPS 197, section 5.2.
#[target_feature(enable = "aes,sse2")]
pub(super) fn expand(key: Block) -> [Block; 11] {
    let mut round = load1(&key);
    let mut keys = [key; 11];
    macro_rules! expand_round {
        ($index:literal, $constant:literal) => {
            round = next_key(round, _mm_aeskeygenassist_si128(round, $constant));
            store1(&mut keys[$index], round);
        };
    }
    expand_round!(1, 0x01);
    expand_round!(2, 0x02);
    expand_round!(3, 0x04);
    expand_round!(4, 0x08);
    expand_round!(5, 0x10);
    expand_round!(6, 0x20);
    expand_round!(7, 0x40);
    expand_round!(8, 0x80);
    expand_round!(9, 0x1b);
    expand_round!(10, 0x36);
    keys
}

#[inline]
#[target_feature(enable = "sse2")]
fn next_key(key: __m128i, assist: __m128i) -> __m128i {
    let mut prefix = key;
    prefix = _mm_xor_si128(prefix, _mm_slli_si128(prefix, 4));
    prefix = _mm_xor_si128(prefix, _mm_slli_si128(prefix, 8));
    _mm_xor_si128(prefix, _mm_shuffle_epi32(assist, 0xff))
}

#[target_feature(enable = "aes,sse2")]
pub(super) fn aes_ni<const FEED: bool>(keys: &[Block; 11], blocks: &mut [Block]) {
    let (chunks, tail) = blocks.as_chunks_mut::<IN_FLIGHT>();
    for chunk in chunks {
        eight::<FEED>(keys, chunk);
    }
    if !tail.is_empty() {
        let mut padded = [Block::ZERO; IN_FLIGHT];
        padded[..tail.len()].copy_from_slice(tail);
        eight::<FEED>(keys, &mut padded);
        tail.copy_from_slice(&padded[..tail.len()]);
    }
}

#[inline]
#[target_feature(enable = "aes,sse2")]
fn eight<const FEED: bool>(keys: &[Block; 11], blocks: &mut [Block; IN_FLIGHT]) {
    let [first, middle @ .., last] = keys;
    let first = load1(first);
    let mut state: [__m128i; IN_FLIGHT] = [first; IN_FLIGHT];
    for (state, block) in state.iter_mut().zip(blocks.iter()) {
        *state = _mm_xor_si128(*state, load1(block));
    }
    for key in middle {
        let key = load1(key);
        for state in &mut state {
            *state = _mm_aesenc_si128(*state, key);
        }
    }
    let last = load1(last);
    for (state, block) in state.iter().zip(blocks) {
        let mut out = _mm_aesenclast_si128(*state, last);
        if FEED {
            out = _mm_xor_si128(out, load1(block));
        }
        store1(block, out);
    }
}

#[target_feature(enable = "avx2,aes,vaes")]
pub(super) fn vaes<const FEED: bool>(keys: &[Block; 11], blocks: &mut [Block]) {
    let mut wide = [_mm256_setzero_si256(); 11];
    for (wide, key) in wide.iter_mut().zip(keys) {
        *wide = broadcast(key);
    }
    let (chunks, tail) = blocks.as_chunks_mut::<{ 2 * IN_FLIGHT }>();
    for chunk in chunks {
        sixteen::<FEED>(&wide, chunk);
    }
    if !tail.is_empty() {
        let mut padded = [Block::ZERO; 2 * IN_FLIGHT];
        padded[..tail.len()].copy_from_slice(tail);
        sixteen::<FEED>(&wide, &mut padded);
        tail.copy_from_slice(&padded[..tail.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn sixteen<const FEED: bool>(keys: &[__m256i; 11], blocks: &mut [Block; 2 * IN_FLIGHT]) {
    let [first, middle @ .., last] = keys;
    let (pairs, _) = blocks.as_chunks_mut::<2>();
    let mut state: [__m256i; IN_FLIGHT] = [*first; IN_FLIGHT];
    for (state, pair) in state.iter_mut().zip(pairs.iter()) {
        *state = _mm256_xor_si256(*state, load2(pair));
    }
    for key in middle {
        for state in &mut state {
            *state = _mm256_aesenc_epi128(*state, *key);
        }
    }
    for (state, pair) in state.iter().zip(pairs) {
        let mut out = _mm256_aesenclast_epi128(*state, *last);
        if FEED {
            out = _mm256_xor_si256(out, load2(pair));
        }
        store2(pair, out);
    }
}
