//! `D(c, m)`: every value that leaves a player of a sealed join is an output of this one function.

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::kernels::many::{self, Padded};

/// What a derived value is for. Different purposes never collide, whatever their inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Normal form of a key → input of the OPRF.
    Key,
    /// Plan hash, node and both nonces → attempt.
    Attempt,
    /// Both OPRF outputs and the attempt → both halves.
    Pair,
    /// Both halves → key of the opener's cells.
    Opener,
    /// Key, attempt, side and number → label and stream of one cell.
    Cell,
    /// OPRF output and the attempt → key of the sender's cells in a matched join.
    Matched,
    /// Key of a sealed stream → what its header says of it.
    Stream,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Self::Key => "xor sealed-join v1 key",
            Self::Attempt => "xor sealed-join v1 attempt",
            Self::Pair => "xor sealed-join v1 pair",
            Self::Opener => "xor sealed-join v1 opener",
            Self::Cell => "xor sealed-join v1 cell",
            Self::Matched => "xor matched-join v1 key",
            Self::Stream => "xor sealed-join v1 stream",
        }
    }
}

/// BLAKE3's derive-key mode under one purpose, read to any length.
#[derive(Clone, Debug)]
pub struct Derive {
    context: ContextKey,
}

impl Derive {
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self {
            context: hash_derive_key_context(purpose.context()),
        }
    }

    /// Fills `out` from `material`. Its parts are not delimited: all but one must have a fixed length.
    ///
    /// # Security
    /// Modelled as a random oracle; outputs of different lengths share a prefix.
    ///
    /// # Source
    /// BLAKE3 specification, section 2.3 (derive_key) and 2.6 (extendable output).
    pub fn fill(&self, material: &[&[u8]], out: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_from_context_key(&self.context);
        for part in material {
            hasher.update(part);
        }
        hasher.finalize_xof().fill(out);
    }

    /// For each message what [`Self::fill`] gives on it alone, `length` bytes one after the other.
    ///
    /// # Shapes
    /// `messages`: [n]; `out`: [n · length], `length` above zero.
    ///
    /// # Panics
    /// If there are fewer messages than `out` has room for.
    pub fn fill_many<'m>(&self, messages: impl IntoIterator<Item = &'m [u8]>, out: &mut [u8], length: usize) {
        many::derive(&self.context, messages, out, length);
    }

    /// As [`Self::fill_many`], of messages of `message_bytes`, each filled up with zeros to a block.
    ///
    /// # Panics
    /// As [`Self::fill_many`], and for messages longer than a block.
    pub fn fill_padded(&self, messages: &[Padded], message_bytes: usize, out: &mut [u8], length: usize) {
        many::derive_padded(&self.context, messages, message_bytes, out, length);
    }

    /// The first `N` bytes.
    #[must_use]
    pub fn array<const N: usize>(&self, material: &[&[u8]]) -> [u8; N] {
        let mut out = [0; N];
        self.fill(material, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_blake3_derive_key_of_the_concatenation() {
        let derived: [u8; 32] = Derive::new(Purpose::Pair).array(&[b"ab", b"", b"c"]);
        assert_eq!(derived, blake3::derive_key("xor sealed-join v1 pair", b"abc"));
    }

    #[test]
    fn many_are_the_same_as_one_after_the_other() {
        let derive = Derive::new(Purpose::Cell);
        let bytes: Vec<u8> = (0..200).collect();
        let mut many = [0; 11 * 100];
        derive.fill_many(bytes.chunks(17).take(11), &mut many, 100);
        for (message, many) in bytes.chunks(17).zip(many.chunks(100)) {
            let one: [u8; 100] = derive.array(&[message]);
            assert_eq!(one, many);
        }
    }

    #[test]
    fn purposes_do_not_collide() {
        let opener: [u8; 32] = Derive::new(Purpose::Opener).array(&[b"x"]);
        let cell: [u8; 32] = Derive::new(Purpose::Cell).array(&[b"x"]);
        assert_ne!(opener, cell);
    }
}
