//! 128 bits: what every kernel here works on.

use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitXor, BitXorAssign};

use zeroize::DefaultIsZeroes;

/// 128 bits, aligned to 16 bytes. Byte `i` is bits `8i` to `8i + 7` of the number inside.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, align(16))]
pub struct Block(pub u128);

impl Block {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(1);
    /// Bytes of one block.
    pub const BYTES: usize = 16;

    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    #[must_use]
    #[inline]
    pub const fn from_halves(low: u64, high: u64) -> Self {
        Self((high as u128) << 64 | low as u128)
    }

    /// The low and the high 64 bits.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    #[inline]
    pub const fn halves(self) -> (u64, u64) {
        (self.0 as u64, (self.0 >> 64) as u64)
    }

    /// The least significant bit.
    #[must_use]
    #[inline]
    pub const fn bit0(self) -> bool {
        self.0 & 1 == 1
    }

    /// The product with x in GF(2^128), see [`super::gf128`].
    #[must_use]
    #[inline]
    pub fn double(self) -> Self {
        // One number of 128 bits: as two halves the compiler moves it to and fro between register files.
        let carry = (self.0.cast_signed() >> 127).cast_unsigned() & 0x87;
        Self(self.0.wrapping_add(self.0) ^ carry)
    }

    /// All ones if `choice`, else all zeros, without a branch.
    #[must_use]
    #[inline]
    pub fn mask(choice: bool) -> Self {
        Self(u128::from(choice).wrapping_neg())
    }
}

/// The bytes of many blocks as they travel.
#[must_use]
#[inline]
pub fn as_bytes(blocks: &[Block]) -> &[u8] {
    // SAFETY: a Block is 16 initialised bytes without padding, and u8 needs no alignment.
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), size_of_val(blocks)) }
}

/// As [`as_bytes`], to be received into: any 16 bytes are a Block.
#[must_use]
#[inline]
pub fn as_bytes_mut(blocks: &mut [Block]) -> &mut [u8] {
    // SAFETY: as in `as_bytes`; every bit pattern is a valid Block, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), size_of_val(blocks)) }
}

/// `acc[i] ^= other[i]`.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn xor_into(acc: &mut [Block], other: &[Block]) {
    assert_eq!(acc.len(), other.len());
    for (into, from) in acc.iter_mut().zip(other) {
        *into ^= *from;
    }
}

impl BitXor for Block {
    type Output = Self;
    #[inline]
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for Block {
    #[inline]
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl BitAnd for Block {
    type Output = Self;
    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitAndAssign for Block {
    #[inline]
    fn bitand_assign(&mut self, other: Self) {
        self.0 &= other.0;
    }
}

impl From<[u8; 16]> for Block {
    #[inline]
    fn from(bytes: [u8; 16]) -> Self {
        Self::from_bytes(bytes)
    }
}

impl From<Block> for [u8; 16] {
    #[inline]
    fn from(block: Block) -> Self {
        block.to_bytes()
    }
}

impl fmt::Debug for Block {
    // Blocks are keys, shares and masks: never shown.
    #[inline]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Block(..)")
    }
}

impl DefaultIsZeroes for Block {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[inline]
    fn bytes_are_little_endian_in_memory_too() {
        let mut blocks = [Block::from_halves(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908); 2];
        let expected: Vec<u8> = (0..16).chain(0..16).collect();
        assert_eq!(as_bytes(&blocks), expected);
        as_bytes_mut(&mut blocks)[16] = 9;
        assert_eq!(blocks[0].to_bytes()[..], expected[..16]);
        assert_eq!(blocks[1].halves().0 & 0xff, 9);
    }

    #[test]
    #[inline]
    fn is_never_shown() {
        assert_eq!(format!("{:?}", Block(12345)), "Block(..)");
    }
}
