//! The cells of one key, found and opened: what a recipient does for each opener that hits.

use super::joined::RowStore;
use super::lists::leb128_len;
use super::opening::SideLists;
use super::secrets::{Secret, xor};
use crate::{OpeningError, PsiError};

/// Buffers of one task.
#[derive(Default)]
pub(super) struct Scratch {
    mask: Vec<u8>,
    string: Vec<u8>,
}

/// Opens the cells of one key on one side.
pub(super) struct GroupReader<'a, 'b> {
    pub lists: &'b SideLists<'a>,
    pub key: &'b Secret,
    pub rows: &'b mut RowStore,
    pub used: &'b mut Vec<u32>,
}

impl GroupReader<'_, '_> {
    /// Appends the key's rows. Nothing if the side has no cell for it, else its `s_o` (zeros if it holds none).
    pub fn open(&mut self, scratch: &mut Scratch) -> Result<Option<Secret>, PsiError> {
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

    /// Asks for cells before they are read: more than there are means that some are reached twice.
    fn reserve(&self, cells: usize) -> Result<(), PsiError> {
        if self.lists.unused.take(cells) {
            Ok(())
        } else {
            Err(OpeningError::SharedCell.into())
        }
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
        self.reserve(cells)?;
        scratch
            .string
            .try_reserve(cells.saturating_mul(shape.body))
            .map_err(|_| PsiError::OutOfMemory)?;
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
            self.reserve(1)?;
            self.lists.keep(row, self.rows)?;
            self.use_cell(index);
        }
        Ok(held)
    }
}

fn split_rows(lists: &SideLists<'_>, mut bytes: &[u8], store: &mut RowStore) -> Result<(), PsiError> {
    while !bytes.is_empty() {
        let length = lists.codec.measure(bytes).map_err(|_| OpeningError::BadRow)?;
        let (row, rest) = bytes.split_at_checked(length).ok_or(OpeningError::BadRow)?;
        lists.keep(row, store)?;
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

    #[test]
    fn numbers_are_read_in_their_shortest_form_only() {
        assert_eq!(read_leb128(&[0x7f, 9]), Some((1, 127)));
        assert_eq!(read_leb128(&[0x80, 1]), Some((2, 128)));
        for bytes in [&[0x80_u8, 0][..], &[0x80], &[], &[0xff; 9]] {
            assert_eq!(read_leb128(bytes), None);
        }
    }
}
