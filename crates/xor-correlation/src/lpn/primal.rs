//! Primal LPN: outputs are sparse combinations of a short secret plus noise.

use xor_base::kernels::block::as_bytes;
use xor_base::kernels::sparse::{Row, WEIGHT};
use xor_base::kernels::{Block, prg::Prg};

use crate::params::{PRIMAL_NOISE, PRIMAL_WEIGHT};

/// Rows of the matrix for one block of noise.
const ROWS: usize = PRIMAL_NOISE.block();
const WORDS: usize = ROWS * WEIGHT * size_of::<u16>() / Block::BYTES;
const _: () = assert!(WEIGHT == PRIMAL_WEIGHT);

/// The public matrix of one step, drawn as it is used.
///
/// Entry j of a row is x^j at a uniform position. All entries 1 would be no LPN over GF(2^128) but 128
/// over GF(2) with common noise positions, which is broken: see `docs/protocols/vole.md`.
///
/// # Source
/// [`crate::params::PRIMAL_NOISE`].
#[derive(Clone, Copy)]
pub struct Matrix {
    seed: Block,
}

/// Room for the rows of one block.
pub struct Drawn {
    words: Vec<Block>,
    rows: Vec<Row>,
}

impl Drawn {
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: vec![Block::ZERO; WORDS],
            rows: vec![[0; WEIGHT]; ROWS],
        }
    }
}

impl Default for Drawn {
    fn default() -> Self {
        Self::new()
    }
}

impl Matrix {
    #[must_use]
    pub fn new(seed: Block) -> Self {
        Self { seed }
    }

    /// The rows of noise block `block`.
    pub fn rows<'a>(&self, block: usize, drawn: &'a mut Drawn) -> &'a [Row] {
        Prg::stream(self.seed, block as u64).fill(&mut drawn.words);
        let (rows, _) = as_bytes(&drawn.words).as_chunks::<{ 2 * WEIGHT }>();
        for (row, bytes) in drawn.rows.iter_mut().zip(rows) {
            let (positions, _) = bytes.as_chunks::<2>();
            for (position, bytes) in row.iter_mut().zip(positions) {
                *position = u16::from_le_bytes(*bytes);
            }
        }
        &drawn.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_rows_of_their_own_that_follow_from_the_seed() {
        let (mut one, mut other) = (Drawn::new(), Drawn::new());
        let matrix = Matrix::new(Block(5));
        assert_eq!(
            matrix.rows(3, &mut one),
            Matrix::new(Block(5)).rows(3, &mut other)
        );
        assert_ne!(matrix.rows(3, &mut one), matrix.rows(4, &mut other));
        let rows = matrix.rows(3, &mut one);
        assert_eq!(rows.len(), 1024);
        // Every position is as likely: 10240 of them, mean 32768, deviation of the mean 187.
        let mean = rows.as_flattened().iter().map(|p| f64::from(*p)).sum::<f64>() / 10_240.0;
        assert!((31_500.0..34_000.0).contains(&mean), "{mean}");
    }
}
