//! The analyst: from two verified plaintext streams to the rows that matched.
//!
//! What is found wrong here was written by a player that did not follow the protocol. It is told to the
//! analyst only: an error that reached a player would answer a question about one chosen key.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_base::rows::RowCodec;

use super::cells::{CellList, is_ascending};
use super::joined::{Group, Joined, RowStore};
use super::layout::SECRET_BYTES;
use super::reader::{GroupReader, Scratch};
use super::secrets::{Attempt, CellStream, opener_key};
use super::spec::{JoinKind, JoinSpec};
use crate::oprf::Side;
use crate::{OpeningError, PsiError};

const OPENERS_PER_TASK: usize = 1 << 10;

/// Opens a join.
///
/// # Errors
/// `Opening` if a list is not sorted, repeats itself, or a group does not hold together.
///
/// # Discloses
/// To the caller: the rows that matched, grouped by key, and all rows of preserved sides.
///
/// # Cost
/// One hash per opener, one or two per matched row; no communication. Memory: the streams, and at most the
/// bound of rows of each side twice, whatever the players wrote.
pub fn open(spec: &JoinSpec, attempt: [u8; 16], streams: [&[u8]; 2]) -> Result<Joined, PsiError> {
    let [left, right] = streams;
    let left = SideLists::read(spec, Side::Left, attempt, left)?;
    let right = SideLists::read(spec, Side::Right, attempt, right)?;
    let opening = match spec.opener {
        Side::Left => Opening::new(spec, left, right),
        Side::Right => Opening::new(spec, right, left),
    };
    let found = opening.open_groups()?;
    opening.finish(spec, found)
}

/// What a side may still use up. All tasks share it, so a forged list costs no more memory than an honest
/// one: it is asked before anything is kept.
pub(super) struct Budget(AtomicUsize);

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
pub(super) struct SideLists<'a> {
    side: Side,
    openers: &'a [u8],
    pub cells: CellList<'a>,
    /// Rows up to the bound.
    pub rows: Budget,
    /// Each cell once.
    pub unused: Budget,
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
        if !is_ascending(openers, SECRET_BYTES, SECRET_BYTES) {
            return Err(OpeningError::RepeatedOpener.into());
        }
        let cells = CellList::new(cells, width, shapes.cell)?;
        Ok(Self {
            side,
            openers,
            unused: Budget::new(cells.count()),
            cells,
            rows: Budget::new(spec.bound(side)),
            codec: spec.payload(side),
            stream: CellStream::new(attempt, side),
        })
    }
}

/// Both sides, by role.
struct Opening<'a> {
    opener: SideLists<'a>,
    carrier: SideLists<'a>,
    is_semi: bool,
    derive: Derive,
}

/// What a range of openers opened. Indices by role: opener, carrier.
#[derive(Default)]
struct Found {
    stores: [RowStore; 2],
    groups: Vec<Group>,
    used: [Vec<u32>; 2],
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

    fn open_groups(&self) -> Result<Found, PsiError> {
        let parts: Vec<Found> = self
            .opener
            .openers
            .par_chunks(SECRET_BYTES * OPENERS_PER_TASK)
            .map(|openers| self.open_range(openers))
            .collect::<Result<_, _>>()?;
        let mut all = Found::default();
        for part in parts {
            all.append(part)?;
        }
        Ok(all)
    }

    fn open_range(&self, openers: &[u8]) -> Result<Found, PsiError> {
        let mut found = Found::default();
        let mut scratch = Scratch::default();
        for opener in openers.as_chunks::<SECRET_BYTES>().0 {
            let Found {
                stores: [opener_rows, carrier_rows],
                used: [opener_used, carrier_used],
                ..
            } = &mut found;
            let carried = carrier_rows.len();
            let mut carrier = GroupReader {
                lists: &self.carrier,
                key: opener,
                rows: carrier_rows,
                used: carrier_used,
            };
            let Some(s_o) = carrier.open(&mut scratch)? else {
                continue;
            };
            let carried = carried..carrier_rows.len();
            let opened = opener_rows.len();
            if !self.is_semi {
                let key = opener_key(&self.derive, &s_o, opener);
                let mut own = GroupReader {
                    lists: &self.opener,
                    key: &key,
                    rows: opener_rows,
                    used: opener_used,
                };
                own.open(&mut scratch)?.ok_or(OpeningError::MissingCell)?;
            }
            let opened = opened..opener_rows.len();
            found.groups.push([opened, carried]);
        }
        Ok(found)
    }

