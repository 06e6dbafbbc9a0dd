//! Primal LPN: outputs are sparse combinations of a short secret plus noise.

// 16-bit numbers index arrays of 2^16 elements.
#![allow(clippy::indexing_slicing)]

use xor_base::kernels::block::as_bytes;
use xor_base::kernels::{Block, prg::Prg};

use crate::params::{PRIMAL_SECRET, PRIMAL_WEIGHT};
use crate::slot::Slot;

/// Rows of the matrix drawn at a time.
const ROWS: usize = 64;
const ROW_BYTES: usize = 2 * PRIMAL_WEIGHT;

/// Rows worked on side by side: their look-ups wait for memory together.
const TOGETHER: usize = 4;

/// Adds row · secret to every output, row after row of the matrix that `matrix` draws.
///
/// Entry j of a row is x^j at a uniform position. All entries 1 would be no LPN over GF(2^128) but 128
/// over GF(2) with common noise positions, which is broken: see `docs/protocols/vole.md`.
///
/// # Shapes
/// `secret`: [2^16]; `outputs`: [n], public.
///
/// # Source
/// [`crate::params::PRIMAL_NOISE`].
pub fn add_products<S: Slot>(matrix: &mut Prg, secret: &[S; PRIMAL_SECRET], outputs: &mut [S]) {
    let mut drawn = [Block::ZERO; ROWS * ROW_BYTES / Block::BYTES];
    for outputs in outputs.chunks_mut(ROWS) {
        matrix.fill(&mut drawn);
        let (rows, _) = as_bytes(&drawn).as_chunks::<ROW_BYTES>();
        let (rows, _) = rows.as_chunks::<TOGETHER>();
        for (outputs, rows) in outputs.chunks_mut(TOGETHER).zip(rows) {
            for (output, product) in outputs.iter_mut().zip(products(rows, secret)) {
                *output = output.add(product);
            }
        }
    }
}

/// Horner's rule, the highest power first.
#[inline(always)]
fn products<S: Slot>(rows: &[[u8; ROW_BYTES]; TOGETHER], secret: &[S; PRIMAL_SECRET]) -> [S; TOGETHER] {
    let mut sums = [S::default(); TOGETHER];
    for j in (0..PRIMAL_WEIGHT).rev() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            let position = u16::from_le_bytes([row[2 * j], row[2 * j + 1]]);
            *sum = sum.double().add(secret[usize::from(position)]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use xor_base::kernels::gf128::mul;

    #[test]
    fn products_are_those_of_the_drawn_matrix_at_every_length() {
        let secret = Prg::new(Block(1)).blocks(PRIMAL_SECRET);
        let secret: &[Block; PRIMAL_SECRET] = secret.as_slice().try_into().unwrap();
        for length in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
            let before = Prg::new(Block(2)).blocks(length);
            let mut after = before.clone();
            add_products(&mut Prg::new(Block(3)), secret, &mut after);
            let drawn = Prg::new(Block(3)).blocks(80 * 4);
            let (rows, _) = as_bytes(&drawn).as_chunks::<ROW_BYTES>();
            for ((row, before), after) in rows.iter().zip(&before).zip(&after) {
                let product = (0..PRIMAL_WEIGHT).fold(Block::ZERO, |sum, j| {
                    let position = u16::from_le_bytes([row[2 * j], row[2 * j + 1]]);
                    sum ^ mul(Block(1 << j), secret[usize::from(position)])
                });
                assert_eq!(*after, *before ^ product);
            }
        }
    }
}
