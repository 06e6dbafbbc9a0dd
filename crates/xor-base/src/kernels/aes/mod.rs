//! AES-128 of many blocks at once.

#[cfg(target_arch = "x86_64")]
mod x86;

use ::aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Block;

/// Blocks copied at a time where input and output differ: they stay in the first-level cache.
const COPIED: usize = 128;

/// AES-128 under one key.
///
/// # Security
/// The key is wiped when dropped. No path branches on key or data or indexes by them.
///
/// # Source
/// FIPS 197.
#[derive(Clone)]
pub struct Aes128(Schedule);

#[derive(Clone)]
enum Schedule {
    #[cfg(target_arch = "x86_64")]
    Vaes(RoundKeys),
    #[cfg(target_arch = "x86_64")]
    AesNi(RoundKeys),
    /// Wiped by its crate.
    Portable(Box<::aes::Aes128>),
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct RoundKeys([Block; 11]);

impl Aes128 {
    #[must_use]
    pub fn new(key: Block) -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("aes") && is_x86_feature_detected!("sse2") {
            // SAFETY: the instructions were just detected.
            let keys = RoundKeys(unsafe { x86::expand(key) });
            if is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx2") {
                return Self(Schedule::Vaes(keys));
            }
            return Self(Schedule::AesNi(keys));
        }
        Self::portable(key)
    }

    /// What `new` gives where the processor has no AES instructions.
    #[must_use]
    pub fn portable(key: Block) -> Self {
        let mut bytes = key.to_bytes();
        let cipher = ::aes::Aes128::new(&bytes.into());
        bytes.zeroize();
        Self(Schedule::Portable(Box::new(cipher)))
    }

    /// Every path that this processor can run, the portable one first: for tests and measurements.
    #[must_use]
    pub fn paths(key: Block) -> Vec<(&'static str, Self)> {
        #[allow(unused_mut)]
        let mut paths = vec![("portable", Self::portable(key))];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("aes") && is_x86_feature_detected!("sse2") {
            // SAFETY: the instructions were just detected.
            let keys = RoundKeys(unsafe { x86::expand(key) });
            paths.push(("AES-NI", Self(Schedule::AesNi(keys.clone()))));
            if is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx2") {
                paths.push(("VAES", Self(Schedule::Vaes(keys))));
            }
        }
        paths
    }

    /// `blocks[i] = AES(blocks[i])`.
    pub fn encrypt_in_place(&self, blocks: &mut [Block]) {
        self.run::<false>(blocks);
    }

    /// `output[i] = AES(input[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn encrypt_blocks(&self, input: &[Block], output: &mut [Block]) {
        assert_eq!(input.len(), output.len());
        for (from, into) in input.chunks(COPIED).zip(output.chunks_mut(COPIED)) {
            into.copy_from_slice(from);
            self.run::<false>(into);
        }
    }

    /// `blocks[i] = AES(blocks[i]) ⊕ blocks[i]`: a one-way function where the key is public.
    pub fn feed_forward_in_place(&self, blocks: &mut [Block]) {
        self.run::<true>(blocks);
    }

    /// `output[i] = AES(input[i]) ⊕ input[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn feed_forward(&self, input: &[Block], output: &mut [Block]) {
        assert_eq!(input.len(), output.len());
        for (from, into) in input.chunks(COPIED).zip(output.chunks_mut(COPIED)) {
            into.copy_from_slice(from);
            self.run::<true>(into);
        }
    }

    /// One block. Many at once cost a tenth of that each.
    #[must_use]
    pub fn encrypt(&self, block: Block) -> Block {
        let mut one = [block];
        self.run::<false>(&mut one);
        let [block] = one;
        block
    }

    fn run<const FEED: bool>(&self, blocks: &mut [Block]) {
        match &self.0 {
            // SAFETY: this schedule is chosen only where VAES, AES-NI and AVX2 were detected.
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes(keys) => unsafe { x86::vaes::<FEED>(&keys.0, blocks) },
            // SAFETY: this schedule is chosen only where AES-NI and SSE2 were detected.
            #[cfg(target_arch = "x86_64")]
            Schedule::AesNi(keys) => unsafe { x86::aes_ni::<FEED>(&keys.0, blocks) },
            Schedule::Portable(cipher) => portable::<FEED>(cipher, blocks),
        }
    }
}

impl std::fmt::Debug for Aes128 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Aes128(..)")
    }
}

fn portable<const FEED: bool>(cipher: &::aes::Aes128, blocks: &mut [Block]) {
    let mut encrypted: [::aes::Block; 8] = Default::default();
    for chunk in blocks.chunks_mut(8) {
        for (into, from) in encrypted.iter_mut().zip(chunk.iter()) {
            *into = from.to_bytes().into();
        }
        cipher.encrypt_blocks(&mut encrypted);
        for (into, from) in chunk.iter_mut().zip(&encrypted) {
            let feed = if FEED { *into } else { Block::ZERO };
            *into = Block::from_bytes((*from).into()) ^ feed;
        }
    }
    for block in &mut encrypted {
        block.zeroize();
    }
}

#[cfg(test)]
mod tests;