    fn finish(&self, spec: &JoinSpec, found: Found) -> Result<Joined, PsiError> {
        let Found {
            stores: [mut opener, mut carrier],
            mut groups,
            used: [opener_used, carrier_used],
        } = found;
        let opener_rest = self.opener.add_unmatched(&mut opener, &opener_used)?;
        let carrier_rest = self.carrier.add_unmatched(&mut carrier, &carrier_used)?;
        if self.is_semi {
            // One row without columns on the other side: each kept row appears once.
            opener.push(&[0])?;
            groups.iter_mut().for_each(|[opened, _]| *opened = 0..1);
        }
        let codecs = [
            spec.payload(Side::Left).clone(),
            spec.payload(Side::Right).clone(),
        ];
        Ok(match self.opener.side {
            Side::Left => Joined::new(codecs, [opener, carrier], groups, [opener_rest, carrier_rest]),
            Side::Right => {
                groups.iter_mut().for_each(|group| group.reverse());
                Joined::new(codecs, [carrier, opener], groups, [carrier_rest, opener_rest])
            }
        })
    }
}

impl Found {
    fn append(&mut self, other: Self) -> Result<(), PsiError> {
        let offsets = [self.stores[0].len(), self.stores[1].len()];
        self.groups
            .extend(other.groups.into_iter().map(|[opened, carried]| {
                let [opener, carrier] = offsets;
                [
                    opened.start + opener..opened.end + opener,
                    carried.start + carrier..carried.end + carrier,
                ]
            }));
        for (store, more) in self.stores.iter_mut().zip(other.stores) {
            store.append(more)?;
        }
        self.used
            .iter_mut()
            .zip(other.used)
            .for_each(|(used, more)| used.extend(more));
        Ok(())
    }
}

impl SideLists<'_> {
    /// Appends the readable rows that no opener reached, after checking every record.
    fn add_unmatched(&self, store: &mut RowStore, used: &[u32]) -> Result<Range<usize>, PsiError> {
        let mut is_used = vec![false; self.cells.count()];
        for index in used {
            match is_used.get_mut(*index as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(OpeningError::SharedCell.into()),
            }
        }
        let first = store.len();
        if self.cells.shape.is_readable {
            for (index, is_used) in is_used.iter().enumerate() {
                let plain = self.readable_row(index)?;
                if let Some(row) = plain.filter(|_| !is_used) {
                    self.keep(row, store)?;
                }
            }
        }
        Ok(first..store.len())
    }

    /// Appends a row, if the side may still have one.
    pub fn keep(&self, row: &[u8], store: &mut RowStore) -> Result<(), PsiError> {
        if self.rows.take(1) {
            store.push(row)
        } else {
            Err(OpeningError::BadLength.into())
        }
    }

    /// The row in a readable record, or nothing in a filler.
    pub fn readable_row(&self, index: usize) -> Result<Option<&[u8]>, PsiError> {
        let body = self.cells.body(index).get(self.cells.shape.secret_bytes()..);
        let (flag, space) = body
            .and_then(<[u8]>::split_first)
            .ok_or(OpeningError::BadLength)?;
        let (length, is_row) = match flag {
            0 => (0, false),
            1 => (self.codec.measure(space).map_err(|_| OpeningError::BadRow)?, true),
            _ => return Err(OpeningError::BadRow.into()),
        };
        let (row, rest) = space.split_at_checked(length).ok_or(OpeningError::BadRow)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(OpeningError::BadRow.into());
        }
        Ok(is_row.then_some(row))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
