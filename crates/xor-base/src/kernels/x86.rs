//! Loads and stores between blocks and vector registers.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_storeu_si256,
};

use super::Block;

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load1(from: &Block) -> __m128i {
    // SAFETY: 16 readable bytes; the load takes any alignment.
    unsafe { _mm_loadu_si128(std::ptr::from_ref(from).cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn store1(into: &mut Block, value: __m128i) {
    // SAFETY: 16 writable bytes, exclusively borrowed; the store takes any alignment.
    unsafe { _mm_storeu_si128(std::ptr::from_mut(into).cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load2(from: &[Block; 2]) -> __m256i {
    // SAFETY: 32 readable bytes; the load takes any alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store2(into: &mut [Block; 2], value: __m256i) {
    // SAFETY: 32 writable bytes, exclusively borrowed; the store takes any alignment.
    unsafe { _mm256_storeu_si256(into.as_mut_ptr().cast(), value) }
}

/// The same block in both lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn broadcast(from: &Block) -> __m256i {
    _mm256_broadcastsi128_si256(load1(from))
}
