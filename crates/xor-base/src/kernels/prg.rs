//! Many pseudo-random blocks from one seed.

use super::Block;
use super::aes::Aes128;
use super::block::as_bytes;

/// Counters written at a time: they stay in the first-level cache.
const WRITTEN: usize = 128;

/// AES-128 in counter mode, the seed being the key.
///
/// # Security
/// Pseudo-random for a secret seed that is used for nothing else; at most 2^64 blocks of a stream.
/// Two streams of one seed never meet. The seed is wiped when dropped.
///
/// # Source
/// NIST SP 800-38A, section 6.5; counter block = stream · 2^64 + index, little-endian.
#[derive(Clone, Debug)]
pub struct Prg {
    cipher: Aes128,
    counter: u128,
}

impl Prg {
    /// Stream 0 of `seed`.
    #[must_use]
    pub fn new(seed: Block) -> Self {
        Self::stream(seed, 0)
    }

    /// One of 2^64 independent streams of `seed`, such as one for each shard.
    #[must_use]
    pub fn stream(seed: Block, stream: u64) -> Self {
        Self {
            cipher: Aes128::new(seed),
            counter: u128::from(stream) << 64,
        }
    }

    /// The next `out.len()` blocks.
    pub fn fill(&mut self, out: &mut [Block]) {
        for chunk in out.chunks_mut(WRITTEN) {
            for (block, counter) in chunk.iter_mut().zip(self.counter..) {
                *block = Block(counter);
            }
            self.counter = self.counter.wrapping_add(chunk.len() as u128);
            self.cipher.encrypt_in_place(chunk);
        }
    }

    /// The next `out.len()` bytes; the rest of the last block is skipped.
    pub fn fill_bytes(&mut self, out: &mut [u8]) {
        let mut blocks = zeroize::Zeroizing::new([Block::ZERO; WRITTEN]);
        for chunk in out.chunks_mut(WRITTEN * Block::BYTES) {
            let (used, _) = blocks.split_at_mut(chunk.len().div_ceil(Block::BYTES));
            self.fill(used);
            let (bytes, _) = as_bytes(used).split_at(chunk.len());
            chunk.copy_from_slice(bytes);
        }
    }

    /// The next block.
    #[must_use]
    pub fn block(&mut self) -> Block {
        let counter = self.counter;
        self.counter = counter.wrapping_add(1);
        self.cipher.encrypt(Block(counter))
    }

    /// The next `count` blocks.
    #[must_use]
    pub fn blocks(&mut self, count: usize) -> Vec<Block> {
        let mut out = vec![Block::ZERO; count];
        self.fill(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_counter_mode_however_it_is_read() {
        let cipher = Aes128::portable(Block(99));
        let expected: Vec<Block> = (0..500).map(|i| cipher.encrypt(Block((5 << 64) + i))).collect();
        let mut prg = Prg::stream(Block(99), 5);
        let mut read = Vec::new();
        for length in [0, 1, 2, 15, 16, 17, 127, 128, 129] {
            read.extend(prg.blocks(length));
            read.push(prg.block());
        }
        assert_eq!(read, expected[..read.len()]);
    }

    #[test]
    fn bytes_are_those_of_the_blocks() {
        let blocks = Prg::new(Block(1)).blocks(300);
        for length in [0, 1, 15, 16, 17, 2047, 2048, 2049, 4000] {
            let mut bytes = vec![0; length];
            Prg::new(Block(1)).fill_bytes(&mut bytes);
            assert_eq!(bytes, crate::kernels::block::as_bytes(&blocks)[..length]);
        }
    }
}
