//! The sender's cells on the wire: sorted by label, so that the leading bytes of labels cost one or two bits.
//!
//! A bitmap says how many labels begin with each value of the leading bytes: for one value after the other a bit
//! 1 for each label, then a 0. The cells follow without those bytes. All sizes follow from the bounds.

use xor_base::wiped::Wiped;
use xor_channel::{Channel, FRAME_HEADER_BYTES};

use crate::PsiError;
use crate::sealed::layout::{CellShape, ListShape, label_bytes};
use crate::sealed::lists::List;

/// Bytes of a frame, but for the last.
const FRAME_BYTES: usize = 1 << 20;

/// Cells that are read from a list at a time.
const CELLS_AT_ONCE: usize = 1 << 12;

/// How the cells of a sender are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub list: ListShape,
    pub cell: CellShape,
    /// Leading bytes of a label that do not travel.
    head: usize,
}

impl Layout {
    /// Of `cells` cells, looked up by `keys` keys, for rows of at most `longest` bytes.
    #[must_use]
    pub fn new(cells: usize, keys: usize, longest: usize) -> Self {
        let cell = CellShape::closed(label_bytes(cells, keys), longest);
        Self {
            list: ListShape {
                count: cells,
                width: cell.label + cell.body,
            },
            cell,
            head: cells.checked_ilog2().unwrap_or(0) as usize / 8,
        }
    }

    fn buckets(&self) -> usize {
        1 << (8 * self.head)
    }

    fn bitmap_bytes(&self) -> usize {
        (self.list.count + self.buckets()).div_ceil(8)
    }

    fn rest(&self) -> usize {
        self.list.width - self.head
    }

    /// What travels without frame headers. Units: bytes.
    fn plain_bytes(&self) -> usize {
        self.bitmap_bytes() + self.list.count * self.rest()
    }

    /// What the sender sends. Units: bytes, frame headers included.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        let plain = self.plain_bytes();
        (plain + plain.div_ceil(FRAME_BYTES) * FRAME_HEADER_BYTES) as u64
    }

    /// Sends sorted cells.
    ///
    /// # Errors
    /// A channel error; `OutOfMemory`.
    pub(super) fn send(&self, list: &List, channel: &mut dyn Channel) -> Result<(), PsiError> {
        let mut frames = Frames {
            buffer: Vec::with_capacity(FRAME_BYTES),
            channel,
        };
        let mut counts = vec![0_u32; self.buckets()];
        list.for_each_unsorted(|cell| {
            if let Some(count) = counts.get_mut(self.bucket(cell)) {
                *count += 1;
            }
        });
        let mut bitmap = vec![0_u8; self.bitmap_bytes()];
        let mut bit = 0;
        for count in counts {
            for one in bit..bit + count as usize {
                if let Some(byte) = bitmap.get_mut(one / 8) {
                    *byte |= 1 << (one % 8);
                }
            }
            bit += count as usize + 1;
        }
        frames.push(&bitmap)?;
        let width = self.list.width;
        let mut cells = Wiped::try_zeros(CELLS_AT_ONCE * width)?;
        for first in (0..self.list.count).step_by(CELLS_AT_ONCE) {
            let (cells, _) = cells.split_at_mut(CELLS_AT_ONCE.min(self.list.count - first) * width);
            list.read_at(first * width, cells);
            for cell in cells.chunks_exact(width) {
                frames.push(cell.get(self.head..).unwrap_or_default())?;
            }
        }
        frames.finish()
    }

    /// Receives cells, as [`Self::decode`] gives them.
    ///
    /// # Errors
    /// A channel error; `BadCells`; `OutOfMemory`.
    pub(super) fn receive(&self, channel: &mut dyn Channel) -> Result<Vec<u8>, PsiError> {
        let plain = self.plain_bytes();
        let mut received = Vec::new();
        received
            .try_reserve_exact(plain)
            .map_err(|_| PsiError::OutOfMemory)?;
        while received.len() < plain {
            let frame = channel.receive_exactly(FRAME_BYTES.min(plain - received.len()))?;
            received.extend_from_slice(&frame);
        }
        self.decode(&received)
    }

    /// Cells with whole labels, in order of their leading bytes: [count · width].
    ///
    /// # Errors
    /// `BadCells` for another length, or if a bitmap is not what the rules give; `OutOfMemory`.
    pub fn decode(&self, received: &[u8]) -> Result<Vec<u8>, PsiError> {
        let (bitmap, rests) = received
            .split_at_checked(self.bitmap_bytes())
            .ok_or(PsiError::BadCells)?;
        if rests.len() != self.list.count * self.rest() {
            return Err(PsiError::BadCells);
        }
        let mut cells = Vec::new();
        cells
            .try_reserve_exact(self.list.bytes())
            .map_err(|_| PsiError::OutOfMemory)?;
        let mut rests = rests.chunks_exact(self.rest());
        for bucket in Buckets::new(bitmap, self) {
            let bucket = (bucket? as u32).to_be_bytes();
            let Some(rest) = rests.next() else { break };
            cells.extend_from_slice(bucket.get(bucket.len() - self.head..).unwrap_or_default());
            cells.extend_from_slice(rest);
        }
        Ok(cells)
    }

    /// The leading bytes of a cell's label, as a number.
    fn bucket(&self, cell: &[u8]) -> usize {
        let head = cell.get(..self.head).unwrap_or_default();
        head.iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}

