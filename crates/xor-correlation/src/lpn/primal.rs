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
pub fn add_products<S: Slot>(
    matrix: &mut Prg,
    secret: &[S; PRIMAL_SECRET],
    outputs: impl Iterator<Item = impl FnOnce(S)>,
) {
    let mut drawn = [Block::ZERO; ROWS * ROW_BYTES / Block::BYTES];
    let mut outputs = outputs;
    loop {
        matrix.fill(&mut drawn);
        let (rows, _) = as_bytes(&drawn).as_chunks::<ROW_BYTES>();
        for row in rows {
            let Some(add) = outputs.next() else { return };
            add(product(row, secret));
        }
    }
}

/// Horner's rule, the highest power first.
#[inline(always)]
fn product<S: Slot>(row: &[u8; ROW_BYTES], secret: &[S; PRIMAL_SECRET]) -> S {
    let (positions, _) = row.as_chunks::<2>();
    positions.iter().rev().fold(S::default(), |sum, position| {
        sum.double()
            .add(secret[usize::from(u16::from_le_bytes(*position))])
    })
}
