//! What separates one use of a hash from every other: session, direction, attempt, stage and number.

use xor_base::kernels::block::as_bytes;
use xor_base::kernels::{Block, aes::Aes128, prg::Prg};

use crate::params::DIGEST_BYTES;

const CONTEXT: &str = "xor correlation v1";

/// A public name that no two uses share. Everything derived below it is a random oracle of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain([u8; DIGEST_BYTES]);

/// Bytes of a message, or other public input of a derived challenge.
pub type Digest = [u8; DIGEST_BYTES];

impl Domain {
    /// The root of one session between two players.
    ///
    /// # Security
    /// `session` must hold fresh randomness of both players and their identities, such as the attempt.
    #[must_use]
    pub fn new(session: &[u8]) -> Self {
        Self(blake3::derive_key(CONTEXT, session))
    }

    /// A domain below this one.
    #[must_use]
    pub fn child(&self, label: &str, number: u64) -> Self {
        Self(self.keyed(label, &[&number.to_le_bytes()]))
    }

    /// This domain after `message` was sent in it: later challenges depend on it too.
    #[must_use]
    pub fn after(&self, label: &str, message: &[u8]) -> Self {
        Self(self.keyed(label, &[message]))
    }

    /// A hash of `parts`, each prefixed by its length.
    #[must_use]
    pub fn keyed(&self, label: &str, parts: &[&[u8]]) -> Digest {
        *self.hasher(label, parts).finalize().as_bytes()
    }

    /// As [`Domain::keyed`], to any length.
    pub fn fill(&self, label: &str, parts: &[&[u8]], out: &mut [u8]) {
        self.hasher(label, parts).finalize_xof().fill(out);
    }

    /// A hash of blocks, such as what both players compare.
    #[must_use]
    pub fn digest(&self, label: &str, blocks: &[Block]) -> Digest {
        self.keyed(label, &[as_bytes(blocks)])
    }

    /// 128 derived bits.
    #[must_use]
    pub fn block(&self, label: &str, parts: &[&[u8]]) -> Block {
        let mut bytes = [0; Block::BYTES];
        self.fill(label, parts, &mut bytes);
        Block::from_bytes(bytes)
    }

    /// The public permutation of this domain.
    #[must_use]
    pub fn permutation(&self, label: &str) -> Aes128 {
        Aes128::new(self.block(label, &[]))
    }

    /// Public pseudo-randomness that is known once `parts` are.
    #[must_use]
    pub fn expand(&self, label: &str, parts: &[&[u8]]) -> Prg {
        Prg::new(self.block(label, parts))
    }

    fn hasher(&self, label: &str, parts: &[&[u8]]) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_numbers_and_cuts_separate() {
        let root = Domain::new(b"session");
        let all = [
            root.keyed("a", &[b"xy"]),
            root.keyed("b", &[b"xy"]),
            root.keyed("a", &[b"x", b"y"]),
            root.child("a", 0).keyed("a", &[b"xy"]),
            root.child("a", 1).keyed("a", &[b"xy"]),
            Domain::new(b"other").keyed("a", &[b"xy"]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one));
        }
    }
}