/// The bucket of each cell that a bitmap tells, in order; then an error if it tells anything else.
struct Buckets<'b> {
    bitmap: &'b [u8],
    bit: usize,
    bucket: usize,
    buckets: usize,
    left: usize,
}

impl<'b> Buckets<'b> {
    fn new(bitmap: &'b [u8], layout: &Layout) -> Self {
        Self {
            bitmap,
            bit: 0,
            bucket: 0,
            buckets: layout.buckets(),
            left: layout.list.count,
        }
    }
}

impl Iterator for Buckets<'_> {
    type Item = Result<usize, PsiError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(byte) = self.bitmap.get(self.bit / 8) {
            let is_cell = byte >> (self.bit % 8) & 1 == 1;
            self.bit += 1;
            match (is_cell, self.left) {
                (true, 1..) if self.bucket < self.buckets => {
                    self.left -= 1;
                    return Some(Ok(self.bucket));
                }
                (true, _) => {
                    self.bitmap = &[];
                    return Some(Err(PsiError::BadCells));
                }
                (false, _) => self.bucket += 1,
            }
        }
        let is_short = self.left > 0;
        self.left = 0;
        is_short.then_some(Err(PsiError::BadCells))
    }
}

/// Bytes in frames of one length, but for the last.
struct Frames<'c> {
    buffer: Vec<u8>,
    channel: &'c mut dyn Channel,
}

impl Frames<'_> {
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), PsiError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == FRAME_BYTES {
                self.channel.send(&self.buffer)?;
                self.buffer.clear();
            }
            bytes = later;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), PsiError> {
        if !self.buffer.is_empty() {
            self.channel.send(&self.buffer)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xor_base::random;
    use xor_channel::memory::pair;

    use super::*;

    fn through(layout: Layout, bytes: Vec<u8>) -> (Vec<u8>, u64) {
        let list = List::sorted(Wiped::new(bytes), layout.list.width).unwrap();
        let (mut one, mut other) = pair();
        layout.send(&list, &mut one).unwrap();
        (layout.receive(&mut other).unwrap(), one.meter().sent_bytes)
    }

    #[test]
    fn cells_arrive_sorted_whatever_their_number() {
        for count in [0, 1, 2, 255, 256, 257, 5000, 65_535, 65_536, 70_000] {
            let layout = Layout::new(count, 100, 3);
            let mut bytes = vec![0; layout.list.bytes()];
            random::fill(&mut bytes).unwrap();
            let (received, sent) = through(layout, bytes.clone());
            let mut cells: Vec<&[u8]> = bytes.chunks(layout.list.width).collect();
            cells.sort_unstable();
            assert_eq!(received, cells.concat(), "{count}");
            assert_eq!(sent, layout.sent_bytes(), "{count}");
        }
    }

    #[test]
    fn a_label_of_a_million_costs_less_than_eight_bytes_and_a_bit() {
        let layout = Layout::new(1 << 20, 1 << 20, 1);
        assert_eq!(layout.cell.label, 10);
        let label_bits = 8.0 * (layout.sent_bytes() as f64 / f64::from(1 << 20) - layout.cell.body as f64);
        assert!((65.0..65.1).contains(&label_bits), "{label_bits}");
    }

    proptest! {
        #[test]
        fn any_labels_arrive(labels in prop::collection::vec(prop::array::uniform2(0_u8..4), 256..400)) {
            // Crowded buckets: two leading values only differ in two bits.
            let layout = Layout::new(labels.len(), 1, 1);
            let mut bytes = vec![7; layout.list.bytes()];
            for (cell, label) in bytes.chunks_exact_mut(layout.list.width).zip(&labels) {
                cell[..2].copy_from_slice(label);
            }
            let (received, _) = through(layout, bytes.clone());
            let mut cells: Vec<&[u8]> = bytes.chunks(layout.list.width).collect();
            cells.sort_unstable();
            prop_assert_eq!(received, cells.concat());
        }

        #[test]
        fn any_bytes_are_cells_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_usize..20) {
            let layout = Layout::new(count, 1, 1);
            let mut bytes = bytes;
            bytes.resize(layout.plain_bytes(), 0);
            let (mut one, mut other) = pair();
            if !bytes.is_empty() {
                one.send(&bytes).unwrap();
            }
            match layout.receive(&mut other) {
                Ok(cells) => prop_assert_eq!(cells.len(), layout.list.bytes()),
                Err(error) => prop_assert_eq!(error.code(), "protocol.bad-cells"),
            }
        }
    }

    #[test]
    fn a_bitmap_with_one_cell_more_or_less_is_refused() {
        let layout = Layout::new(3, 1, 1);
        for (byte, is_right) in [
            (0b0111, true),
            (0b0011, false),
            (0b1111, false),
            (0b1_0111, false),
            (0b1011, false),
        ] {
            let mut bytes = vec![9; layout.plain_bytes()];
            bytes[0] = byte;
            let (mut one, mut other) = pair();
            one.send(&bytes).unwrap();
            assert_eq!(layout.receive(&mut other).is_ok(), is_right, "{byte:b}");
        }
    }
}
