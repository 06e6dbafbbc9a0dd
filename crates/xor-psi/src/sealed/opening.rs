//! The analyst: from two verified plaintext streams to the rows that matched.
//!
//! What is found wrong here was written by a player that did not follow the protocol. It is told to the
//! analyst only: an error that reached a player would answer a question about one chosen key.

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_base::rows::RowCodec;

use super::cells::{CellList, is_ascending};
use super::joined::{Group, Joined, RowStore};
use super::layout::SECRET_BYTES;
use super::lists::leb128_len;
use super::secrets::{Attempt, CellStream, Secret, opener_key, xor};
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
/// One hash per opener, one or two per matched row; no communication.
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

/// One side's lists, checked for order and repetition.
struct SideLists<'a> {
    side: Side,
    openers: &'a [u8],
    cells: CellList<'a>,
    bound: usize,
    codec: &'a RowCodec,
    stream: CellStream,
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
        Ok(Self {
            side,
            openers,
            cells: CellList::new(cells, width, shapes.cell)?,
            bound: spec.bound(side),
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
        parts.into_iter().for_each(|part| all.append(part));
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
            opener.push(&[0]);
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
    fn append(&mut self, other: Self) {
        let offsets = [self.stores[0].len(), self.stores[1].len()];
        self.groups
            .extend(other.groups.into_iter().map(|[opened, carried]| {
                let [opener, carrier] = offsets;
                [
                    opened.start + opener..opened.end + opener,
                    carried.start + carrier..carried.end + carrier,
                ]
            }));
        self.stores
            .iter_mut()
            .zip(other.stores)
            .for_each(|(store, more)| store.append(more));
        self.used
            .iter_mut()
            .zip(other.used)
            .for_each(|(used, more)| used.extend(more));
    }
}

impl SideLists<'_> {
    /// Appends the readable rows that no opener reached, after checking every record.
    fn add_unmatched(&self, store: &mut RowStore, used: &[u32]) -> Result<std::ops::Range<usize>, PsiError> {
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
                    store.push(row);
                }
            }
        }
        if store.len() > self.bound {
            return Err(OpeningError::BadLength.into());
        }
        Ok(first..store.len())
    }

    /// The row in a readable record, or nothing in a filler.
    fn readable_row(&self, index: usize) -> Result<Option<&[u8]>, PsiError> {
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

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    mask: Vec<u8>,
    string: Vec<u8>,
}

/// Opens the cells of one key on one side.
struct GroupReader<'a, 'b> {
    lists: &'b SideLists<'a>,
    key: &'b Secret,
    rows: &'b mut RowStore,
    used: &'b mut Vec<u32>,
}

impl GroupReader<'_, '_> {
    /// Appends the key's rows. Nothing if the side has no cell for it, else its `s_o` (zeros if it holds none).
    fn open(&mut self, scratch: &mut Scratch) -> Result<Option<Secret>, PsiError> {
        if self.lists.cells.shape.is_readable {
            self.open_readable(scratch)
        } else {
            self.open_closed(scratch)
        }
    }

    /// Cell `number` of the key: its index, with the stream that masks its body in `scratch`.
    fn find(&self, number: u64, mask_bytes: usize, scratch: &mut Scratch) -> Option<usize> {
        let label = self.lists.cells.shape.label;
        scratch.mask.resize(label + mask_bytes, 0);
        // Most openers hit nothing: the stream is only read after a hit.
        let (head, _) = scratch.mask.split_at_mut(label);
        self.lists.stream.fill(self.key, number, head);
        let index = self.lists.cells.find(head)?;
        self.lists.stream.fill(self.key, number, &mut scratch.mask);
        Some(index)
    }

    fn use_cell(&mut self, index: usize) {
        // Lists hold at most 2^24 cells.
        self.used.push(u32::try_from(index).unwrap_or(u32::MAX));
    }

    fn append_cell(&mut self, index: usize, scratch: &mut Scratch) {
        let start = scratch.string.len();
        scratch.string.extend_from_slice(self.lists.cells.body(index));
        let mask = scratch
            .mask
            .get(self.lists.cells.shape.label..)
            .unwrap_or_default();
        if let Some(cell) = scratch.string.get_mut(start..) {
            xor(cell, mask);
        }
        self.use_cell(index);
    }

