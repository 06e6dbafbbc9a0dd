//! What LPN codes work on: one share of a VOLE, or the receiver's two side by side.

use xor_base::kernels::Block;
use xor_base::kernels::gf128::mul;
pub use xor_base::kernels::sparse::Pair;

/// Elements of a vector space over GF(2^128).
pub trait Slot: Copy + Default + Send + Sync {
    #[must_use]
    fn add(self, other: Self) -> Self;

    /// The product with x.
    #[must_use]
    fn double(self) -> Self;

    #[must_use]
    fn scale(self, by: Block) -> Self;

    /// Itself where `mask` is all ones, zero where it is all zeros.
    #[must_use]
    fn masked(self, mask: Block) -> Self;
}

impl Slot for Block {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn double(self) -> Self {
        Self::double(self)
    }

    fn scale(self, by: Block) -> Self {
        mul(self, by)
    }

    #[inline(always)]
    fn masked(self, mask: Block) -> Self {
        self & mask
    }
}

impl Slot for Pair {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            a: self.a ^ other.a,
            c: self.c ^ other.c,
        }
    }

    #[inline(always)]
    fn double(self) -> Self {
        Self {
            a: self.a.double(),
            c: self.c.double(),
        }
    }

    fn scale(self, by: Block) -> Self {
        Self {
            a: mul(self.a, by),
            c: mul(self.c, by),
        }
    }

    #[inline(always)]
    fn masked(self, mask: Block) -> Self {
        Self {
            a: self.a & mask,
            c: self.c & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xor_base::kernels::prg::Prg;

    #[test]
    fn doubling_is_the_product_with_x() {
        for block in Prg::new(Block(3)).blocks(100) {
            assert_eq!(block.double(), mul(block, Block(2)));
        }
    }
}
