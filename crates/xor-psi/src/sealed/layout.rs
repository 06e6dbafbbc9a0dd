//! How many bytes everything has. Sizes follow from the public parameters alone.

use xor_base::constants::SIGMA;

use super::outer::{CHUNK_BYTES, TAG_BYTES};
use super::spec::{JoinKind, JoinSpec};
use crate::oprf::Side;

/// Bytes of a half secret, of a cell key and of an opener.
pub const SECRET_BYTES: usize = 16;

/// From this row length on, a group's length takes more than two bytes.
const LONG_ROW: usize = (1 << 14) - SECRET_BYTES;

/// A list of `count` records of `width` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListShape {
    pub count: usize,
    pub width: usize,
}

impl ListShape {
    /// Units: bytes. Saturates, so that a limit on it holds for any parameters.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.count.saturating_mul(self.width)
    }
}

/// How the cells of one side are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellShape {
    /// Bytes of a label.
    pub label: usize,
    /// One row per cell, in the clear for the recipients.
    pub is_readable: bool,
    /// The carrier of a join that opens the other side holds `s_o`.
    pub holds_secret: bool,
    /// Bytes of a cell after its label.
    pub body: usize,
}

/// What stands in one player's stream, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    pub openers: Option<ListShape>,
    pub cells: Option<ListShape>,
    /// Meaningful where `cells` is.
    pub cell: CellShape,
}

impl Shapes {
    pub(super) fn new(spec: &JoinSpec, side: Side) -> Self {
        let is_opener = side == spec.opener;
        let (cells, openers) = (spec.bound(side), spec.bound(spec.opener));
        let cell = CellShape::new(spec, side, label_bytes(cells, openers));
        let has_cells = spec.kind != JoinKind::Semi || !is_opener;
        Self {
            openers: is_opener.then_some(ListShape {
                count: openers,
                width: SECRET_BYTES,
            }),
            cells: has_cells.then_some(ListShape {
                count: cells,
                width: cell.label + cell.body,
            }),
            cell,
        }
    }

    /// Units: bytes before sealing.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        let lists = [self.openers, self.cells];
        lists.iter().flatten().map(|list| list.bytes() as u64).sum()
    }
}

/// Keys, their groups and half secrets, for each row.
const GROUP_ROW_BYTES: u64 = 120;

impl Shapes {
    /// What a player holds where nothing of a table of `rows` is on disk: its lists, and a table that takes as
    /// much as its cells.
    ///
    /// Units: bytes.
    #[must_use]
    pub fn held_bytes(&self, rows: usize) -> u64 {
        let table = self.cells.map_or(0, |list| list.bytes() as u64);
        table
            .saturating_add(self.plain_bytes())
            .saturating_add(GROUP_ROW_BYTES.saturating_mul(rows as u64))
    }
}

impl CellShape {
    fn new(spec: &JoinSpec, side: Side, label: usize) -> Self {
        let longest = spec.payload(side).longest();
        let holds_secret = side != spec.opener && spec.kind != JoinKind::Semi;
        let secret = if holds_secret { SECRET_BYTES } else { 0 };
        if spec.preserves(side) {
            return Self {
                label,
                is_readable: true,
                holds_secret,
                body: secret + 1 + longest,
            };
        }
        let closed = Self::closed(label, longest);
        Self {
            holds_secret,
            body: secret + closed.body,
            ..closed
        }
    }

    /// Of cells that open with their key and hold nothing but rows, the longest of so many bytes.
    #[must_use]
    pub fn closed(label: usize, longest: usize) -> Self {
        let framing = if longest < LONG_ROW { 2 } else { 5 };
        Self {
            label,
            is_readable: false,
            holds_secret: false,
            body: framing + longest,
        }
    }

    /// The masked bytes at the start of a readable cell's body.
    #[must_use]
    pub fn secret_bytes(&self) -> usize {
        if self.holds_secret { SECRET_BYTES } else { 0 }
    }
}

/// Long enough that, with probability 1 - 2^-SIGMA, no opener hits a cell by chance and no two of a
/// list's labels are equal.
///
/// The second condition is the larger one where the list is longer than the openers are many.
#[must_use]
pub fn label_bytes(cells: usize, openers: usize) -> usize {
    let bits = SIGMA + ceil_log2(cells) + ceil_log2(openers.max(cells));
    bits.div_ceil(8) as usize
}

fn ceil_log2(count: usize) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

/// Chunks of a sealed stream; an empty one still has its last chunk, which says that it is complete.
#[must_use]
pub fn chunk_count(plain_bytes: u64) -> u64 {
    plain_bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

/// Units: bytes of a sealed stream.
#[must_use]
pub fn stream_bytes(plain_bytes: u64) -> u64 {
    plain_bytes + chunk_count(plain_bytes) * TAG_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_grow_with_both_lists() {
        assert_eq!(label_bytes(0, 0), 5);
        assert_eq!(label_bytes(1, 1), 5);
        assert_eq!(label_bytes(1 << 20, 1 << 20), 10);
        assert_eq!(label_bytes(1 << 24, 1 << 24), 11);
        assert_eq!(label_bytes(1 << 24, 1), 11);
        assert_eq!(label_bytes(1 << 12, (1 << 24) - 1), 10);
    }

    #[test]
    fn a_stream_has_at_least_its_last_chunk() {
        let chunk = CHUNK_BYTES as u64;
        let pairs = [(0, 1), (1, 1), (chunk, 1), (chunk + 1, 2), (3 * chunk, 3)];
        for (plain, chunks) in pairs {
            assert_eq!(chunk_count(plain), chunks);
            assert_eq!(stream_bytes(plain), plain + 16 * chunks);
        }
    }
}
