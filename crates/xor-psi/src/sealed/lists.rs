//! The lists that go to the analyst. Each has exactly its padded length and is sorted by what looks random.

use std::ops::Range;

use rayon::prelude::*;
use xor_base::kernels::memory;
use xor_base::random;
use xor_base::rows::Rows;
use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

use super::encoded::Encoded;
use super::group::Groups;
use super::layout::{CellShape, ListShape, SECRET_BYTES};
use super::order;
use super::secrets::{CellStream, Secret};
use super::strings::{GroupString, string_len};
use crate::PsiError;

/// The cells of that many keys mostly lie in the nearest caches until they are finished.
const GROUPS_PER_TASK: usize = 1 << 9;

/// Records that are asked for before they are copied.
const RECORDS_AHEAD: usize = 16;

/// Readable records that are made at a time.
const READABLE_BYTES: usize = 1 << 20;

/// Records in the order in which they are written, wiped when dropped: openers are secrets, and labels
/// beside the table's order would tell later which rows matched.
pub(crate) struct List {
    bytes: Wiped<u8>,
    width: usize,
    order: Wiped<u32>,
}

/// What the cells of one side, or of some of its keys, are made of.
pub(crate) struct Contents<'a, R> {
    pub rows: &'a R,
    pub groups: &'a Groups,
    /// [keys] `k_c` or `k_o`.
    pub keys: &'a [Secret],
    /// [keys] `s_o`, if this side's cells hold it.
    pub secrets: Option<&'a [Secret]>,
    pub stream: &'a CellStream,
    pub shape: CellShape,
}

impl List {
    /// Of records of `width` bytes, one after the other.
    pub fn sorted(bytes: Wiped<u8>, width: usize) -> Result<Self, PsiError> {
        let record = |index: usize| record(&bytes, width, index);
        let order = order::ascending(bytes.len() / width, record)?;
        Ok(Self { bytes, width, order })
    }

    /// The same records in random order.
    pub fn shuffled(bytes: Wiped<u8>, width: usize) -> Result<Self, PsiError> {
        let tags = Zeroizing::new(random::words(bytes.len() / width)?);
        let mut order: Vec<(u64, u32)> = tags.iter().copied().zip(0..).collect();
        order.par_sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|(_, index)| index).collect();
        let order = Wiped::new(order);
        Ok(Self { bytes, width, order })
    }

    /// Gives `each` all records, in no order.
    pub fn for_each_unsorted(&self, each: impl FnMut(&[u8])) {
        self.bytes.chunks_exact(self.width).for_each(each);
    }

    /// Units: bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fills `out` with what stands from byte `offset` on when all records are written in order.
    pub fn read_at(&self, offset: usize, out: &mut [u8]) {
        let (first, skipped) = (offset / self.width, offset % self.width);
        let order = self.order.get(first..).unwrap_or_default();
        let mut rest = out;
        for (place, index) in order.iter().enumerate() {
            // Records lie anywhere in the list.
            if let Some(ahead) = order.get(place + RECORDS_AHEAD) {
                memory::prefetch(&self.bytes, *ahead as usize * self.width);
                memory::prefetch(&self.bytes, (*ahead as usize + 1) * self.width - 1);
            }
            let record = record(&self.bytes, self.width, *index as usize);
            let record = record
                .get(if place == 0 { skipped } else { 0 }..)
                .unwrap_or_default();
            let (to, following) = rest.split_at_mut(record.len().min(rest.len()));
            to.copy_from_slice(record.get(..to.len()).unwrap_or_default());
            rest = following;
            if rest.is_empty() {
                break;
            }
        }
    }
}

fn record(bytes: &[u8], width: usize, index: usize) -> &[u8] {
    let start = index * width;
    bytes.get(start..start + width).unwrap_or_default()
}

/// The openers: `s_c` of each distinct key, filled up with random strings.
pub(crate) fn openers(secrets: &[Secret], shape: ListShape) -> Result<List, PsiError> {
    let mut bytes = Wiped::try_zeros(shape.bytes())?;
    let (used, filler) = bytes.split_at_mut(secrets.len() * SECRET_BYTES);
    used.copy_from_slice(secrets.as_flattened());
    random::fill(filler)?;
    List::sorted(bytes, SECRET_BYTES)
}

/// Cells that only open with their key, filled up with random cells.
pub(crate) fn closed(contents: &Contents<'_, impl Encoded>, list: ListShape) -> Result<List, PsiError> {
    let first_cells = contents.first_cells();
    let used = first_cells.last().copied().unwrap_or(0);
    let mut bytes = Wiped::try_zeros(list.bytes())?;
    let (cells, filler) = bytes.split_at_mut(used * list.width);
    contents.close_all(&first_cells, cells)?;
    random::fill(filler)?;
    List::sorted(bytes, list.width)
}