    fn open_closed(&mut self, scratch: &mut Scratch) -> Result<Option<Secret>, PsiError> {
        let shape = self.lists.cells.shape;
        scratch.string.clear();
        let Some(index) = self.find(0, shape.body, scratch) else {
            return Ok(None);
        };
        self.append_cell(index, scratch);
        let (prefix, rest) = read_leb128(&scratch.string).ok_or(OpeningError::BadLength)?;
        let total = prefix.checked_add(rest).ok_or(OpeningError::BadLength)?;
        let cells = total.div_ceil(shape.body);
        if rest <= shape.secret_bytes() || cells > self.lists.cells.count() {
            return Err(OpeningError::BadLength.into());
        }
        for number in 1..cells as u64 {
            let index = self
                .find(number, shape.body, scratch)
                .ok_or(OpeningError::MissingCell)?;
            self.append_cell(index, scratch);
        }
        let (string, filler) = scratch
            .string
            .split_at_checked(total)
            .ok_or(OpeningError::BadLength)?;
        if filler.iter().any(|byte| *byte != 0) {
            return Err(OpeningError::BadLength.into());
        }
        let rest = string.get(prefix..).unwrap_or_default();
        let (held, rows) = rest
            .split_at_checked(shape.secret_bytes())
            .ok_or(OpeningError::BadLength)?;
        split_rows(self.lists, rows, self.rows)?;
        Ok(Some(held.try_into().unwrap_or_default()))
    }

    fn open_readable(&mut self, scratch: &mut Scratch) -> Result<Option<Secret>, PsiError> {
        let shape = self.lists.cells.shape;
        let mut held: Option<Secret> = None;
        for number in 0.. {
            let Some(index) = self.find(number, shape.secret_bytes(), scratch) else {
                break;
            };
            let mut secret = Secret::default();
            secret
                .iter_mut()
                .zip(self.lists.cells.body(index))
                .for_each(|(to, from)| *to = *from);
            let mask = scratch.mask.get(shape.label..).unwrap_or_default();
            let secret = if shape.holds_secret {
                xor(&mut secret, mask);
                secret
            } else {
                Secret::default()
            };
            if held.is_some_and(|first| first != secret) {
                return Err(OpeningError::MixedGroup.into());
            }
            held = Some(secret);
            let row = self.lists.readable_row(index)?.ok_or(OpeningError::BadRow)?;
            self.rows.push(row);
            self.use_cell(index);
        }
        Ok(held)
    }
}

fn split_rows(lists: &SideLists<'_>, mut bytes: &[u8], store: &mut RowStore) -> Result<(), PsiError> {
    while !bytes.is_empty() {
        let length = lists.codec.measure(bytes).map_err(|_| OpeningError::BadRow)?;
        let (row, rest) = bytes.split_at_checked(length).ok_or(OpeningError::BadRow)?;
        // Rows take a byte at least; more than the bound would be a claim about memory only.
        if store.len() >= lists.bound {
            return Err(OpeningError::BadLength.into());
        }
        store.push(row);
        bytes = rest;
    }
    Ok(())
}

/// Reads a number in its shortest form: (bytes read, value).
fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = usize::try_from(value).ok()?;
            let read = index + 1;
            return (leb128_len(value) == read).then_some((read, value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::spec::tests::join_spec;

    #[test]
    fn a_cell_that_two_openers_reach_is_refused() {
        let spec = join_spec("inner");
        let plain = vec![0; spec.shapes(Side::Right).plain_bytes() as usize];
        // A player needs 2^40 hashes to make two labels equal, so the reader is asked directly.
        let width = spec.shapes(Side::Right).cells.unwrap().width;
        let lists = SideLists {
            side: Side::Right,
            openers: &[],
            cells: CellList::new(&plain[..width], width, spec.shapes(Side::Right).cell).unwrap(),
            bound: spec.bound(Side::Right),
            codec: spec.payload(Side::Right),
            stream: CellStream::new([0; 16], Side::Right),
        };
        let error = lists
            .add_unmatched(&mut RowStore::default(), &[0, 0])
            .unwrap_err();
        assert_eq!(error.code(), "protocol.shared-cell");
    }

    #[test]
    fn numbers_are_read_in_their_shortest_form_only() {
        assert_eq!(read_leb128(&[0x7f, 9]), Some((1, 127)));
        assert_eq!(read_leb128(&[0x80, 1]), Some((2, 128)));
        for bytes in [&[0x80_u8, 0][..], &[0x80], &[], &[0xff; 9]] {
            assert_eq!(read_leb128(bytes), None);
        }
    }
}
