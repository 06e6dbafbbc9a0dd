//! An opened join, handed out batch by batch: many equal keys on both sides multiply only here.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field as ArrowField, Schema, SchemaRef};
use xor_base::BaseError;
use xor_base::rows::RowCodec;

use super::opening::Results;
use crate::PsiError;

const MAX_BATCH_ROWS: usize = 1 << 16;
const MAX_BATCH_BYTES: usize = 1 << 26;

/// Encoded rows, one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowStore {
    pub bytes: Vec<u8>,
    /// Where each row starts.
    pub starts: Vec<usize>,
}

impl RowStore {
    /// # Errors
    /// `OutOfMemory`: the rows of a large table may be more than there is.
    pub fn push(&mut self, row: &[u8]) -> Result<(), PsiError> {
        self.reserve(1, row.len())?;
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(row);
        Ok(())
    }

    /// # Errors
    /// As [`Self::push`].
    pub fn append(&mut self, rows: &Self) -> Result<(), PsiError> {
        self.reserve(rows.len(), rows.bytes.len())?;
        let start = self.bytes.len();
        self.starts.extend(rows.starts.iter().map(|at| start + at));
        self.bytes.extend_from_slice(&rows.bytes);
        Ok(())
    }

    /// Forgets the rows from number `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if let Some(end) = self.starts.get(rows) {
            self.bytes.truncate(*end);
            self.starts.truncate(rows);
        }
    }

    fn reserve(&mut self, rows: usize, bytes: usize) -> Result<(), PsiError> {
        let starts = self.starts.try_reserve(rows);
        starts
            .and_then(|()| self.bytes.try_reserve(bytes))
            .map_err(|_| PsiError::OutOfMemory)
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// A row and what follows it.
    fn row(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(*self.starts.get(index)?..)
    }
}

/// The rows of one key, on both sides.
pub(crate) type Group = [Range<usize>; 2];

/// Some rows of a result, one piece of memory for each side.
#[derive(Debug, Default)]
pub(crate) struct Part {
    stores: [RowStore; 2],
    groups: Vec<Group>,
    /// Rows without a match, at the end of each store.
    unmatched: [Range<usize>; 2],
}

impl Part {
    pub fn new(stores: [RowStore; 2], groups: Vec<Group>, unmatched: [Range<usize>; 2]) -> Self {
        Self {
            stores,
            groups,
            unmatched,
        }
    }

    /// Every row belongs to a group.
    pub fn of_groups(stores: [RowStore; 2], groups: Vec<Group>) -> Self {
        Self::new(stores, groups, [0..0, 0..0])
    }

    /// No row belongs to a group.
    pub fn unmatched(stores: [RowStore; 2]) -> Self {
        let unmatched = [0..stores[0].len(), 0..stores[1].len()];
        Self::new(stores, Vec::new(), unmatched)
    }

    pub fn swap_sides(&mut self) {
        self.stores.reverse();
        self.unmatched.reverse();
        self.groups.iter_mut().for_each(|group| group.reverse());
    }

    fn rows(&self) -> u64 {
        let groups = self.groups.iter();
        let pairs = groups.map(|[left, right]| left.len() as u64 * right.len() as u64);
        let alone = self.unmatched.iter().map(|rows| rows.len() as u64);
        pairs.chain(alone).fold(0, u64::saturating_add)
    }

    /// Appends pairs from where `next` stands until `limit` is reached or there are no more.
    fn append_pairs<'p>(&'p self, next: &mut Cursor, limit: usize, rows: &mut Pairs<'p>) {
        let [left_store, right_store] = &self.stores;
        while let (true, Some([left, right])) = (rows.len() < limit, self.groups.get(next.group)) {
            let (total, width) = (left.len().saturating_mul(right.len()), right.len());
            let end = total.min(next.pair + (limit - rows.len()));
            for pair in next.pair..end {
                let (i, j) = (pair / width, pair % width);
                rows.push(left_store.row(left.start + i), right_store.row(right.start + j));
            }
            next.pair = end;
            if end == total {
                next.group += 1;
                next.pair = 0;
            }
        }
        if next.group < self.groups.len() {
            return;
        }
        let [left, right] = &self.unmatched;
        let alone = left
            .clone()
            .map(|row| (left_store.row(row), None))
            .chain(right.clone().map(|row| (None, right_store.row(row))));
        for (left, right) in alone.skip(next.unmatched).take(limit - rows.len()) {
            rows.push(left, right);
            next.unmatched += 1;
        }
    }

    fn is_done(&self, next: &Cursor) -> bool {
        let unmatched: usize = self.unmatched.iter().map(ExactSizeIterator::len).sum();
        next.group >= self.groups.len() && next.unmatched >= unmatched
    }
}

