//! A list of cells, as a recipient reads it: checked for order, found by label, each used once.

use std::sync::atomic::{AtomicU64, Ordering};

use xor_base::kernels::memory;

use super::layout::CellShape;
use super::order::head;
use crate::{OpeningError, PsiError};

/// Labels that are looked up in step.
const LABELS_AT_ONCE: usize = 32;

/// Cells that are found by label.
pub(crate) struct CellList<'a> {
    cells: &'a [u8],
    width: usize,
    pub shape: CellShape,
    /// Where the labels with each leading number start.
    starts: Vec<u32>,
    /// The leading bits of a label that `starts` is indexed by.
    bits: u32,
    /// The 32 bits of each label after those: what is not there is mostly found to be absent without a look at
    /// the cells, which lie further away.
    tags: Vec<u32>,
    used: Vec<AtomicU64>,
}

impl<'a> CellList<'a> {
    pub fn new(cells: &'a [u8], width: usize, shape: CellShape) -> Result<Self, PsiError> {
        let count = cells.len().checked_div(width).unwrap_or(0);
        let bits = count.next_power_of_two().trailing_zeros().min(24);
        let mut list = Self {
            cells,
            width,
            shape,
            starts: vec![0_u32; (1 << bits) + 1],
            bits,
            tags: Vec::with_capacity(count),
            used: Vec::new(),
        };
        list.used.resize_with(count.div_ceil(64), AtomicU64::default);
        let mut before: Option<&[u8]> = None;
        for cell in cells.chunks_exact(width.max(1)) {
            let label = cell.get(..shape.label).unwrap_or_default();
            if before.is_some_and(|before| !is_less(before, label)) {
                return Err(OpeningError::RepeatedLabel.into());
            }
            before = Some(label);
            let (bucket, tag) = list.place(label);
            list.tags.push(tag);
            if let Some(next) = list.starts.get_mut(bucket + 1) {
                *next += 1;
            }
        }
        let mut total = 0;
        for start in &mut list.starts {
            total += *start;
            *start = total;
        }
        Ok(list)
    }

    pub fn count(&self) -> usize {
        self.tags.len()
    }

    fn cell(&self, index: usize) -> &'a [u8] {
        let start = index * self.width;
        self.cells.get(start..start + self.width).unwrap_or_default()
    }

    pub fn body(&self, index: usize) -> &'a [u8] {
        self.cell(index).get(self.shape.label..).unwrap_or_default()
    }

    /// Bucket and tag of a label.
    fn place(&self, label: &[u8]) -> (usize, u32) {
        let head = head(label);
        // One bucket only: the whole number is shifted out.
        let bucket = head.checked_shr(u64::BITS - self.bits).unwrap_or(0);
        (bucket as usize, (head << self.bits >> 32) as u32)
    }

    /// Labels look random, so a bucket holds about one; a forged list only costs its author's bound.
    pub fn find(&self, label: &[u8]) -> Option<usize> {
        let (bucket, tag) = self.place(label);
        self.with_label(self.with_tag(self.bucket(bucket), tag), label)
    }

    /// Gives `found` the number and the cell of each label that is here.
    ///
    /// Memory is asked for some labels ahead, in three steps: bucket, tags, cell.
    pub fn find_many(&self, labels: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut places = [(0, 0); LABELS_AT_ONCE];
        let mut spans = [(0, 0); LABELS_AT_ONCE];
        let blocks = labels.chunks(self.shape.label * LABELS_AT_ONCE);
        for (labels, first) in blocks.zip((0..).step_by(LABELS_AT_ONCE)) {
            let each = || labels.chunks_exact(self.shape.label);
            for (label, place) in each().zip(&mut places) {
                *place = self.place(label);
                memory::prefetch(&self.starts, place.0);
            }
            for ((_, (bucket, _)), span) in each().zip(&places).zip(&mut spans) {
                *span = self.bucket(*bucket);
                memory::prefetch(&self.tags, span.0);
            }
            for ((_, (_, tag)), span) in each().zip(&places).zip(&mut spans) {
                *span = self.with_tag(*span, *tag);
                if span.0 < span.1 {
                    let start = span.0 * self.width;
                    memory::prefetch(self.cells, start);
                    memory::prefetch(self.cells, start + self.width - 1);
                }
            }
            for ((label, span), number) in each().zip(&spans).zip(first..) {
                if let Some(cell) = self.with_label(*span, label) {
                    found(number, cell);
                }
            }
        }
    }

    /// Where the labels of a bucket start and end.
    fn bucket(&self, bucket: usize) -> (usize, usize) {
        match self.starts.get(bucket..bucket + 2) {
            Some([start, end]) => (*start as usize, *end as usize),
            _ => (0, 0),
        }
    }

    fn with_tag(&self, (start, end): (usize, usize), tag: u32) -> (usize, usize) {
        let tags = self.tags.get(start..end).unwrap_or_default();
        let low = tags.partition_point(|other| *other < tag);
        let high = tags.partition_point(|other| *other <= tag);
        (start + low, start + high)
    }

    fn with_label(&self, (mut low, mut high): (usize, usize), label: &[u8]) -> Option<usize> {
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

    /// Takes a cell; each may be taken once. So nothing that is read grows beyond the list.
    pub fn claim(&self, index: usize) -> Result<&'a [u8], PsiError> {
        let bit = 1_u64 << (index % 64);
        let word = self.used.get(index / 64);
        match word.map(|word| word.fetch_or(bit, Ordering::Relaxed) & bit) {
            Some(0) => Ok(self.body(index)),
            _ => Err(OpeningError::SharedCell.into()),
        }
    }

    pub fn is_used(&self, index: usize) -> bool {
        let word = self.used.get(index / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (index % 64) & 1 == 1)
    }
}

/// As `left < right`. Mostly the first bytes decide, without a call.
pub(crate) fn is_less(left: &[u8], right: &[u8]) -> bool {
    match head(left).cmp(&head(right)) {
        std::cmp::Ordering::Equal => left < right,
        order => order.is_lt(),
    }
}

/// Whether the records strictly increase.
pub(crate) fn is_ascending<const N: usize>(records: &[[u8; N]]) -> bool {
    records.is_sorted_by(|left, right| is_less(left, right))
}