impl<R: Encoded> Contents<'_, R> {
    /// The cells of all keys, in their order and without fillers.
    pub fn closed_cells(&self) -> Result<Wiped<u8>, PsiError> {
        let first_cells = self.first_cells();
        let used = first_cells.last().copied().unwrap_or(0);
        let mut cells = Wiped::try_zeros(used * self.width())?;
        self.close_all(&first_cells, &mut cells)?;
        Ok(cells)
    }

    fn width(&self) -> usize {
        self.shape.label + self.shape.body
    }

    fn close_all(&self, first_cells: &[usize], mut cells: &mut [u8]) -> Result<(), PsiError> {
        let cell = |group: usize| first_cells.get(group).copied().unwrap_or(0);
        let mut tasks = Vec::new();
        for first in (0..self.keys.len()).step_by(GROUPS_PER_TASK) {
            let groups = first..self.keys.len().min(first + GROUPS_PER_TASK);
            let count = cell(groups.end) - cell(groups.start);
            let (own, following) = cells.split_at_mut(count * self.width());
            tasks.push((groups, own));
            cells = following;
        }
        tasks
            .into_par_iter()
            .try_for_each_init(GroupString::default, |string, (groups, cells)| {
                self.close(groups, first_cells, cells, string)
            })
    }

    /// [keys + 1] the number of each group's first cell; the last is the number of cells.
    fn first_cells(&self) -> Vec<usize> {
        let mut cells = Vec::with_capacity(self.keys.len() + 1);
        let mut total = 0;
        cells.push(0);
        for rows in self.groups.iter() {
            // One row with all that belongs to it fits a cell, whatever its length.
            total += match rows {
                [_] => 1,
                _ => string_len(self.rows, rows, self.shape).div_ceil(self.shape.body),
            };
            cells.push(total);
        }
        cells
    }

    /// Writes the cells of some groups.
    fn close(
        &self,
        groups: Range<usize>,
        first_cells: &[usize],
        cells: &mut [u8],
        string: &mut GroupString,
    ) -> Result<(), PsiError> {
        let width = self.width();
        let count = |group: usize| match first_cells.get(group..group + 2) {
            Some([start, end]) => (end - start) as u64,
            _ => 0,
        };
        let keys = groups
            .clone()
            .zip(self.keys.get(groups.clone()).unwrap_or_default());
        let numbered = keys.flat_map(|(group, key)| (0..count(group)).map(move |j| (key, j)));
        self.stream.fill(numbered, cells, width);
        let mut cells = cells.chunks_exact_mut(width);
        for group in groups {
            let secret = self.secrets.and_then(|secrets| secrets.get(group));
            let plain = string.encode(self.rows, self.groups.rows(group), secret)?;
            let own = cells.by_ref().take(count(group) as usize);
            for (cell, piece) in own.zip(plain.chunks(self.shape.body)) {
                let (_, masked) = cell.split_at_mut(self.shape.label);
                super::secrets::xor(masked, piece);
            }
        }
        Ok(())
    }
}

/// One row per cell, for whoever opens the outer seal; only the label, and `s_o` at the carrier, depend on
/// the key.
pub(crate) fn readable(contents: &Contents<'_, impl Encoded>, list: ListShape) -> Result<List, PsiError> {
    let mut bytes = Wiped::try_zeros(list.bytes())?;
    let keyed = contents.groups.order.len();
    let (with_key, without_key) = bytes.split_at_mut(keyed * list.width);
    contents.label_all(with_key)?;
    let unkeyed = contents.groups.unkeyed.iter().copied();
    write_unkeyed(contents.rows, unkeyed, contents.shape, without_key)?;
    List::sorted(bytes, list.width)
}

/// Readable records of rows without a key, in zeros; where there are no more, fillers.
pub(crate) fn write_unkeyed(
    rows: &impl Encoded,
    mut numbers: impl Iterator<Item = u32>,
    shape: CellShape,
    records: &mut [u8],
) -> Result<(), PsiError> {
    let (masked, width) = (shape.label + shape.secret_bytes(), shape.label + shape.body);
    let mut noise = Wiped::try_zeros(records.len() / width * masked)?;
    random::fill(&mut noise)?;
    for (record, noise) in records.chunks_exact_mut(width).zip(noise.chunks_exact(masked)) {
        let (head, body) = record.split_at_mut(masked);
        head.copy_from_slice(noise);
        if let Some(row) = numbers.next() {
            write_readable(rows, row, body);
        }
    }
    Ok(())
}

