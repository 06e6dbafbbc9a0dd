//! The lists that go to the analyst. Each has exactly its padded length and is sorted by what looks random.

use rayon::prelude::*;
use xor_base::random;
use xor_base::rows::Rows;
use zeroize::Zeroizing;

use super::group::Groups;
use super::layout::{CellShape, ListShape, SECRET_BYTES};
use super::outer::Sealer;
use super::secrets::{CellStream, Secret, xor};
use crate::PsiError;

const CELLS_PER_TASK: usize = 1 << 10;

/// Records in the order in which they are written, wiped when dropped: openers are secrets, and labels
/// beside the table's order would tell later which rows matched.
pub(super) struct List {
    bytes: Zeroizing<Vec<u8>>,
    width: usize,
    order: Zeroizing<Vec<u32>>,
}

/// What the cells of one side are made of.
pub(super) struct Contents<'a> {
    pub rows: &'a Rows<'a>,
    pub groups: &'a Groups,
    /// [keys] `k_c` or `k_o`.
    pub keys: &'a [Secret],
    /// [keys] `s_o`, if this side's cells hold it.
    pub secrets: Option<&'a [Secret]>,
    pub stream: &'a CellStream,
    pub shape: CellShape,
}

impl List {
    fn sorted(bytes: Zeroizing<Vec<u8>>, width: usize) -> Self {
        let heads: Vec<(u64, u32)> = bytes.chunks_exact(width).map(head).zip(0..).collect();
        let mut heads = Zeroizing::new(heads);
        let record = |index: u32| {
            let start = index as usize * width;
            bytes.get(start..start + width)
        };
        heads.par_sort_unstable_by(|left, right| {
            left.0
                .cmp(&right.0)
                .then_with(|| record(left.1).cmp(&record(right.1)))
        });
        let order = Zeroizing::new(heads.iter().map(|(_, index)| *index).collect());
        Self { bytes, width, order }
    }

