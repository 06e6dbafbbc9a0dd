//! Solving for the table, bin by bin.

// Slots are below the shape's slots, rows below the rows of the bin: both by construction of `Rows`.
#![allow(clippy::indexing_slicing)]

use rayon::prelude::*;
use xor_base::kernels::Block;
use xor_base::kernels::block::xor_into;
use xor_base::kernels::gf128;
use xor_base::kernels::prg::Prg;
use xor_base::wiped::Wiped;
use zeroize::{Zeroize, Zeroizing};

use super::core::{CoreRow, solve};
use super::peel::{Peeled, Peeler};
use super::rows::unpack;
use super::{OkvsError, Rows};

/// What stands where the values leave a choice.
#[derive(Clone, Copy, Debug)]
pub enum Free {
    /// Nothing: for tables that are masked as a whole before they leave.
    Zero,
    /// Blocks from a fresh secret seed: the table then is uniform if the values are.
    Random(Block),
}

/// Working memory of one thread.
struct Scratch {
    peeler: Peeler,
    values: Zeroizing<Vec<Block>>,
}

impl Rows {
    /// As [`super::encode`].
    ///
    /// # Errors
    /// `TooManyKeys`, `LengthsDiffer`, `Unsolvable`.
    pub fn encode(&self, values: &[Block], free: Free) -> Result<Vec<Block>, OkvsError> {
        let shape = self.shape();
        let mut table = vec![Block::ZERO; shape.table_len()];
        let result = self.encode_into(values, free, &mut table);
        if result.is_err() {
            table.zeroize();
        }
        result.map(|()| table)
    }

    /// As [`Self::encode`], into memory that is there already.
    ///
    /// # Errors
    /// As [`Self::encode`], and `WrongLength` if `table` is not of the shape. It then holds no table.
    pub fn encode_into(&self, values: &[Block], free: Free, table: &mut [Block]) -> Result<(), OkvsError> {
        let shape = self.shape();
        if self.len() > shape.bound {
            return Err(OkvsError::TooManyKeys { bound: shape.bound });
        }
        if values.len() != self.len() {
            return Err(OkvsError::LengthsDiffer);
        }
        if table.len() != shape.table_len() {
            return Err(OkvsError::WrongLength);
        }
        match free {
            Free::Zero => table.fill(Block::ZERO),
            Free::Random(seed) => table
                .par_chunks_mut(shape.bin_len())
                .enumerate()
                .for_each(|(bin, table)| Prg::stream(seed, bin as u64).fill(table)),
        }
        let bins = table.chunks_exact(shape.bin_len());
        let dense: Vec<Block> = bins.flat_map(|bin| &bin[shape.slots..]).copied().collect();
        let sorted = self.sort(values, matches!(free, Free::Random(_)).then_some(&dense[..]));
        table
            .par_chunks_mut(shape.bin_len())
            .enumerate()
            .try_for_each_init(Scratch::new, |scratch, (bin, table)| {
                scratch.encode_bin(self, bin, &sorted, table)
            })
    }
}

impl Scratch {
    fn new() -> Self {
        Self {
            peeler: Peeler::new(),
            values: Zeroizing::new(Vec::new()),
        }
    }

    /// Solves for the table of one bin, which holds what its free slots and columns shall hold.
    fn encode_bin(
        &mut self,
        rows: &Rows,
        bin: usize,
        sorted: &[Wiped<Block>],
        table: &mut [Block],
    ) -> Result<(), OkvsError> {
        let shape = rows.shape();
        self.values.clear();
        for part in rows.of_bin(sorted, bin) {
            self.values.extend_from_slice(part);
        }
        if self.values.len() > shape.capacity {
            return Err(OkvsError::Unsolvable);
        }
        self.peeler.peel(rows.slots(bin), shape.slots);
        let (sparse, dense) = table.split_at_mut(shape.slots);
        if self.peeler.peeled.len() < self.values.len() {
            self.solve_core(rows, bin, sparse, dense)?;
        }
        self.substitute(sparse);
        Ok(())
    }

    /// Solves for the rows that no slot solves, and takes what that changes in the dense columns off the
    /// values of the others.
    fn solve_core(
        &mut self,
        rows: &Rows,
        bin: usize,
        sparse: &mut [Block],
        dense: &mut [Block],
    ) -> Result<(), OkvsError> {
        let mut is_peeled = vec![false; self.values.len()];
        for word in &self.peeler.peeled {
            is_peeled[Peeled::unpack(*word).row] = true;
        }
        let points: Vec<u64> = rows.points(bin).collect();
        let core: Vec<CoreRow> = rows
            .slots(bin)
            .zip(points.iter().zip(self.values.iter()))
            .zip(is_peeled)
            .filter(|(_, is_peeled)| !is_peeled)
            .map(|((slots, (point, value)), _)| CoreRow {
                slots: unpack(slots),
                point: *point,
                value: *value,
            })
            .collect();
        // The values are already short of what the columns add: solve for what to add to the columns.
        let mut change = vec![Block::ZERO; dense.len()];
        solve(&core, sparse, &mut change).ok_or(OkvsError::Unsolvable)?;
        let bin = vec![0; points.len()];
        gf128::add_polynomials(&mut self.values, &points, &bin, &change, change.len());
        xor_into(dense, &change);
        Ok(())
    }

    /// Each peeled row gives the slot that only it and rows before it have.
    fn substitute(&self, sparse: &mut [Block]) {
        for word in self.peeler.peeled.iter().rev() {
            let Peeled { others, row, slot } = Peeled::unpack(*word);
            let [a, b] = others;
            sparse[slot] = self.values[row] ^ sparse[a] ^ sparse[b];
        }
    }
}
