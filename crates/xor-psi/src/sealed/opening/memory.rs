//! Opening where both streams fit into memory: cells are found by an index of their labels.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_base::rows::RowCodec;

use super::super::cells::{CellList, is_ascending};
use super::super::joined::{Joined, Part, RowStore};
use super::super::layout::SECRET_BYTES;
use super::super::reader::Reader;
use super::super::secrets::{Attempt, CellStream, Secret, opener_keys};
use super::super::spec::{JoinKind, JoinSpec};
use super::super::written::readable_row;
use crate::oprf::Side;
use crate::{OpeningError, PsiError};

const OPENERS_PER_TASK: usize = 1 << 11;
const CELLS_PER_TASK: usize = 1 << 13;

/// Opens a join.
///
/// # Errors
/// `Opening` if a list is not sorted, repeats itself, or a group does not hold together.
///
/// # Discloses
/// To the caller: the rows that matched, grouped by key, and all rows of preserved sides.
///
/// # Cost
/// One hash per opener, one or two per matched row; no communication. Memory: the streams, their labels again
/// in short, and at most the bound of rows of each side, whatever the players wrote.
pub fn open(spec: &JoinSpec, attempt: [u8; 16], streams: [&[u8]; 2]) -> Result<Joined, PsiError> {
    let [left, right] = streams;
    let (left, right) = rayon::join(
        || SideLists::read(spec, Side::Left, attempt, left),
        || SideLists::read(spec, Side::Right, attempt, right),
    );
    let opening = match spec.opener {
        Side::Left => Opening::new(spec, left?, right?),
        Side::Right => Opening::new(spec, right?, left?),
    };
    let mut parts = opening.open_groups()?;
    parts.extend(opening.unmatched(&opening.opener)?);
    parts.extend(opening.unmatched(&opening.carrier)?);
    if opening.opener.side == Side::Right {
        parts.iter_mut().for_each(Part::swap_sides);
    }
    Ok(Joined::new(spec.codecs(), parts))
}

/// What a side may still use up. All tasks share it, so a forged list costs no more memory than an honest
/// one.
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    pub fn take(&self, count: usize) -> bool {
        let less = |left: usize| left.checked_sub(count);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

/// One side's lists, checked for order and repetition.
pub(crate) struct SideLists<'a> {
    side: Side,
    openers: &'a [Secret],
    pub cells: CellList<'a>,
    /// Rows up to the bound.
    pub rows: Budget,
    pub codec: &'a RowCodec,
    pub stream: CellStream,
}

impl<'a> SideLists<'a> {
    fn read(spec: &'a JoinSpec, side: Side, attempt: Attempt, plain: &'a [u8]) -> Result<Self, PsiError> {
        let shapes = spec.shapes(side);
        let openers = shapes.openers.map_or(0, |shape| shape.bytes());
        let (openers, cells) = plain.split_at_checked(openers).ok_or(OpeningError::BadLength)?;
        let width = shapes.cells.map_or(0, |shape| shape.width);
        if cells.len() != shapes.cells.map_or(0, |shape| shape.bytes()) {
            return Err(OpeningError::BadLength.into());
        }
        let (openers, _) = openers.as_chunks::<SECRET_BYTES>();
        if !is_ascending(openers) {
            return Err(OpeningError::RepeatedOpener.into());
        }
        Ok(Self {
            side,
            openers,
            cells: CellList::new(cells, width, shapes.cell)?,
            rows: Budget::new(spec.bound(side)),
            codec: spec.payload(side),
            stream: CellStream::new(attempt, side),
        })
    }

    /// Closed cells that do not come in a stream, of at most so many rows.
    pub fn of_cells(
        side: Side,
        cells: CellList<'a>,
        rows: usize,
        codec: &'a RowCodec,
        attempt: Attempt,
    ) -> Self {
        Self {
            side,
            openers: &[],
            cells,
            rows: Budget::new(rows),
            codec,
            stream: CellStream::new(attempt, side),
        }
    }

    /// The row in a readable record, or nothing in a filler.
    pub fn readable_row(&self, index: usize) -> Result<Option<&'a [u8]>, PsiError> {
        let body = self.cells.body(index).get(self.cells.shape.secret_bytes()..);
        Ok(readable_row(self.codec, body.unwrap_or_default())?)
    }
}

/// Both sides, by role.
struct Opening<'a> {
    opener: SideLists<'a>,
    carrier: SideLists<'a>,
    is_semi: bool,
    derive: Derive,
}

impl<'a> Opening<'a> {
    fn new(spec: &JoinSpec, opener: SideLists<'a>, carrier: SideLists<'a>) -> Self {
        let derive = Derive::new(Purpose::Opener);
        Self {
            opener,
            carrier,
            is_semi: spec.kind == JoinKind::Semi,
            derive,
        }
    }

    /// What each range of openers opens; sides by role: opener, carrier.
    fn open_groups(&self) -> Result<Vec<Part>, PsiError> {
        self.opener
            .openers
            .par_chunks(OPENERS_PER_TASK)
            .map(|openers| self.open_range(openers))
            .collect()
    }

    fn open_range(&self, openers: &[Secret]) -> Result<Part, PsiError> {
        let mut reader = Reader::new(&self.carrier);
        let carried = reader.open(openers)?;
        let carrier = reader.finish()?;
        if self.is_semi {
            // One row without columns on the other side: each kept row appears once.
            let mut opener = RowStore::default();
            opener.push(&[0])?;
            let groups = carried.into_iter().map(|carried| [0..1, carried.rows]);
            return Ok(Part::of_groups([opener, carrier], groups.collect()));
        }
        let mut keys = vec![Secret::default(); carried.len()];
        let pairs = carried
            .iter()
            .filter_map(|carried| Some((&carried.secret, openers.get(carried.key)?)));
        opener_keys(&self.derive, pairs, &mut keys);
        let mut reader = Reader::new(&self.opener);
        let opened = reader.open(&keys)?;
        if opened.len() != keys.len() {
            return Err(OpeningError::MissingCell.into());
        }
        let opener = reader.finish()?;
        let pairs = opened.into_iter().zip(carried);
        let groups = pairs.map(|(opened, carried)| [opened.rows, carried.rows]);
        Ok(Part::of_groups([opener, carrier], groups.collect()))
    }

    /// The readable rows that no opener reached, after checking every record.
    fn unmatched(&self, lists: &SideLists<'_>) -> Result<Vec<Part>, PsiError> {
        if !lists.cells.shape.is_readable {
            return Ok(Vec::new());
        }
        let is_opener = lists.side == self.opener.side;
        let tasks = lists.cells.count().div_ceil(CELLS_PER_TASK);
        (0..tasks)
            .into_par_iter()
            .map(|task| {
                let first = task * CELLS_PER_TASK;
                let mut reader = Reader::new(lists);
                for cell in first..lists.cells.count().min(first + CELLS_PER_TASK) {
                    let row = lists.readable_row(cell)?;
                    if let Some(row) = row.filter(|_| !lists.cells.is_used(cell)) {
                        reader.keep(row)?;
                    }
                }
                let rows = reader.finish()?;
                Ok(Part::unmatched(if is_opener {
                    [rows, RowStore::default()]
                } else {
                    [RowStore::default(), rows]
                }))
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
