//! Which labels a list may hold: a Bloom filter, so that rows of a key are counted before they are looked up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::order::head;
use crate::PsiError;

const BITS_PER_LABEL: usize = 16;

/// Never denies a label that is there; one in sixty that is not there seems to be. Such a one costs a request that
/// finds nothing: labels are hashes, so whoever forges a list cannot make it more.
pub(super) struct Filter {
    words: Vec<AtomicU64>,
    shift: u32,
}

impl Filter {
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(labels: usize) -> Result<Self, PsiError> {
        let bits = labels.saturating_mul(BITS_PER_LABEL).max(64).next_power_of_two();
        let mut words = Vec::new();
        words
            .try_reserve_exact(bits / 64)
            .map_err(|_| PsiError::OutOfMemory)?;
        words.resize_with(bits / 64, AtomicU64::default);
        Ok(Self {
            words,
            shift: u64::BITS - bits.trailing_zeros(),
        })
    }

    pub fn insert(&self, label: &[u8]) {
        for place in self.places(label) {
            if let Some(word) = self.words.get((place / 64) as usize) {
                word.fetch_or(1 << (place % 64), Ordering::Relaxed);
            }
        }
    }

    pub fn may_hold(&self, label: &[u8]) -> bool {
        self.places(label).iter().all(|place| {
            let word = self.words.get((place / 64) as usize);
            word.is_some_and(|word| word.load(Ordering::Relaxed) >> (place % 64) & 1 == 1)
        })
    }

    /// Two places, spread over all bytes of the label by odd factors.
    fn places(&self, label: &[u8]) -> [u64; 2] {
        let (first, last) = (
            head(label),
            label.last_chunk().map_or(0, |last| u64::from_be_bytes(*last)),
        );
        let mixed = (first ^ last.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let again = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        [mixed >> self.shift, again >> self.shift]
    }
}

#[cfg(test)]
mod tests {
    use xor_base::kernels::Block;
    use xor_base::kernels::block::as_bytes;
    use xor_base::kernels::prg::Prg;

    use super::*;

    #[test]
    fn what_was_inserted_is_there_and_little_else() {
        let blocks = Prg::new(Block(9)).blocks(20_000);
        for width in [5, 8, 11, 16] {
            let labels: Vec<&[u8]> = as_bytes(&blocks)
                .chunks_exact(16)
                .map(|label| &label[..width])
                .collect();
            let filter = Filter::new(10_000).unwrap();
            labels[..10_000].iter().for_each(|label| filter.insert(label));
            assert!(labels[..10_000].iter().all(|label| filter.may_hold(label)));
            let wrong = labels[10_000..].iter().filter(|label| filter.may_hold(label));
            assert!(wrong.count() < 400, "{width}");
        }
    }
}