    /// Appends all records to a stream.
    pub fn write(&self, sealer: &mut Sealer<'_>) -> Result<(), PsiError> {
        for index in self.order.iter() {
            let start = *index as usize * self.width;
            sealer.write(self.bytes.get(start..start + self.width).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// The openers: `s_c` of each distinct key, filled up with random strings.
pub(super) fn openers(secrets: &[Secret], shape: ListShape) -> Result<List, PsiError> {
    let mut bytes = allocate(shape)?;
    let (used, filler) = bytes.split_at_mut(secrets.len() * SECRET_BYTES);
    used.copy_from_slice(secrets.as_flattened());
    random::fill(filler)?;
    Ok(List::sorted(bytes, SECRET_BYTES))
}

/// Cells that only open with their key, filled up with random cells.
pub(super) fn closed(contents: &Contents<'_>, list: ListShape) -> Result<List, PsiError> {
    let body = contents.shape.body;
    let strings = GroupStrings::encode(contents)?;
    let first_cells = strings.first_cells(body);
    let used = first_cells.last().copied().unwrap_or(0);
    let mut bytes = allocate(list)?;
    let (cells, filler) = bytes.split_at_mut(used * list.width);
    cells
        .par_chunks_mut(list.width * CELLS_PER_TASK)
        .enumerate()
        .for_each(|(task, cells)| {
            let first = task * CELLS_PER_TASK;
            // The group of the first cell; later ones follow in order.
            let mut group = first_cells
                .partition_point(|start| *start <= first)
                .saturating_sub(1);
            for (cell, number) in cells.chunks_exact_mut(list.width).zip(first..) {
                while first_cells.get(group + 1).is_some_and(|next| *next <= number) {
                    group += 1;
                }
                let j = number - first_cells.get(group).copied().unwrap_or(number);
                let Some(key) = contents.keys.get(group) else {
                    continue;
                };
                contents.stream.fill(key, j as u64, cell);
                let (_, masked) = cell.split_at_mut(contents.shape.label);
                xor(masked, strings.piece(group, j * body, body));
            }
        });
    random::fill(filler)?;
    Ok(List::sorted(bytes, list.width))
}

/// One row per cell, for whoever opens the outer seal; only the label, and `s_o` at the carrier, depend on
/// the key.
pub(super) fn readable(contents: &Contents<'_>, list: ListShape) -> Result<List, PsiError> {
    let CellShape { label, .. } = contents.shape;
    let masked = label + contents.shape.secret_bytes();
    let mut bytes = allocate(list)?;
    let keyed = contents.groups.order.len();
    let (with_key, without_key) = bytes.split_at_mut(keyed * list.width);
    let places = places(contents.groups);
    with_key
        .par_chunks_exact_mut(list.width)
        .zip(&contents.groups.order)
        .zip(&places)
        .with_min_len(CELLS_PER_TASK)
        .for_each(|((record, row), (group, j))| {
            let (head, body) = record.split_at_mut(masked);
            if let Some(key) = contents.keys.get(*group as usize) {
                contents.stream.fill(key, u64::from(*j), head);
            }
            if let Some(secret) = contents.secrets.and_then(|secrets| secrets.get(*group as usize)) {
                head.iter_mut()
                    .skip(label)
                    .zip(secret)
                    .for_each(|(to, from)| *to ^= from);
            }
            write_readable(contents.rows, *row, body);
        });
    let mut noise = Zeroizing::new(vec![0; (list.count - keyed) * masked]);
    random::fill(&mut noise)?;
    let mut unkeyed = contents.groups.unkeyed.iter();
    for (record, noise) in without_key
        .chunks_exact_mut(list.width)
        .zip(noise.chunks_exact(masked))
    {
        let (head, body) = record.split_at_mut(masked);
        head.copy_from_slice(noise);
        if let Some(row) = unkeyed.next() {
            write_readable(contents.rows, *row, body);
        }
    }
    Ok(List::sorted(bytes, list.width))
}

/// Rows in random order and in the clear: what a release holds.
pub(super) fn released(rows: &Rows<'_>, list: ListShape) -> Result<List, PsiError> {
    let mut bytes = allocate(list)?;
    for (record, row) in bytes.chunks_exact_mut(list.width).zip(0_u32..).take(rows.count()) {
        write_readable(rows, row, record);
    }
    let mut order: Vec<(u64, u32)> = random::words(list.count)?.into_iter().zip(0..).collect();
    order.par_sort_unstable();
    let order = Zeroizing::new(order.into_iter().map(|(_, index)| index).collect());
    Ok(List {
        bytes,
        width: list.width,
        order,
    })
}

// `1 ‖ row`, into zeros.
fn write_readable(rows: &Rows<'_>, row: u32, body: &mut [u8]) {
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

/// Per key: length of the rest ‖ s_o ‖ rows, all in one buffer that is wiped when dropped.
struct GroupStrings {
    bytes: Zeroizing<Vec<u8>>,
    /// [keys + 1]
    starts: Vec<usize>,
}

impl GroupStrings {
    fn encode(contents: &Contents<'_>) -> Result<Self, PsiError> {
        let secret = contents.shape.secret_bytes();
        let rests: Vec<usize> = contents
            .groups
            .iter()
            .map(|rows| {
                secret
                    + rows
                        .iter()
                        .map(|row| contents.rows.encoded_len(*row as usize))
                        .sum::<usize>()
            })
            .collect();
        let mut starts = Vec::with_capacity(rests.len() + 1);
        let mut total = 0;
        for rest in &rests {
            starts.push(total);
            total += leb128_len(*rest) + rest;
        }
        starts.push(total);
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(total)
            .map_err(|_| PsiError::OutOfMemory)?;
        bytes.resize(total, 0);
        let mut strings = Self {
            bytes: Zeroizing::new(bytes),
            starts,
        };
        let mut space = strings.bytes.as_mut_slice();
        for ((rows, rest), group) in contents.groups.iter().zip(&rests).zip(0..) {
            let (string, following) = space.split_at_mut(leb128_len(*rest) + rest);
            let secret = contents.secrets.and_then(|secrets| secrets.get(group));
            encode_group(contents.rows, rows, *rest, secret, string);
            space = following;
        }
        Ok(strings)
    }

    /// [keys + 1] the number of each group's first cell; the last is the number of cells.
    fn first_cells(&self, body: usize) -> Vec<usize> {
        let mut cells = Vec::with_capacity(self.starts.len());
        let mut total = 0;
        cells.push(0);
        for pair in self.starts.windows(2) {
            if let [start, end] = pair {
                total += (end - start).div_ceil(body);
                cells.push(total);
            }
        }
        cells
    }

    /// At most `length` bytes of a group's string from `offset` on.
    fn piece(&self, group: usize, offset: usize, length: usize) -> &[u8] {
        let bounds = (self.starts.get(group), self.starts.get(group + 1));
        let (Some(start), Some(end)) = bounds else {
            return &[];
        };
        let from = (start + offset).min(*end);
        self.bytes
            .get(from..(from + length).min(*end))
            .unwrap_or_default()
    }
}

fn encode_group(rows: &Rows<'_>, members: &[u32], rest: usize, secret: Option<&Secret>, out: &mut [u8]) {
    let (length, mut space) = out.split_at_mut(leb128_len(rest));
    write_leb128(rest, length);
    if let Some(secret) = secret {
        let (held, following) = space.split_at_mut(SECRET_BYTES);
        held.copy_from_slice(secret);
        space = following;
    }
    for row in members {
        let written = rows.encode(*row as usize, space);
        let (_, following) = space.split_at_mut(written);
        space = following;
    }
}

/// The bytes of an unsigned LEB128 number.
pub(super) fn leb128_len(value: usize) -> usize {
    let bits = usize::BITS - value.max(1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn write_leb128(mut value: usize, out: &mut [u8]) {
    let last = out.len().saturating_sub(1);
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = (value & 0x7f) as u8 | if index < last { 0x80 } else { 0 };
        value >>= 7;
    }
}

fn allocate(shape: ListShape) -> Result<Zeroizing<Vec<u8>>, PsiError> {
    let mut bytes = Zeroizing::new(Vec::new());
    bytes
        .try_reserve_exact(shape.bytes())
        .map_err(|_| PsiError::OutOfMemory)?;
    bytes.resize(shape.bytes(), 0);
    Ok(bytes)
}

/// The first bytes of a record, as a number that sorts alike.
fn head(record: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(record).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
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
        let records: Vec<&[u8]> = list
            .order
            .iter()
            .map(|index| &list.bytes[*index as usize * 16..][..16])
            .collect();
        assert!(records.is_sorted() && records.len() == 3);
        assert!(records.contains(&[9; 16].as_slice()) && records.contains(&[1; 16].as_slice()));
    }
}