/// The rows of one batch on both sides; nothing where a side has none.
#[derive(Default)]
struct Pairs<'p> {
    left: Vec<Option<&'p [u8]>>,
    right: Vec<Option<&'p [u8]>>,
}

impl<'p> Pairs<'p> {
    fn len(&self) -> usize {
        self.left.len()
    }

    #[inline]
    fn push(&mut self, left: Option<&'p [u8]>, right: Option<&'p [u8]>) {
        self.left.push(left);
        self.right.push(right);
    }
}

/// A join's result, complete and checked, not yet multiplied out.
#[derive(Debug)]
pub struct Joined {
    codecs: [RowCodec; 2],
    /// What was not handed out yet, and where in the first.
    parts: VecDeque<Part>,
    next: Cursor,
    /// What does not fit into memory, after those.
    on_disk: Option<Results>,
    rows: u64,
    schema: SchemaRef,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    group: usize,
    pair: usize,
    unmatched: usize,
}

impl Joined {
    pub(crate) fn new(codecs: [RowCodec; 2], parts: Vec<Part>) -> Self {
        let fields = codecs.iter().flat_map(RowCodec::fields);
        let fields: Vec<_> = fields
            .map(|field| ArrowField::new(&field.name, field.kind.arrow(), true))
            .collect();
        Self {
            codecs,
            rows: parts.iter().map(Part::rows).fold(0, u64::saturating_add),
            parts: parts.into(),
            next: Cursor::default(),
            on_disk: None,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// Rows that are read back while they are handed out.
    pub(super) fn on_disk(codecs: [RowCodec; 2], results: Results) -> Self {
        let mut joined = Self::new(codecs, Vec::new());
        joined.rows = results.rows;
        joined.on_disk = Some(results);
        joined
    }

    /// The left columns, then the right ones.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many rows the result has, before any was handed out. Saturates.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn batch_rows(&self) -> usize {
        let row = self.codecs.iter().map(RowCodec::longest).sum::<usize>();
        (MAX_BATCH_BYTES / row.max(1)).clamp(1, MAX_BATCH_ROWS)
    }

    /// The next rows, and how many parts they were the last of.
    fn next_batch(&mut self) -> Option<(Result<RecordBatch, PsiError>, usize)> {
        let limit = self.batch_rows();
        let (mut pairs, mut done) = (Pairs::default(), 0);
        for part in &self.parts {
            part.append_pairs(&mut self.next, limit, &mut pairs);
            if !part.is_done(&self.next) {
                break;
            }
            self.next = Cursor::default();
            done += 1;
        }
        (pairs.len() > 0).then(|| (self.decode(&pairs), done))
    }

    fn decode(&self, pairs: &Pairs<'_>) -> Result<RecordBatch, PsiError> {
        let [left, right] = &self.codecs;
        let (left, right) = rayon::join(|| left.decode(&pairs.left), || right.decode(&pairs.right));
        let mut columns = left?;
        columns.extend(right?);
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|_| BaseError::Column("columns of the result do not fit").into())
    }
}

impl Joined {
    /// Reads parts back until a batch is there, or all are.
    fn refill(&mut self) -> Result<(), PsiError> {
        while let (0 | 1, Some(results)) = (self.parts.len(), &mut self.on_disk) {
            match results.next_part() {
                Ok(Some(part)) => self.parts.push_back(part),
                Ok(None) => self.on_disk = None,
                Err(error) => {
                    self.on_disk = None;
                    self.parts.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Joined {
    type Item = Result<RecordBatch, PsiError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.refill() {
            return Some(Err(error));
        }
        let (batch, done) = self.next_batch()?;
        // Memory shrinks while the result is read.
        self.parts.drain(..done);
        Some(batch)
    }
}
