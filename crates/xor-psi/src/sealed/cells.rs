//! A list of cells, as a recipient reads it: checked for order, and found by label.

use super::layout::CellShape;
use crate::{OpeningError, PsiError};

/// Cells that are found by label.
pub(super) struct CellList<'a> {
    cells: &'a [u8],
    width: usize,
    pub shape: CellShape,
    /// Where the labels with each leading number start.
    buckets: Vec<u32>,
    shift: u32,
}

impl<'a> CellList<'a> {
    pub fn new(cells: &'a [u8], width: usize, shape: CellShape) -> Result<Self, PsiError> {
        if !is_ascending(cells, width, shape.label) {
            return Err(OpeningError::RepeatedLabel.into());
        }
        let count = cells.len().checked_div(width).unwrap_or(0);
        let bits = count.next_power_of_two().trailing_zeros().min(24);
        let shift = 32 - bits;
        let mut buckets = vec![0_u32; (1 << bits) + 1];
        for cell in cells.chunks_exact(width.max(1)) {
            if let Some(next) = buckets.get_mut(bucket(cell, shift) + 1) {
                *next += 1;
            }
        }
        let mut total = 0;
        for start in &mut buckets {
            total += *start;
            *start = total;
        }
        Ok(Self {
            cells,
            width,
            shape,
            buckets,
            shift,
        })
    }

    pub fn count(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    fn cell(&self, index: usize) -> &'a [u8] {
        let start = index * self.width;
        self.cells.get(start..start + self.width).unwrap_or_default()
    }

    pub fn body(&self, index: usize) -> &'a [u8] {
        self.cell(index).get(self.shape.label..).unwrap_or_default()
    }

    /// Labels look random, so a bucket holds about one; a forged list only costs its author's bound.
    pub fn find(&self, label: &[u8]) -> Option<usize> {
        let bucket = bucket(label, self.shift);
        let (mut low, mut high) = (
            *self.buckets.get(bucket)? as usize,
            *self.buckets.get(bucket + 1)? as usize,
        );
        while low < high {
            let middle = low + (high - low) / 2;
            match self.cell(middle).get(..self.shape.label)?.cmp(label) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// Whether the first `compared` bytes of the records strictly increase.
pub(super) fn is_ascending(records: &[u8], width: usize, compared: usize) -> bool {
    let mut before: Option<&[u8]> = None;
    for record in records.chunks_exact(width.max(1)) {
        let label = record.get(..compared);
        if before.is_some() && label <= before {
            return false;
        }
        before = label;
    }
    true
}

fn bucket(label: &[u8], shift: u32) -> usize {
    let mut bytes = [0; 4];
    bytes.iter_mut().zip(label).for_each(|(to, from)| *to = *from);
    // One bucket only: the whole number is shifted out.
    u32::from_be_bytes(bytes).checked_shr(shift).unwrap_or(0) as usize
}
