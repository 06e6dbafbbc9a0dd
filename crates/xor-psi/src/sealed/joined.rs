//! An opened join, handed out batch by batch: many equal keys on both sides multiply only here.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field as ArrowField, Schema, SchemaRef};
use xor_base::BaseError;
use xor_base::rows::RowCodec;

use crate::PsiError;

const MAX_BATCH_ROWS: usize = 1 << 16;
const MAX_BATCH_BYTES: usize = 1 << 26;

/// Encoded rows, one after another.
#[derive(Clone, Debug, Default)]
pub(super) struct RowStore {
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

    pub fn append(&mut self, other: Self) -> Result<(), PsiError> {
        self.reserve(other.len(), other.bytes.len())?;
        let offset = self.bytes.len();
        self.bytes.extend(other.bytes);
        self.starts
            .extend(other.starts.into_iter().map(|start| start + offset));
        Ok(())
    }
}

/// The rows of one key, on both sides.
pub(super) type Group = [Range<usize>; 2];

/// A join's result, complete and checked, not yet multiplied out.
#[derive(Debug)]
pub struct Joined {
    codecs: [RowCodec; 2],
    stores: [RowStore; 2],
    groups: Vec<Group>,
    unmatched: [Range<usize>; 2],
    schema: SchemaRef,
    next: Cursor,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    group: usize,
    pair: usize,
    unmatched: usize,
}

/// A row of the result: its row on each side, or NULLs.
type Pair = (Option<usize>, Option<usize>);

impl Joined {
    /// `unmatched` rows stand at the end of each store.
    pub(super) fn new(
        codecs: [RowCodec; 2],
        stores: [RowStore; 2],
        groups: Vec<Group>,
        unmatched: [Range<usize>; 2],
    ) -> Self {
        let fields = codecs.iter().flat_map(RowCodec::fields);
        let fields: Vec<_> = fields
            .map(|field| ArrowField::new(&field.name, field.kind.arrow(), true))
            .collect();
        Self {
            codecs,
            stores,
            groups,
            unmatched,
            schema: Arc::new(Schema::new(fields)),
            next: Cursor::default(),
        }
    }

    /// The left columns, then the right ones.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many rows the result has, before any was handed out. Saturates.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let pairs = self
            .groups
            .iter()
            .map(|[left, right]| left.len() as u64 * right.len() as u64);
        let alone = self.unmatched.iter().map(|rows| rows.len() as u64);
        pairs.chain(alone).fold(0, u64::saturating_add)
    }

    fn batch_rows(&self) -> usize {
        let row = self.codecs.iter().map(RowCodec::longest).sum::<usize>();
        (MAX_BATCH_BYTES / row.max(1)).clamp(1, MAX_BATCH_ROWS)
    }

    fn next_pairs(&mut self, limit: usize) -> Vec<Pair> {
        let mut pairs = Vec::new();
        while pairs.len() < limit {
            let Some([left, right]) = self.groups.get(self.next.group) else {
                break;
            };
            let (total, width) = (left.len().saturating_mul(right.len()), right.len());
            let end = total.min(self.next.pair + (limit - pairs.len()));
            pairs.extend((self.next.pair..end).map(|pair| {
                let (i, j) = (pair / width, pair % width);
                (Some(left.start + i), Some(right.start + j))
            }));
            self.next.pair = end;
            if end == total {
                self.next.group += 1;
                self.next.pair = 0;
            }
        }
        let [left, right] = &self.unmatched;
        let rest = left
            .clone()
            .map(|row| (Some(row), None))
            .chain(right.clone().map(|row| (None, Some(row))));
        let before = pairs.len();
        if self.next.group >= self.groups.len() {
            pairs.extend(rest.skip(self.next.unmatched).take(limit - before));
            self.next.unmatched += pairs.len() - before;
        }
        pairs
    }

    fn decode(&self, pairs: &[Pair]) -> Result<RecordBatch, PsiError> {
        let [left_codec, right_codec] = &self.codecs;
        let [left, right] = &self.stores;
        let mut columns = left_codec.decode(pairs.iter().map(|(row, _)| left.row((*row)?)))?;
        columns.extend(right_codec.decode(pairs.iter().map(|(_, row)| right.row((*row)?)))?);
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|_| BaseError::Column("columns of the result do not fit").into())
    }
}

impl Iterator for Joined {
    type Item = Result<RecordBatch, PsiError>;

    fn next(&mut self) -> Option<Self::Item> {
        let pairs = self.next_pairs(self.batch_rows());
        (!pairs.is_empty()).then(|| self.decode(&pairs))
    }
}