impl<R: Encoded> Contents<'_, R> {
    /// The readable records of all rows with a key.
    pub fn readable_cells(&self) -> Result<Wiped<u8>, PsiError> {
        let mut records = Wiped::try_zeros(self.groups.order.len() * self.width())?;
        self.label_all(&mut records)?;
        Ok(records)
    }

    fn label_all(&self, records: &mut [u8]) -> Result<(), PsiError> {
        let places = places(self.groups);
        records
            .par_chunks_mut(self.width() * GROUPS_PER_TASK)
            .zip(self.groups.order.par_chunks(GROUPS_PER_TASK))
            .zip(places.par_chunks(GROUPS_PER_TASK))
            .try_for_each(|((records, rows), places)| self.label(records, rows, places))
    }

    /// Writes readable records of rows with a key.
    fn label(&self, records: &mut [u8], rows: &[u32], places: &[(u32, u32)]) -> Result<(), PsiError> {
        let CellShape { label, body, .. } = self.shape;
        let masked = label + self.shape.secret_bytes();
        let mut heads = Wiped::try_zeros(rows.len() * masked)?;
        let numbered = places.iter().map(|(group, j)| {
            let key = self.keys.get(*group as usize);
            (key.unwrap_or(&[0; SECRET_BYTES]), u64::from(*j))
        });
        self.stream.fill(numbered, &mut heads, masked);
        let heads = heads.chunks_exact(masked).zip(places);
        for ((record, row), (from, (group, _))) in records.chunks_exact_mut(label + body).zip(rows).zip(heads)
        {
            let (head, rest) = record.split_at_mut(masked);
            head.copy_from_slice(from);
            if let Some(secret) = self.secrets.and_then(|secrets| secrets.get(*group as usize)) {
                let (_, held) = head.split_at_mut(label);
                super::secrets::xor(held, secret);
            }
            write_readable(self.rows, *row, rest);
        }
        Ok(())
    }
}

/// Rows in random order and in the clear: what a release holds.
pub(crate) fn released(rows: &Rows<'_>, list: ListShape) -> Result<List, PsiError> {
    let mut bytes = Wiped::try_zeros(list.bytes())?;
    for (record, row) in bytes.chunks_exact_mut(list.width).zip(0_u32..).take(rows.count()) {
        write_readable(rows, row, record);
    }
    List::shuffled(bytes, list.width)
}

/// Gives `each` the readable records of some rows, a few at a time.
pub(crate) fn for_each_readable(
    rows: &Rows<'_>,
    width: usize,
    mut each: impl FnMut(&[u8]) -> Result<(), PsiError>,
) -> Result<(), PsiError> {
    let at_once = (READABLE_BYTES / width).max(1);
    let mut records = Wiped::try_zeros(at_once * width)?;
    for first in (0..rows.count()).step_by(at_once) {
        let count = at_once.min(rows.count() - first);
        let (records, _) = records.split_at_mut(count * width);
        records.fill(0);
        let numbered = records.par_chunks_exact_mut(width).enumerate();
        numbered.for_each(|(number, record)| write_readable(rows, (first + number) as u32, record));
        each(records)?;
    }
    Ok(())
}

/// `1 ‖ row`, into zeros.
pub(crate) fn write_readable(rows: &impl Encoded, row: u32, body: &mut [u8]) {
    if let Some((flag, space)) = body.split_first_mut() {
        *flag = 1;
        rows.encode(row as usize, space);
    }
}

/// (group, number within the group) of each row with a key.
fn places(groups: &Groups) -> Vec<(u32, u32)> {
    let mut places = Vec::with_capacity(groups.order.len());
    for (rows, group) in groups.iter().zip(0..) {
        places.extend((0..).take(rows.len()).map(|j| (group, j)));
    }
    places
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    fn is_wiped<T: ZeroizeOnDrop>(_: &T) -> bool {
        true
    }

    #[test]
    fn a_list_is_sorted_complete_and_wiped() {
        let shape = ListShape { count: 3, width: 16 };
        let list = openers(&[[9; 16], [1; 16]], shape).unwrap();
        assert!(is_wiped(&list.bytes) && is_wiped(&list.order));
        let mut bytes = [[0; 16]; 3];
        list.read_at(0, bytes.as_flattened_mut());
        assert!(bytes.is_sorted());
        assert!(bytes.contains(&[9; 16]) && bytes.contains(&[1; 16]));
        for (start, end) in [(0, 1), (5, 48), (16, 32), (17, 40), (47, 48)] {
            let mut part = vec![0; end - start];
            list.read_at(start, &mut part);
            assert_eq!(part, bytes.as_flattened()[start..end]);
        }
    }
}
